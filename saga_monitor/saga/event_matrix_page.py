"""Writes docs/reference/late-events.md from `event_matrix` and the flow files.

`--check` only compares.

python -m saga_monitor.saga.event_matrix_page [--check]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from saga_monitor.saga.event_matrix import DECLARED, EventEffect, Situation
from saga_monitor.saga.flow_plan import Plan, Role
from schemas import EVENT_TYPES, FLOWS, OWNERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/late-events.md"
_MEANS = {
    EventEffect.STARTS: "the order begins",
    EventEffect.MOVES: "something else is awaited, or one thing less",
    EventEffect.TURNS: "the order is undone from here on",
    EventEffect.AGAIN: "it was done after it was undone, so it is undone once more",
    EventEffect.PAUSES: "nothing new is begun and no deadline runs, until it is resumed",
    EventEffect.NOTHING: "known already, too early, or too late: it is kept and changes nothing",
    EventEffect.CONTRADICTS: "a person is called, `undone_past_pivot`: a step was undone although "
    "the order is past its pivot",
    EventEffect.UNEXPECTED: "a person is called, `unexpected_event`: nobody should ever send it",
}
_WHERE = {
    Situation.UNPLACED: "the start event is not known",
    Situation.PLACED: "it has started, nothing is done",
    Situation.READY: "all is done up to the pivot",
    Situation.UNDOING: "the pivot has failed, all before it is still to be undone",
    Situation.CANCELLED: "all is undone",
    Situation.PAST: "the pivot is done, a step behind it is not",
    Situation.COMPLETED: "all is done",
}


def page() -> str:
    """Return the text of docs/reference/late-events.md."""
    parts = [
        "# Events that come late, early, or twice",
        "Made by `python -m saga_monitor.saga.event_matrix_page` from "
        "`saga_monitor/saga/event_matrix.py` and the flow files. Do not edit it: edit those. Every "
        "cell is tested against what the monitor reads.",
        _table(("the order is", ""), ((w.value, told) for w, told in _WHERE.items())),
        _table(("the event", ""), ((o.value, told) for o, told in _MEANS.items())),
    ]
    for flow in FLOWS:
        for version in flow.versions:
            plan = Plan.of(flow, version)
            parts += [f"## `{plan.label}`", _table(("", *Situation), _rows(plan))]
    return "\n\n".join(parts) + "\n"


def speakers(plan: Plan) -> list[str]:
    """Return the events that carry an `order_id`, sorted by role."""
    events = (e for e in plan.roles if "order_id" in EVENT_TYPES[e].__dataclass_fields__)
    return sorted(events, key=lambda e: (list(Role).index(plan.roles[e]), e))


def _rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    for event in speakers(plan):
        yield (f"{event} ({OWNERS[event]})", *DECLARED[plan.roles[event]])


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Write the page if it differs; with `--check` only return 1 if it does."""
    text = page()
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    if "--check" in sys.argv:
        print(
            f"{PAGE.relative_to(ROOT)} is not what is declared: run "
            "python -m saga_monitor.saga.event_matrix_page"
        )
        return 1
    PAGE.write_text(text)
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
