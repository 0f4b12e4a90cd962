"""Tests what flight decides, for every trigger in every state."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from trip_examples import BOOKED, CANCEL, CAPTURED, REASON, TRIP

from sagakit import Callback, Command, Decision, Do, EffectResult, Observed, Participant, Undo
from sagakit.testing import Arrival, DecisionMatrix, MemoryStore, emits, row_of
from travel.flight.decide import (
    BOUGHT_LATE,
    BUY,
    REFUND,
    TOO_LATE,
    Booked,
    Flight,
    Kept,
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
    FlightKept,
    FlightMismatched,
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
ODD = Booked("f1", 1, "EUR")
MISMATCHED = FlightMismatched(
    trip_id="t1",
    ticket_id="f1",
    amount_minor=1,
    currency="EUR",
    reason="the airline took 1 EUR (minor units); the fare is 55000 EUR (minor units)",
)
ODD_LATE = replace(LATE, amount_minor=1)
KEPT = "the airline refuses for good to give back 55000 EUR (minor units)"
NOTHING_BACK = "the airline gave back nothing of 55000 EUR (minor units)"
PART_BACK = "the airline gave back 1 EUR (minor units) of 55000 EUR (minor units)"
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


def kept(why: str, **more: Any) -> tuple[Any, Any]:
    """Return the case and the end of an undo that leaves money with the airline."""
    return FlightKept(trip_id="t1", reason=why), replace(FENCE, kept=why, **more)


START = Decision((STARTED,), (UNASK,))
AGAIN = Decision(effects=(UNASK,))
LATE_START = Decision((LATE, replace(STARTED, reason=BOUGHT_LATE)), (UNASK,))
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
        "booked, another fare": EffectResult(ASK, ODD),
        "refused": EffectResult(ASK, Refused("sold out")),
        "cancelled, never bought": EffectResult(UNASK, Refunded()),
        "cancelled, refunded": EffectResult(UNASK, Refunded("re1", TICKET)),
        "cancelled, a part refunded": EffectResult(UNASK, Refunded("re1", ODD)),
        "kept": EffectResult(UNASK, Kept(TICKET)),
        "kept, it does not say what": EffectResult(UNASK, Kept()),
        "observed": Observed("completed", BOOKED),
        "callback": Callback(TICKET),
        "verdict": Command("approve", "bob", "fine"),
    },
    cells={
        "do": row(new=Decision(effects=(ASK,))),
        "undo": row(new=emits(FENCE), **UNDONE),
        "undo, call in flight": row(new=START, **UNDONE),
        "booked": row(
            new=emits(BOOKED), failed=LATE_START, cancelling=emits(LATE), cancelled=LATE_START
        ),
        "booked, another fare": row(
            new=Decision((MISMATCHED, replace(STARTED, reason=MISMATCHED.reason)), (UNASK,)),
            failed=Decision((ODD_LATE, replace(STARTED, reason=BOUGHT_LATE)), (UNASK,)),
            cancelling=emits(ODD_LATE),
            cancelled=Decision((ODD_LATE, replace(STARTED, reason=BOUGHT_LATE)), (UNASK,)),
        ),
        "refused": row(new=emits(SOLD_OUT)),
        "cancelled, never bought": row(
            cancelling=emits(FENCE), cancelling_paid=emits(*kept(NOTHING_BACK))
        ),
        "cancelled, a part refunded": row(
            cancelling=emits(ODD_LATE, replace(REFUNDED, amount_minor=1)),
            cancelling_paid=emits(
                *kept(PART_BACK, refund_id="re1", amount_minor=1, currency="EUR")
            ),
        ),
        "kept": row(cancelling=emits(LATE, *kept(KEPT)), cancelling_paid=emits(*kept(KEPT))),
        "kept, it does not say what": row(
            cancelling=emits(*kept("the airline refuses for good to give back what was paid")),
            cancelling_paid=emits(*kept(KEPT)),
        ),
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
    MATRIX.check_results([Booked, Refused, Refunded, Kept])


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)
