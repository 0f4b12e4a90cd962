"""Tests dispatch's decision on every trigger in every state: a blank cell fails."""

from typing import Any

import pytest
from sagakit import Callback, Command, Do, Effect, EffectResult, Observed, Undo
from sagakit.testing import DecisionMatrix, emits, row_of

from dispatch.decide import Phase, Reservation
from dispatch.service import participant
from tests.examples import (
    ACCEPTED,
    CANCELLED,
    REASON,
    RELEASED,
    REQUESTED,
    TOO_LONG,
    TURNED_DOWN,
)

from errand_events import FLOWS

STATES: dict[str, tuple[Any, ...]] = {
    Phase.NEW: (),
    Phase.SET_ASIDE: (ACCEPTED,),
    Phase.TURNED_DOWN: (TURNED_DOWN,),
    Phase.FREE: (RELEASED,),
}
NEVER = row_of(STATES)  # a state that is not named answers with nothing
MATRIX = DecisionMatrix(
    participant(),
    Reservation(),
    STATES,
    triggers={
        "do": Do(REQUESTED),
        "do, too long": Do(TOO_LONG),
        "undo": Undo(CANCELLED, REASON),
        "result": EffectResult(Effect("none", "none", {}), None),
        "callback": Callback(None),
        "command": Command("approve", "bob", "fine"),
        "observed": Observed("completed", REQUESTED),
    },
    cells={
        "do": row_of(STATES, new=emits(ACCEPTED)),
        "do, too long": row_of(STATES, new=emits(TURNED_DOWN)),
        "undo": dict.fromkeys(STATES, emits(RELEASED)),
        "result": NEVER,
        "callback": NEVER,
        "command": NEVER,
        "observed": NEVER,
    },
    phases=Phase,
)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()
    MATRIX.check_triggers()
    MATRIX.check_routing(FLOWS)


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)
