"""The flow is the saga: its steps, their order in each version, their deadlines. Pure.

It is read from its file in `flow_file`; the routes of a participant are derived in `routing`.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sagakit.errors import FlowError, UnknownFlow
from sagakit.flow.approvals import Ask
from sagakit.flow.balances import NO_UNITS, Units
from sagakit.flow.toml_values import seconds

COMPENSATABLE, PIVOT, RETRIABLE = "compensatable", "pivot", "retriable"
COMPLETED, UNDONE = "completed", "undone"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """When a person is called about an undo that shows no sign of life, while asking goes on: after
    so many requests, or so long after the last sign of life."""

    attempts: int = 8
    age_s: float = math.inf

    def reached(self, attempts: int, age_s: float) -> bool:
        """Either of them."""
        return attempts >= self.attempts or (attempts > 0 and age_s >= self.age_s)


@dataclass(frozen=True, slots=True)
class Step:
    """One participant's part. `waits`: event type -> seconds that event extends the deadline to;
    `asks`: those of them that ask a person -> whom."""

    name: str
    kind: str
    done: str
    failed: tuple[str, ...] = ()
    undone: str | None = None
    deadline_s: float = 3600.0
    waits: Mapping[str, float] = field(default_factory=dict)
    asks: Mapping[str, Ask] = field(default_factory=dict)

    def waiting(self, event: str, for_s: float) -> "Step":
        """The same step with another wait; who is asked meanwhile is reminded in proportion."""
        asks = dict(self.asks)
        if event in asks:
            asks[event] = asks[event].scaled(for_s / self.waits[event])
        return replace(self, waits={**self.waits, event: for_s}, asks=asks)


@dataclass(frozen=True, slots=True)
class Flow:
    """A declared saga. `versions`: number -> places in order, each a tuple of step names.

    captured, refunded: events that tell of money taken and given back -> the field that names the
    movement. The same movement is often told twice (an `undone` repeated to a second undo, a
    capture reported by answer and webhook): by its name it counts once. pause, resume: between
    them nothing new is begun.
    """

    name: str
    start: str
    cancel: str
    compensate: str
    verdict: str
    default_version: int
    versions: Mapping[int, tuple[tuple[str, ...], ...]]
    steps: Mapping[str, Step]
    observes: Mapping[str, tuple[str, ...]]
    owners: Mapping[str, str]
    captured: Mapping[str, str] = field(default_factory=dict)
    refunded: Mapping[str, str] = field(default_factory=dict)
    pause: str | None = None
    resume: str | None = None
    units: Units = NO_UNITS
    ceiling: Ceiling = Ceiling()

    def places(self, version: int) -> tuple[tuple[Step, ...], ...]:
        """The steps of a version in order, those side by side together."""
        return tuple(tuple(self.steps[n] for n in place) for place in self.versions[version])

    def pivot_place(self, version: int) -> int:
        """Index of the place after which it only goes forward (-1: there is no way back at all)."""
        places = self.places(version)
        return max(
            (i for i, p in enumerate(places) if any(s.kind != RETRIABLE for s in p)), default=-1
        )

    def ends(self, version: int) -> tuple[tuple[str, ...], ...]:
        """What all has to be seen for `undone`: per step of the first place, its last events."""
        return tuple(
            (*s.failed, *([s.undone] if s.undone else [])) for s in self.places(version)[0]
        )

    def label(self, version: int) -> str:
        """`name/version`, as it travels in the `flow` header."""
        return f"{self.name}/{version}"

    @property
    def participants(self) -> tuple[str, ...]:
        """Everyone who is told something: the steps, and who only observes."""
        return tuple(dict.fromkeys((*self.steps, *self.observes)))


class Flows:
    """The flows of a deployment, found by the `flow` header."""

    def __init__(self, *flows: Flow) -> None:
        if not flows:
            raise FlowError("no flow is declared: give at least one flow file")
        self._by_name = {flow.name: flow for flow in flows}
        if len(self._by_name) < len(flows):
            names = ", ".join(sorted(flow.name for flow in flows))
            raise FlowError(f"a flow is declared twice (found: {names}); give each its own name")
        self._default = flows[0]

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._by_name.values())

    def find(self, label: str | None) -> tuple[Flow, int]:
        """Flow and version of a header; without one the first flow's default version.

        Raises UnknownFlow naming what is known.
        """
        if label is None:
            return self._default, self._default.default_version
        name, _, number = label.partition("/")
        flow = self._by_name.get(name)
        if flow and re.fullmatch("[0-9]{1,9}", number) and int(number) in flow.versions:
            return flow, int(number)
        known = ", ".join(f.label(v) for f in self for v in f.versions)
        raise UnknownFlow(
            f"flow {label[:80]!r} is not known here (known: {known}); "
            "deploy the flow file that declares it, then redrive"
        )


def with_deadlines(flow: Flow, overrides: Mapping[str, str]) -> Flow:
    """The same flow on other deadlines: `{"payment": "20s", "payment.PaymentPending": "1m"}`.

    Raises FlowError for a step or wait the flow does not have.
    """
    steps = dict(flow.steps)
    for path, written in overrides.items():
        name, _, wait = path.partition(".")
        step = steps.get(name)
        if step is None or (wait and wait not in step.waits):
            raise FlowError(f"flow {flow.name} has no deadline {path!r} to override")
        try:
            value = seconds(written)
        except ValueError as error:
            raise FlowError(f"deadline {path}: {error}") from error
        steps[name] = step.waiting(wait, value) if wait else replace(step, deadline_s=value)
    return replace(flow, steps=steps)
