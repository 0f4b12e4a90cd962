"""Writes docs/reference/late-events.md from `event_matrix` and a contract's flow files.

`--check` only compares.

python -m saga_monitor.saga.event_matrix_page PACKAGE [--check]
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from saga_monitor.saga.event_matrix import DECLARED_EFFECTS, EventEffect, Situation
from saga_monitor.saga.flow_plan import Plan, Role
from sagakit.contract.loader import load_contract
from sagakit.contract.made_page import make, table
from sagakit.contract.model import Contract
from sagakit.contract.package_tool import run_tool

PAGE = Path("docs/reference/late-events.md")
"""The page, below the folder that holds the contract's package."""
_EFFECT_TEXTS = {
    EventEffect.STARTS: "the saga starts",
    EventEffect.MOVES: "another event is awaited, or one event fewer",
    EventEffect.TURNS_BACK: "the saga is undone from now on",
    EventEffect.UNDOES_AGAIN: "the step was done after it was undone, so it is undone once more",
    EventEffect.PAUSES: "no new work starts and no deadline runs until it is resumed",
    EventEffect.NOTHING: "known already, too early, or too late: it is kept and changes nothing",
    EventEffect.CONTRADICTS: "the intervention `undone_past_pivot` is opened: a step was undone "
    "although the saga is past its pivot",
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


def page_text(package: str) -> str:
    """Return the text of a contract's page. Raises ContractError or FlowError."""
    contract = load_contract(package)
    parts = [
        "# Events that come late, early, or twice",
        f"Made by `python -m saga_monitor.saga.event_matrix_page {package}` from "
        "`saga_monitor/saga/event_matrix.py` and the flow files; edit those, not this page. A test "
        "compares every cell with what the monitor derives.",
        table(("the saga is", ""), ((s.value, means) for s, means in _SITUATION_TEXTS.items())),
        table(("the event", ""), ((e.value, means) for e, means in _EFFECT_TEXTS.items())),
    ]
    for flow in contract.flows:
        for version in flow.versions:
            plan = Plan.of(flow, version)
            parts += [f"## `{plan.label}`", table(("", *Situation), _rows(plan, contract))]
    return "\n\n".join(parts) + "\n"


def saga_events(plan: Plan, contract: Contract) -> list[str]:
    """Return the events that belong to a saga, sorted by role."""
    events = (e for e in plan.roles if contract.event_types[e].saga_id_field)
    return sorted(events, key=lambda e: (list(Role).index(plan.roles[e]), e))


def _rows(plan: Plan, contract: Contract) -> Iterator[tuple[str, ...]]:
    for event in saga_events(plan, contract):
        yield f"{event} ({contract.owners[event]})", *DECLARED_EFFECTS[plan.roles[event]]


def main(arguments: Sequence[str]) -> int:
    """Write the page if it differs; with `--check` only return 1 if it does."""
    return make(
        "saga_monitor.saga.event_matrix_page",
        __doc__,
        arguments,
        lambda files: {PAGE: page_text(files.package)},
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))
