"""Lays out the events of a saga to scale: a lane for each participant. Pure.

A bar goes from the event that caused a participant's event to that event: so long it took. A dashed
bar is what is awaited, up to the present. Numbers are units of an SVG's view box.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

LEFT, WIDTH, LANE, TOP, BOTTOM = 120, 1000, 30, 8, 24
MAX_EVENTS = 200
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """Shows how long it took from one event to the next, in a lane."""

    lane: int
    x: float
    width: float
    text: str
    kind: str = "done"


@dataclass(frozen=True, slots=True)
class Dot:
    """An event in a lane; `number`: of its row in the table of events."""

    lane: int
    x: float
    text: str
    number: int


@dataclass(frozen=True, slots=True)
class AxisTick:
    """A mark of the time axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The events of a saga to scale. hidden: events that are left out, the oldest ones."""

    lanes: Sequence[str]
    bars: Sequence[Bar]
    dots: Sequence[Dot]
    ticks: Sequence[AxisTick]
    width: int
    height: int
    hidden: int = 0
    lane_height: int = LANE
    left: int = LEFT


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        span = (self.end - self.begin).total_seconds() or 1.0
        share = (at - self.begin).total_seconds() / span
        return round(LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - 12), 1)


def draw_timeline(
    events: Sequence[Mapping[str, Any]],
    awaited: Iterable[Mapping[str, Any]],
    now: datetime,
    *,
    ended: bool,
    text_of: Any,
) -> Chart:
    """Return the chart of a saga.

    events: rows of its timeline, in order; awaited: see `view.AwaitedStep`; text_of: a duration as
    text.
    """
    shown = list(enumerate(events))[-MAX_EVENTS:]
    pending = list(awaited)
    if not shown:
        return Chart((), (), (), (), WIDTH, TOP + BOTTOM)
    begin = shown[0][1]["at"]
    end = shown[-1][1]["at"] if ended else max(now, shown[-1][1]["at"])
    scale = _Scale(begin, max(end, begin + timedelta(milliseconds=1)))
    lanes = list(
        dict.fromkeys([*(e["source"] for _, e in shown), *(item["step"] for item in pending)])
    )
    at = {event["event_id"]: event["at"] for event in events}
    bars = [
        Bar(
            lanes.index(event["source"]),
            scale.x(at[event["causation"]]),
            max(scale.x(event["at"]) - scale.x(at[event["causation"]]), 1.0),
            f"{event['type']}, {text_of(event['at'] - at[event['causation']])} after "
            f"{event['caused_by']}",
        )
        for _, event in shown
        if event["causation"] in at and at[event["causation"]] < event["at"]
    ]
    bars += [_pending_bar(item, lanes, scale, now, text_of) for item in pending]
    dots = [
        Dot(lanes.index(event["source"]), scale.x(event["at"]), event["type"], number)
        for number, event in shown
    ]
    height = TOP + len(lanes) * LANE + BOTTOM
    ticks = [
        AxisTick(scale.x(moment), text_of(moment - begin))
        for step in range(_TICKS + 1)
        if (moment := scale.begin + (scale.end - scale.begin) * step / _TICKS)
    ]
    return Chart(lanes, bars, dots, ticks, WIDTH, height, len(events) - len(shown))


def _pending_bar(
    item: Mapping[str, Any], lanes: Sequence[str], scale: _Scale, now: datetime, text_of: Any
) -> Bar:
    late = item["due"] is not None and item["due"] < now
    start = scale.x(item["since"])
    what = f"{' or '.join(item['events'])} awaited for {text_of(now - item['since'])}"
    kind = "overdue" if late else "awaited"
    return Bar(lanes.index(item["step"]), start, max(scale.x(now) - start, 6.0), what, kind)
