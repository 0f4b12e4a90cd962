"""Writes docs/reference/late-events.md from `event_matrix` and the flow files.

`--check` only compares.

python -m saga_monitor.saga.event_matrix_page [--check]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from saga_monitor.saga.event_matrix import DECLARED_EFFECTS, EventEffect, Situation
from saga_monitor.saga.flow_plan import Plan, Role
from schemas import EVENT_TYPES, FLOWS, OWNERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/late-events.md"
_EFFECT_TEXTS = {
    EventEffect.STARTS: "the order starts",
    EventEffect.MOVES: "another event is awaited, or one event fewer",
    EventEffect.TURNS_BACK: "the order is undone from now on",
    EventEffect.UNDOES_AGAIN: "the step was done after it was undone, so it is undone once more",
    EventEffect.PAUSES: "no new work starts and no deadline runs until it is resumed",
    EventEffect.NOTHING: "known already, too early, or too late: it is kept and changes nothing",
    EventEffect.CONTRADICTS: "the intervention `undone_past_pivot` is opened: a step was undone "
    "although the order is past its pivot",
    EventEffect.UNEXPECTED: "the intervention `unexpected_event` is opened: no participant may "
    "send this event now",
}
_SITUATION_TEXTS = {
    Situation.UNPLACED: "the start event was not read",
    Situation.PLACED: "it has started, no step is done",
    Situation.READY: "every step before the pivot is done",
    Situation.UNDOING: "the pivot has failed, and every step before it is still to be undone",
    Situation.CANCELLED: "every step is undone",
    Situation.PAST: "the pivot is done, a step after it is not",
    Situation.COMPLETED: "every step is done",
}


def page_text() -> str:
    """Return the text of docs/reference/late-events.md."""
    parts = [
        "# Events that come late, early, or twice",
        "Made by `python -m saga_monitor.saga.event_matrix_page` from "
        "`saga_monitor/saga/event_matrix.py` and the flow files; edit those, not this page. A test "
        "compares every cell with what the monitor derives.",
        _table(("the order is", ""), ((s.value, means) for s, means in _SITUATION_TEXTS.items())),
        _table(("the event", ""), ((e.value, means) for e, means in _EFFECT_TEXTS.items())),
    ]
    for flow in FLOWS:
        for version in flow.versions:
            plan = Plan.of(flow, version)
            parts += [f"## `{plan.label}`", _table(("", *Situation), _rows(plan))]
    return "\n\n".join(parts) + "\n"


def saga_events(plan: Plan) -> list[str]:
    """Return the events that belong to a saga, sorted by role."""
    events = (e for e in plan.roles if EVENT_TYPES[e].saga_id_field)
    return sorted(events, key=lambda e: (list(Role).index(plan.roles[e]), e))


def _rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    for event in saga_events(plan):
        yield (f"{event} ({OWNERS[event]})", *DECLARED_EFFECTS[plan.roles[event]])


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Write the page if it differs; with `--check` only return 1 if it does."""
    text = page_text()
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    if "--check" in sys.argv:
        print(
            f"{PAGE.relative_to(ROOT)} is out of date; run "
            "`python -m saga_monitor.saga.event_matrix_page`"
        )
        return 1
    PAGE.write_text(text)
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
