"""Lays out a flow version as boxes and lines, which a template draws. Pure.

Places stand side by side from left to right, parallel steps of a place below each other. Numbers
are units of an SVG's view box.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saga_monitor.saga.flow_plan import Plan

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 168, 64, 48, 20, 12
Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    """A step. status: see `view.StepView`; lines: what stands below its name; ghost: awaited."""

    name: str
    x: int
    y: int
    status: str
    kind: str
    lines: Sequence[str] = ()
    ghost: bool = False
    overdue: bool = False
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Edge:
    """A line between two boxes. done: the saga has gone along it; label: what stands above it."""

    start: Point
    end: Point
    done: bool
    label: str = ""

    @property
    def path(self) -> str:
        """Return the line as the data of an SVG path."""
        (x1, y1), (x2, y2) = self.start, self.end
        middle = (x1 + x2) // 2
        return f"M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A flow as boxes and edges. pivot_x: a line behind which nothing is undone, None without."""

    boxes: Sequence[Box]
    edges: Sequence[Edge]
    width: int
    height: int
    pivot_x: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Says something of a step in a drawing; see `Box`."""

    status: str = "idle"
    lines: Sequence[str] = ()
    ghost: bool = False
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class DrawingLabels:
    """Says things in a drawing: a mark for each step, and a label for the lines to a step."""

    marks: Mapping[str, Mark] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)


def draw_flow(plan: Plan, labels: DrawingLabels) -> Drawing:
    """Return the drawing of a flow version."""
    deepest = max((len(place) for place in plan.places), default=1)
    height = deepest * HEIGHT + (deepest - 1) * GAP_Y + 2 * MARGIN
    columns = [
        [
            _box(step.name, step.kind, column, row, len(place), height, labels.marks)
            for row, step in enumerate(place)
        ]
        for column, place in enumerate(plan.places)
    ]
    edges = [
        Edge(
            (before.x + WIDTH, before.y + HEIGHT // 2),
            (after.x, after.y + HEIGHT // 2),
            before.status == "done" and after.status != "idle",
            labels.before.get(after.name, "") if before is left[0] else "",
        )
        for left, right in itertools.pairwise(columns)
        for before in left
        for after in right
    ]
    width = len(columns) * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    pivot_x = None
    if 0 <= plan.last_undoable < len(columns) - 1:
        pivot_x = columns[plan.last_undoable][0].x + WIDTH + GAP_X // 2
    return Drawing([box for column in columns for box in column], edges, width, height, pivot_x)


def _box(
    name: str,
    kind: str,
    column: int,
    row: int,
    rows: int,
    height: int,
    marks: Mapping[str, Mark],
) -> Box:
    mark = marks.get(name, Mark())
    used = rows * HEIGHT + (rows - 1) * GAP_Y
    top = (height - used) // 2
    return Box(
        name,
        MARGIN + column * (WIDTH + GAP_X),
        top + row * (HEIGHT + GAP_Y),
        mark.status,
        kind,
        mark.lines,
        mark.ghost,
        mark.overdue,
    )


def saga_labels(body: Mapping[str, Any], overdue: bool) -> DrawingLabels:
    """Return what is said of each step of a saga. body: see `SagaReader.describe`."""
    awaited = {item["step"]: item for item in body["awaited"]}
    marks = {}
    for step in body["steps"]:
        item = awaited.get(step["name"])
        lines = [step["status"]]
        if item is not None:
            lines.append(" or ".join(item["events"]))
        marks[step["name"]] = Mark(
            step["status"], lines, ghost=item is not None, overdue=overdue and item is not None
        )
    return DrawingLabels(marks)
