"""Tests what hotel decides, for every trigger in every state."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from trip_examples import BOOKED, CAPTURED, HELD, INN, REASON, RESERVED, RITZ, TRIP

from sagakit import Callback, Command, Decision, Do, EffectResult, Observed, Participant, Undo
from sagakit.testing import NOW, DecisionMatrix, MemoryStore, Past, emits, row_of
from travel.hotel import decide as hotel
from travel.hotel.decide import (
    Captured,
    ChangesClosed,
    Declined,
    Expired,
    Held,
    Hotel,
    Lapsed,
    Phase,
    Released,
    decide,
    evolve,
)
from travel.payload import effect_of
from trips import FLOWS
from trips.events import (
    FlightFailed,
    HotelCapturedLate,
    HotelDoubted,
    HotelFailed,
    HotelKept,
    HotelMismatched,
    HotelReleased,
    HotelReleaseStarted,
    HotelReversed,
    StayChangeAccepted,
    StayChangeRefused,
    StayChangeRequested,
    StayChangesClosed,
)

HOTEL = Participant("hotel", decide, evolve, MemoryStore(Hotel()))


def call(kind: str, key: str, *, trip: bool = True, **more: Any) -> Any:
    """Return an effect of hotel."""
    return effect_of(kind, key, "t1", TRIP if trip else None, **more)


HOLD = call("hold", "hold:0", stay=RITZ)
HOLD_INN = call("hold", "hold:1", stay=INN)
VOID = call("void", "void:0", trip=False, holds=["hold:0"])
VOID_INN = call("void", "void:1", trip=False, holds=["hold:1"])
CAPTURE = call("capture", "capture", stay=RITZ)
CAPTURE_INN = call("capture", "capture", stay=INN)
RELEASE = call("release", "release", trip=False, stay=RITZ, holds=["hold:0"])
RELEASE_BOTH = call("release", "release", trip=False, stay=RITZ, holds=["hold:0", "hold:1"])
RELEASE_UNKNOWN = call("release", "release", trip=False, holds=["hold:0"])
RELEASE_NOTHING = call("release", "release", trip=False, holds=[])

ASKED = Held("h1", 40_000, "EUR")
MONEY = Captured("h1", 40_000, "EUR")
HELD_INN = replace(HELD, stay=INN, hold_id="h2")
WANTED = StayChangeRequested(trip_id="t1", stay=INN)
ACCEPTED = StayChangeAccepted(trip_id="t1", stay=INN)
TOO_DEAR = StayChangeRefused(trip_id="t1", stay=INN, reason="above the limit")
TOO_LATE = replace(TOO_DEAR, reason="the stay can no longer be changed")
CLOSED = StayChangesClosed(trip_id="t1")
LATE = HotelCapturedLate(trip_id="t1", stay=RITZ, hold_id="h1", amount_minor=40_000, currency="EUR")
DECLINED = HotelFailed(trip_id="t1", code="declined", reason="above the limit")
EXPIRED = HotelFailed(trip_id="t1", code="expired", reason="the pre-authorisation has expired")
STARTED = HotelReleaseStarted(trip_id="t1", reason=REASON)
RESTARTED = replace(STARTED, reason=hotel.TOO_LATE)
FENCE = HotelReleased(trip_id="t1", amount_minor=0, reason=REASON)
REFUNDED = replace(FENCE, refund_id="re1", amount_minor=40_000, currency="EUR")
KEPT = "the payer refuses for good to give back 40000 EUR (minor units)"
CASE = HotelKept(trip_id="t1", reason=KEPT)
KEEPS = replace(FENCE, kept=KEPT)
GONE = "the payer has refunded the price"
REVERSED = HotelReversed(
    trip_id="t1",
    refund_id="re9",
    amount_minor=40_000,
    currency="EUR",
    reason=f"the payer had taken 40000 EUR (minor units): {GONE}",
)
NOTHING_BACK = "the payer gave back nothing of 40000 EUR (minor units)"
OTHER = Held("h9", 1, "EUR")
LOOK = call("look", "look:expired", stay=RITZ)
LOOK_OTHER = call("look", "look:h9:1EUR", stay=RITZ)
DOUBTED = HotelDoubted(
    trip_id="t1",
    reason="the payer reports 1 EUR (minor units) by h9; it is h1 that holds 40000 EUR",
)
ODD = "the payer holds 1 EUR (minor units); the price is 40000 EUR"
NOT_HELD = Decision((replace(DECLINED, reason=ODD),), (VOID,))
MISMATCHED = HotelMismatched(
    trip_id="t1",
    stay=RITZ,
    hold_id="h1",
    amount_minor=40_000,
    currency="EUR",
    reason="the payer took 40000 EUR (minor units) by h1; the price is 40000 EUR, held by h2",
)
SOLD_OUT = FlightFailed(trip_id="t1", reason=REASON)

STATES: dict[str, Any] = {
    "new": (),
    "new, another wanted": (ACCEPTED,),
    "holding": Past((), ("hold:0",)),
    "held": (HELD,),
    "held, another wanted": Past((HELD, ACCEPTED), ("hold:1",)),
    "held, another closed": Past((HELD, ACCEPTED, CLOSED), ("hold:1",)),
    "changed": (HELD, ACCEPTED, HELD_INN),
    "held, closed": Past((HELD, CLOSED), ("capture",)),
    "captured": (HELD, CLOSED, CAPTURED),
    "failed": (DECLINED,),
    "failed, expired": (HELD, EXPIRED),
    "releasing": (HELD, STARTED),
    "releasing, asked": Past((HELD, STARTED), ("release",)),
    "releasing, unheld": (STARTED,),
    "releasing, taken": (HELD, CLOSED, STARTED, LATE),
    "released": (FENCE,),
}
HELD_STATES = ("held", "held, another wanted", "held, another closed", "changed", "held, closed")
ENDED = {
    "failed": emits(FENCE),
    "failed_expired": emits(FENCE),
    "releasing": Decision(effects=(RELEASE,)),
    "releasing_unheld": Decision(effects=(RELEASE_NOTHING,)),
    "releasing_taken": Decision(effects=(RELEASE,)),
    "released": emits(FENCE),
}
REFUSED = emits(TOO_LATE)
CAPTURED_LATE = Decision((LATE, RESTARTED), (RELEASE,))
row = partial(row_of, STATES)


def keyword(state: str) -> str:
    """Return a state's name as `row_of` takes it."""
    return state.replace(", ", "_").replace(" ", "_")


RELEASE_INN = call("release", "release", trip=False, stay=INN, holds=["hold:1"])
CELLS = {
    "do": row(
        new=Decision(effects=(HOLD,)),
        new_another_wanted=Decision(effects=(HOLD,)),
        holding=Decision(effects=(HOLD,)),
    ),
    "undo": row(
        new=emits(FENCE),
        new_another_wanted=emits(FENCE),
        holding=Decision((STARTED,), (RELEASE_UNKNOWN,)),
        held=Decision((STARTED,), (RELEASE,)),
        held_another_wanted=Decision((STARTED,), (RELEASE_BOTH,)),
        held_another_closed=Decision((STARTED,), (RELEASE_BOTH,)),
        changed=Decision((STARTED,), (RELEASE_INN,)),
        held_closed=Decision((STARTED,), (RELEASE,)),
        captured=Decision((STARTED,), (RELEASE,)),
        **ENDED,
    ),
    "change": row(
        new=emits(ACCEPTED),
        new_another_wanted=emits(ACCEPTED),
        holding=emits(ACCEPTED),
        held=Decision((ACCEPTED,), (HOLD_INN,)),
        held_another_wanted=emits(ACCEPTED),
        held_another_closed=REFUSED,
        changed=emits(ACCEPTED),
        held_closed=REFUSED,
        captured=REFUSED,
        failed=REFUSED,
        failed_expired=REFUSED,
        releasing=REFUSED,
        releasing_asked=REFUSED,
        releasing_unheld=REFUSED,
        releasing_taken=REFUSED,
        released=REFUSED,
    ),
    "held": row(
        new=emits(HELD),
        new_another_wanted=Decision((HELD,), (HOLD_INN,)),
        holding=emits(HELD),
        failed=Decision(effects=(VOID,)),
        changed=Decision(effects=(VOID,)),
        releasing_unheld=Decision(effects=(VOID,)),
        released=Decision(effects=(VOID,)),
    ),
    "another held": row(
        new=emits(HELD_INN),
        new_another_wanted=emits(HELD_INN),
        holding=emits(HELD_INN),
        held=Decision((HELD_INN,), (VOID, HOLD)),
        held_another_wanted=Decision((HELD_INN,), (VOID,)),
        held_another_closed=Decision((HELD_INN,), (VOID, CAPTURE_INN)),
        held_closed=Decision((HELD_INN,), (VOID, HOLD)),
        captured=Decision(effects=(VOID_INN,)),
        failed=Decision(effects=(VOID_INN,)),
        failed_expired=Decision(effects=(VOID_INN,)),
        releasing=Decision(effects=(VOID_INN,)),
        releasing_asked=Decision(effects=(VOID_INN,)),
        releasing_unheld=Decision(effects=(VOID_INN,)),
        releasing_taken=Decision(effects=(VOID_INN,)),
        released=Decision(effects=(VOID_INN,)),
    ),
    "declined": row(
        new=emits(DECLINED),
        new_another_wanted=emits(DECLINED),
        holding=emits(DECLINED),
        changed=emits(replace(TOO_DEAR, stay=RITZ)),
    ),
    "another declined": row(
        new=emits(DECLINED),
        new_another_wanted=emits(DECLINED),
        holding=emits(DECLINED),
        held=emits(TOO_DEAR),
        held_another_wanted=emits(TOO_DEAR),
        held_another_closed=Decision((TOO_DEAR,), (CAPTURE,)),
        held_closed=Decision((TOO_DEAR,), (CAPTURE,)),
    ),
    "voided": row(),
    "captured": row(
        new=CAPTURED_LATE,
        new_another_wanted=CAPTURED_LATE,
        holding=CAPTURED_LATE,
        held=emits(CAPTURED),
        held_another_wanted=emits(CAPTURED),
        held_another_closed=emits(CAPTURED),
        changed=Decision((MISMATCHED, replace(STARTED, reason=MISMATCHED.reason)), (RELEASE_BOTH,)),
        held_closed=emits(CAPTURED),
        failed=CAPTURED_LATE,
        failed_expired=CAPTURED_LATE,
        releasing=emits(LATE),
        releasing_asked=emits(LATE),
        releasing_unheld=emits(LATE),
        released=CAPTURED_LATE,
    ),
    "lapsed": row(**dict.fromkeys(map(keyword, HELD_STATES), emits(EXPIRED))),
    "released": row(
        releasing=emits(FENCE),
        releasing_asked=emits(FENCE),
        releasing_unheld=emits(FENCE),
        releasing_taken=emits(
            HotelKept(trip_id="t1", reason=NOTHING_BACK), replace(FENCE, kept=NOTHING_BACK)
        ),
    ),
    "refunded": row(
        releasing=emits(LATE, REFUNDED),
        releasing_asked=emits(LATE, REFUNDED),
        releasing_unheld=emits(LATE, REFUNDED),
        releasing_taken=emits(REFUNDED),
    ),
    "changes closed": row(
        held=Decision((CLOSED,), (CAPTURE,)), held_another_wanted=Decision((CLOSED,), (HOLD_INN,))
    ),
    "expired": row(held=emits(EXPIRED), captured=Decision(effects=(LOOK,))),
    "expired, something else": row(
        held=Decision((DOUBTED,), (LOOK_OTHER,)),
        held_another_wanted=Decision((DOUBTED,), (LOOK_OTHER,)),
        held_another_closed=Decision((DOUBTED,), (LOOK_OTHER,)),
        held_closed=Decision((DOUBTED,), (LOOK_OTHER,)),
        captured=Decision((DOUBTED,), (LOOK_OTHER,)),
    ),
    "read, it is held": row(),
    "read, it is gone": row(held=emits(replace(EXPIRED, reason=GONE)), captured=emits(REVERSED)),
    "something else held": row(
        new=NOT_HELD,
        new_another_wanted=NOT_HELD,
        holding=NOT_HELD,
        failed=Decision(effects=(VOID,)),
        changed=Decision((replace(TOO_DEAR, stay=RITZ, reason=ODD),), (VOID,)),
        releasing_unheld=Decision(effects=(VOID,)),
        released=Decision(effects=(VOID,)),
    ),
    "kept": row(
        releasing=emits(LATE, CASE, KEEPS),
        releasing_asked=emits(LATE, CASE, KEEPS),
        releasing_unheld=emits(LATE, CASE, KEEPS),
        releasing_taken=emits(CASE, KEEPS),
    ),
    "not voided": {
        state: emits(HotelKept(trip_id="t1", reason=hotel.NOT_VOIDED)) for state in STATES
    },
    "another observed": row(),
    "verdict": row(),
}
MATRIX = DecisionMatrix(
    HOTEL,
    Hotel(),
    STATES,
    triggers={
        "do": Do(RESERVED),
        "undo": Undo(SOLD_OUT, REASON),
        "change": Observed("StayChangeRequested", WANTED),
        "held": EffectResult(HOLD, ASKED),
        "another held": EffectResult(HOLD_INN, Held("h2", 12_000, "EUR")),
        "declined": EffectResult(HOLD, Declined("above the limit")),
        "another declined": EffectResult(HOLD_INN, Declined("above the limit")),
        "voided": EffectResult(VOID, Released()),
        "captured": EffectResult(CAPTURE, MONEY),
        "lapsed": EffectResult(CAPTURE, Lapsed("the pre-authorisation has expired")),
        "released": EffectResult(RELEASE, Released()),
        "refunded": EffectResult(RELEASE, Released("re1", MONEY)),
        "changes closed": Callback(ChangesClosed(0, ASKED)),
        "expired": Callback(Expired(0, ASKED)),
        "expired, something else": Callback(Expired(0, OTHER)),
        "read, it is held": EffectResult(LOOK, ASKED),
        "read, it is gone": EffectResult(LOOK, Lapsed(GONE, "re9")),
        "something else held": EffectResult(HOLD, replace(ASKED, amount_minor=1)),
        "kept": EffectResult(RELEASE, Released(captured=MONEY, kept=True)),
        "not voided": EffectResult(VOID, Released(kept=True)),
        "another observed": Observed("completed", BOOKED),
        "verdict": Command("approve", "bob", "fine"),
    },
    cells=CELLS,
    phases=Phase,
)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()
    MATRIX.check_triggers()
    MATRIX.check_routing(FLOWS)
    MATRIX.check_results([Held, Declined, Captured, Lapsed, Released, ChangesClosed, Expired])


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


@pytest.mark.parametrize(
    "odd",
    [
        replace(MONEY, amount_minor=1),
        replace(MONEY, currency="JPY"),
        replace(MONEY, hold_id="h9"),
    ],
    ids=str,
)
def test_a_capture_of_something_else_is_given_back(odd: Captured) -> None:
    """Given a stay that is held; when the payer takes something else than its price; then the trip
    is not paid: what was taken is released, and an event calls a person."""
    state = evolve(evolve(Hotel(), HELD), StayChangesClosed(trip_id="t1"))
    decided = decide(state, EffectResult(CAPTURE, odd), NOW)
    mismatched, started = decided.events
    assert isinstance(mismatched, HotelMismatched)
    assert (mismatched.amount_minor, mismatched.currency) == (odd.amount_minor, odd.currency)
    assert started == HotelReleaseStarted(trip_id="t1", reason=mismatched.reason)
    assert decided.effects == (RELEASE,)


def test_a_part_that_comes_back_is_a_case_and_the_undo_goes_on() -> None:
    """Given a stay whose price was taken; when the payer gives back a part; then the undo is over,
    with what is left, and an event calls a person."""
    state = Hotel()
    for event in (HELD, CLOSED, STARTED, LATE):
        state = evolve(state, event)
    part = Released("re1", replace(MONEY, amount_minor=1))
    kept, released = decide(state, EffectResult(RELEASE, part), NOW).events
    reason = "the payer gave back 1 EUR (minor units) of 40000 EUR (minor units)"
    assert kept == HotelKept(trip_id="t1", reason=reason)
    assert released == replace(REFUNDED, amount_minor=1, kept=reason)


def test_money_that_nobody_asked_for_does_not_stop_the_undo() -> None:
    """Given an undo that has overtaken the hold; when the payer took and refunded something by
    itself; then nothing is booked, and the undo is over."""
    state = evolve(Hotel(), STARTED)
    answer = EffectResult(RELEASE_UNKNOWN, Released("re1", MONEY))
    assert decide(state, answer, NOW).events == (replace(FENCE, refund_id="re1"),)
