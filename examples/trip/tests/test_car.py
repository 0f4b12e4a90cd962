"""Tests what car decides, for every trigger in every state."""

from functools import partial

import pytest
from trip_examples import BOOKED, PLACED, REASON, RESERVED, TRIP

from sagakit import Callback, Command, Decision, Do, EffectResult, Observed, Participant, Undo
from sagakit.testing import Arrival, DecisionMatrix, MemoryStore, emits, row_of
from travel.car.decide import (
    CANCEL,
    KEPT,
    RESERVE,
    Cancelled,
    Car,
    Kept,
    Phase,
    Reserved,
    Unavailable,
    decide,
    evolve,
)
from travel.payload import effect_of
from trips import FLOWS
from trips.events import CarKept, CarReleased, CarReleaseStarted, CarUnavailable, HotelFailed

CAR = Participant("car", decide, evolve, MemoryStore(Car()))
ASK = effect_of(RESERVE, RESERVE, "t1", TRIP)
UNASK = effect_of(CANCEL, CANCEL, "t1")
NONE_LEFT = CarUnavailable(trip_id="t1", reason="none left")
STARTED = CarReleaseStarted(trip_id="t1", reason=REASON)
RELEASED = CarReleased(trip_id="t1", reason=REASON)
FAILED = HotelFailed(trip_id="t1", code="declined", reason=REASON)

STATES = {
    "new": (),
    "reserved": (RESERVED,),
    "unavailable": (NONE_LEFT,),
    "releasing": (STARTED,),
    "released": (RELEASED,),
}
row = partial(row_of, STATES)
START = Decision((STARTED,), (UNASK,))
AGAIN = Decision(effects=(UNASK,))
MATRIX = DecisionMatrix(
    CAR,
    Car(),
    STATES,
    triggers={
        "do": Do(PLACED),
        "undo": Undo(FAILED, REASON),
        "undo, call in flight": Arrival(Undo(FAILED, REASON), (RESERVE,)),
        "reserved": EffectResult(ASK, Reserved("r1")),
        "unavailable": EffectResult(ASK, Unavailable("none left")),
        "cancelled": EffectResult(UNASK, Cancelled()),
        "kept": EffectResult(UNASK, Kept()),
        "observed": Observed("completed", BOOKED),
        "callback": Callback(Reserved("r1")),
        "verdict": Command("approve", "bob", "fine"),
    },
    cells={
        "do": row(new=Decision(effects=(ASK,))),
        "undo": row(
            new=emits(RELEASED),
            reserved=START,
            unavailable=emits(RELEASED),
            releasing=AGAIN,
            released=emits(RELEASED),
        ),
        "undo, call in flight": row(
            new=START,
            reserved=START,
            unavailable=emits(RELEASED),
            releasing=AGAIN,
            released=emits(RELEASED),
        ),
        "reserved": row(new=emits(RESERVED)),
        "unavailable": row(new=emits(NONE_LEFT)),
        "cancelled": row(releasing=emits(RELEASED)),
        "kept": row(releasing=emits(CarKept(trip_id="t1", reason=KEPT), RELEASED)),
        "observed": row(),
        "callback": row(),
        "verdict": row(),
    },
    phases=Phase,
)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()
    MATRIX.check_triggers()
    MATRIX.check_routing(FLOWS)
    MATRIX.check_results([Reserved, Unavailable, Cancelled, Kept])


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)
