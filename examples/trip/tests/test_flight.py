"""Tests what flight decides, for every trigger in every state."""

from dataclasses import replace
from functools import partial

import pytest
from trip_examples import BOOKED, CANCEL, CAPTURED, REASON, TRIP

from sagakit import Callback, Command, Decision, Do, EffectResult, Observed, Participant, Undo
from sagakit.testing import Arrival, DecisionMatrix, MemoryStore, emits, row_of
from travel.flight.decide import (
    BUY,
    REFUND,
    TOO_LATE,
    Booked,
    Flight,
    Phase,
    Refunded,
    Refused,
    decide,
    evolve,
)
from travel.payload import effect_of
from trips import FLOWS
from trips.events import (
    FlightBookedLate,
    FlightCancelled,
    FlightCancelRefused,
    FlightCancelStarted,
    FlightFailed,
)

FLIGHT = Participant("flight", decide, evolve, MemoryStore(Flight()))
ASK = effect_of(BUY, BUY, "t1", TRIP)
UNASK = effect_of(REFUND, REFUND, "t1")
TICKET = Booked("f1", 55_000, "EUR")
SOLD_OUT = FlightFailed(trip_id="t1", reason="sold out")
STARTED = FlightCancelStarted(trip_id="t1", reason=REASON)
LATE = FlightBookedLate(trip_id="t1", ticket_id="f1", amount_minor=55_000, currency="EUR")
FENCE = FlightCancelled(trip_id="t1", amount_minor=0, reason=REASON)
REFUNDED = replace(FENCE, refund_id="re1", amount_minor=55_000, currency="EUR")
REFUSED = FlightCancelRefused(trip_id="t1", reason=TOO_LATE)

STATES = {
    "new": (),
    "booked": (BOOKED,),
    "failed": (SOLD_OUT,),
    "cancelling": (STARTED,),
    "cancelling, paid": (STARTED, LATE),
    "cancelled": (FENCE,),
    "cancelled, refunded": (STARTED, LATE, REFUNDED),
}
row = partial(row_of, STATES)
START = Decision((STARTED,), (UNASK,))
AGAIN = Decision(effects=(UNASK,))
BOUGHT_LATE = Decision((LATE, replace(STARTED, reason="it was bought too late")), (UNASK,))
UNDONE = {
    "booked": emits(REFUSED),
    "failed": emits(FENCE),
    "cancelling": AGAIN,
    "cancelling_paid": AGAIN,
    "cancelled": emits(FENCE),
    "cancelled_refunded": emits(FENCE),
}
MATRIX = DecisionMatrix(
    FLIGHT,
    Flight(),
    STATES,
    triggers={
        "do": Do(CAPTURED),
        "undo": Undo(CANCEL, REASON),
        "undo, call in flight": Arrival(Undo(CANCEL, REASON), (BUY,)),
        "booked": EffectResult(ASK, TICKET),
        "refused": EffectResult(ASK, Refused("sold out")),
        "cancelled, never bought": EffectResult(UNASK, Refunded()),
        "cancelled, refunded": EffectResult(UNASK, Refunded("re1", TICKET)),
        "observed": Observed("completed", BOOKED),
        "callback": Callback(TICKET),
        "verdict": Command("approve", "bob", "fine"),
    },
    cells={
        "do": row(new=Decision(effects=(ASK,))),
        "undo": row(new=emits(FENCE), **UNDONE),
        "undo, call in flight": row(new=START, **UNDONE),
        "booked": row(
            new=emits(BOOKED), failed=BOUGHT_LATE, cancelling=emits(LATE), cancelled=BOUGHT_LATE
        ),
        "refused": row(new=emits(SOLD_OUT)),
        "cancelled, never bought": row(cancelling=emits(FENCE), cancelling_paid=emits(FENCE)),
        "cancelled, refunded": row(
            cancelling=emits(LATE, REFUNDED), cancelling_paid=emits(REFUNDED)
        ),
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
    MATRIX.check_results([Booked, Refused, Refunded])


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)
