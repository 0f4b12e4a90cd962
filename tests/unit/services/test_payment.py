"""Payment decides on every trigger in every state as its matrix says."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sagakit.decider import (
    NOTHING,
    Callback,
    Decision,
    Effect,
    EffectResult,
    Observed,
    Trigger,
)
from sagakit.testing import Arrival, DecisionMatrix, emits, round_trip, row_of
from schemas.events import (
    PaymentRefundProgressed,
)
from services.payment.ledger import (
    ActionRequired,
    Captured,
    Declined,
    NothingLeft,
    Payment,
    Pending,
    Phase,
    Refunded,
    RefundRefused,
    Voided,
)
from services.payment.store import store
from tests.unit.services.payment_examples import (
    ACTION,
    CAPTURED,
    CHARGE,
    CHARGE_KEY,
    DEAR,
    DECLINED,
    FACTS,
    FENCE,
    FOUND,
    HALF,
    LATE,
    LATE_WITHOUT_LINES,
    LOOK,
    MAIL,
    PAYMENT,
    PENDING,
    REFUND_KEY,
    REFUNDED,
    REVIEW,
    STARTED,
    STARTED_BLIND,
    STARTED_VOID,
    SURPLUS,
    TOOK,
    again,
    do,
    facts_without_lines,
    kept,
    refund,
    undo,
    verdict,
    without_refund,
)

STATES: dict[str, tuple[Any, ...]] = {
    "new": (),
    "review": (REVIEW,),
    "action": (ACTION,),
    "pending": (PENDING,),
    "captured": (CAPTURED,),
    "captured twice": (CAPTURED, SURPLUS),
    "declined": (DECLINED,),
    "refunding blind": (STARTED_BLIND,),
    "refunding void": (PENDING, STARTED_VOID),
    "refunding": (CAPTURED, STARTED),
    "refunding half": (CAPTURED, STARTED, HALF),
    "fenced": (FENCE,),
    "refunded": (CAPTURED, STARTED, REFUNDED),
}
TRIGGERS: dict[str, Trigger | Arrival] = {
    "do": do(),
    "do, charge in flight": Arrival(do(), (CHARGE_KEY,)),
    "do, to be reviewed": do(DEAR),
    "do, invalid": do(replace(FACTS, lines=())),
    "do, invalid, charge in flight": Arrival(do(replace(FACTS, lines=())), (CHARGE_KEY,)),
    "undo": undo(),
    "undo, charge in flight": Arrival(undo(), (CHARGE_KEY,)),
    "undo, refund in flight": Arrival(undo(), (REFUND_KEY,)),
    "approve": verdict("approve"),
    "approve, charge in flight": Arrival(verdict("approve"), (CHARGE_KEY,)),
    "reject": verdict("reject"),
    "reject, charge in flight": Arrival(verdict("reject"), (CHARGE_KEY,)),
    "other verdict": verdict("shrug"),
    "charge: captured": EffectResult(CHARGE, TOOK),
    "charge: declined": EffectResult(CHARGE, Declined("ch1", "funds", "no money")),
    "charge: action": EffectResult(CHARGE, ActionRequired("ch1", "/3ds")),
    "charge: pending": EffectResult(CHARGE, Pending("ch1")),
    "look: captured": EffectResult(LOOK, TOOK),
    "look: declined": EffectResult(LOOK, Declined("ch1", "funds", "no money")),
    "look: action": EffectResult(LOOK, ActionRequired("ch1", "/3ds")),
    "look: pending": EffectResult(LOOK, Pending("ch1")),
    "void: voided": EffectResult(refund(1, "ch1", None), Voided("re2")),
    "void: refunded": EffectResult(refund(1, "ch1", None), Refunded("re2", 2500, "ch1")),
    "void: nothing left": EffectResult(refund(1, None, None), NothingLeft()),
    "refund: refunded": EffectResult(refund(1), Refunded("re2", 2500, "ch1")),
    "refund: part": EffectResult(refund(1), Refunded("re2", 500, "ch1")),
    "refund: voided": EffectResult(refund(1), Voided("re2")),
    "refund: nothing left": EffectResult(refund(1), NothingLeft()),
    "refund: refused": EffectResult(refund(1), RefundRefused("charge_disputed")),
    "reported: captured": Callback(TOOK),
    "reported: captured, charge in flight": Arrival(Callback(TOOK), (CHARGE_KEY,)),
    "reported: captured, refund in flight": Arrival(Callback(TOOK), (REFUND_KEY,)),
    "reported: another captured": Callback(Captured("ch9", 700, "EUR")),
    "reported: declined": Callback(Declined("ch1", "funds", "no money")),
    "reported: declined, charge in flight": Arrival(
        Callback(Declined("ch1", "funds", "no money")), (CHARGE_KEY,)
    ),
    "reported: another declined": Callback(Declined("ch9", "funds", "no money")),
    "reported: action": Callback(ActionRequired("ch1", "/3ds")),
    "reported: pending, charge in flight": Arrival(Callback(Pending("ch1")), (CHARGE_KEY,)),
    "reported: refunded": Callback(Refunded("re2", 2500, "ch1")),
    "reported: refunded re1 again": Callback(Refunded("re1", 2500, "ch1")),
    "reported: refunded nothing": Callback(Refunded("re2", 0, "ch1")),
    "reported: voided": Callback(Voided("re2")),
    "reported: nothing left": Callback(NothingLeft()),
    "observed": Observed("completed", CAPTURED),
    "found": Observed("ChargeFound", FOUND),
    "found, charge in flight": Arrival(Observed("ChargeFound", FOUND), (CHARGE_KEY,)),
    "found, refund in flight": Arrival(Observed("ChargeFound", FOUND), (REFUND_KEY,)),
    "again: refunded": EffectResult(again(), Refunded("re7", 2500, "ch1")),
    "result of another kind": EffectResult(Effect("other", "x", {}), object()),
}


row = partial(row_of, STATES)
UNDO = row(
    new=emits(FENCE),
    review=emits(replace(FENCE, email=MAIL)),
    action=Decision((STARTED_VOID,), (refund(1, "ch1", None),)),
    pending=Decision((STARTED_VOID,), (refund(1, "ch1", None),)),
    captured=Decision((STARTED,), (refund(1),)),
    captured_twice=Decision((replace(STARTED_VOID, amount_minor=3400),), (refund(1, "ch2", 900),)),
    declined=emits(replace(FENCE, email=MAIL)),
    refunding_blind=Decision(effects=(refund(1, None, None, None),)),
    refunding_void=Decision(effects=(refund(1, "ch1", None),)),
    refunding=Decision(effects=(refund(1),)),
    refunding_half=Decision(effects=(refund(2, "ch1", 1250),)),
    fenced=emits(FENCE),
    refunded=emits(replace(FENCE, currency="EUR", email=MAIL)),
)
CAPTURE_REPORTED = row(
    review=emits(CAPTURED),
    action=emits(CAPTURED),
    pending=emits(CAPTURED),
    declined=Decision((replace(LATE, order=facts_without_lines(email=MAIL)),), (refund(1),)),
    refunding_blind=Decision((LATE_WITHOUT_LINES,), (refund(1),)),
    refunding_void=Decision((LATE,), (refund(1, "ch1", None),)),
    fenced=Decision((LATE_WITHOUT_LINES,), (refund(1),)),
)
DECLINE_REPORTED = row(
    review=emits(DECLINED),
    action=emits(DECLINED),
    pending=emits(DECLINED),
    refunding_blind=emits(FENCE),
)
ACTION_REPORTED = row(
    review=emits(ACTION),
    pending=emits(ACTION),
    refunding_blind=Decision(
        (replace(STARTED_BLIND, charge_id="ch1"),), (refund(1, "ch1", None, None),)
    ),
)
REFUND_REPORTED = row(
    captured=emits(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
    captured_twice=emits(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
    declined=emits(
        replace(LATE, order=facts_without_lines(email=MAIL, currency="XXX"), currency="XXX"),
        replace(REFUNDED, refund_id="re2", currency="XXX", reason="no money"),
    ),
    refunding_blind=emits(
        replace(LATE, order=facts_without_lines(currency="XXX"), currency="XXX"),
        replace(FENCE, refund_id="re2", amount_minor=2500, currency="XXX"),
    ),
    refunding_void=emits(LATE, replace(REFUNDED, refund_id="re2")),
    refunding=emits(replace(REFUNDED, refund_id="re2")),
    refunding_half=emits(replace(REFUNDED, refund_id="re2", amount_minor=1250)),
    fenced=emits(
        replace(LATE, order=facts_without_lines(currency="XXX"), currency="XXX"),
        replace(FENCE, refund_id="re2", amount_minor=2500, currency="XXX"),
    ),
)


CELLS: dict[str, dict[str, Decision]] = {
    "do": row(
        new=Decision(effects=(CHARGE,)),
    ),
    "do, charge in flight": row(),
    "do, to be reviewed": row(
        new=emits(replace(REVIEW, order=DEAR, reason="the total 2500.00 EUR is above 1000")),
    ),
    "do, invalid": row(
        new=emits(
            replace(DECLINED, code="invalid", reason="lines has 0 entries: an order has 1 to 1000")
        ),
    ),
    "do, invalid, charge in flight": row(),
    "undo": UNDO,
    "undo, charge in flight": row(
        new=emits(STARTED_BLIND),
        review=emits(replace(STARTED_BLIND, email=MAIL)),
        action=Decision((STARTED_VOID,), (refund(1, "ch1", None),)),
        pending=Decision((STARTED_VOID,), (refund(1, "ch1", None),)),
        captured=Decision((STARTED,), (refund(1),)),
        captured_twice=Decision(
            (replace(STARTED_VOID, amount_minor=3400),), (refund(1, "ch2", 900),)
        ),
        declined=emits(replace(FENCE, email=MAIL)),
        refunding_void=Decision(effects=(refund(1, "ch1", None),)),
        refunding=Decision(effects=(refund(1),)),
        refunding_half=Decision(effects=(refund(2, "ch1", 1250),)),
        fenced=emits(FENCE),
        refunded=emits(replace(FENCE, currency="EUR", email=MAIL)),
    ),
    "undo, refund in flight": without_refund(UNDO),
    "approve": row(
        review=Decision(effects=(CHARGE,)),
    ),
    "approve, charge in flight": row(),
    "reject": row(
        review=emits(replace(DECLINED, code="review_rejected", reason="looks odd")),
    ),
    "reject, charge in flight": row(),
    "other verdict": row(),
    "charge: captured": row(
        new=emits(CAPTURED),
        review=emits(CAPTURED),
        action=emits(CAPTURED),
        pending=emits(CAPTURED),
        declined=Decision((replace(LATE, order=facts_without_lines(email=MAIL)),), (refund(1),)),
        refunding_blind=Decision((LATE,), (refund(1),)),
        refunding_void=Decision((LATE,), (refund(1, "ch1", None),)),
        fenced=Decision((LATE,), (refund(1),)),
    ),
    "charge: declined": row(
        new=emits(DECLINED),
        review=emits(DECLINED),
        action=emits(DECLINED),
        pending=emits(DECLINED),
        refunding_blind=emits(replace(FENCE, email=MAIL)),
    ),
    "charge: action": row(
        new=Decision((ACTION,), (LOOK,)),
        review=Decision((ACTION,), (LOOK,)),
        pending=Decision((ACTION,), (LOOK,)),
        refunding_blind=Decision((STARTED_VOID,), (LOOK, refund(1, "ch1", None))),
    ),
    "charge: pending": row(
        new=Decision((PENDING,), (LOOK,)),
        review=Decision((PENDING,), (LOOK,)),
        action=Decision((PENDING,), (LOOK,)),
        refunding_blind=Decision((STARTED_VOID,), (LOOK, refund(1, "ch1", None))),
    ),
    "look: captured": CAPTURE_REPORTED,
    "look: declined": DECLINE_REPORTED,
    "look: action": ACTION_REPORTED,
    "look: pending": row(
        review=emits(PENDING),
        action=emits(PENDING),
        refunding_blind=Decision(
            (replace(STARTED_BLIND, charge_id="ch1"),), (refund(1, "ch1", None, None),)
        ),
    ),
    "void: voided": row(
        refunding_blind=emits(replace(FENCE, refund_id="re2")),
        refunding_void=emits(replace(FENCE, refund_id="re2", email=MAIL)),
        refunding=Decision(
            (replace(HALF, refund_id="re2", amount_minor=0, remaining_minor=2500),), (refund(2),)
        ),
        refunding_half=Decision(
            (replace(HALF, refund_id="re2", amount_minor=0),), (refund(3, "ch1", 1250),)
        ),
    ),
    "void: refunded": row(
        captured=emits(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
        captured_twice=emits(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
        declined=emits(
            replace(LATE, order=facts_without_lines(email=MAIL)),
            replace(REFUNDED, refund_id="re2", reason="no money"),
        ),
        refunding_blind=emits(LATE_WITHOUT_LINES, replace(REFUNDED, refund_id="re2", email=None)),
        refunding_void=emits(LATE, replace(REFUNDED, refund_id="re2")),
        refunding=emits(replace(REFUNDED, refund_id="re2")),
        refunding_half=emits(replace(REFUNDED, refund_id="re2", amount_minor=1250)),
        fenced=emits(LATE_WITHOUT_LINES, replace(REFUNDED, refund_id="re2", email=None)),
    ),
    "void: nothing left": row(
        captured_twice=emits(
            replace(HALF, refund_id="refund:1", amount_minor=900, remaining_minor=0)
        ),
        refunding_blind=emits(replace(FENCE, refund_id="refund:1")),
        refunding_void=emits(replace(FENCE, refund_id="refund:1", email=MAIL)),
        refunding=emits(replace(REFUNDED, refund_id="refund:1")),
        refunding_half=emits(replace(REFUNDED, refund_id="refund:1", amount_minor=1250)),
    ),
    "refund: refunded": row(
        captured=emits(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
        captured_twice=emits(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
        declined=emits(
            replace(LATE, order=facts_without_lines(email=MAIL)),
            replace(REFUNDED, refund_id="re2", reason="no money"),
        ),
        refunding_blind=emits(LATE_WITHOUT_LINES, replace(REFUNDED, refund_id="re2", email=None)),
        refunding_void=emits(LATE, replace(REFUNDED, refund_id="re2")),
        refunding=emits(replace(REFUNDED, refund_id="re2")),
        refunding_half=emits(replace(REFUNDED, refund_id="re2", amount_minor=1250)),
        fenced=emits(LATE_WITHOUT_LINES, replace(REFUNDED, refund_id="re2", email=None)),
    ),
    "refund: refused": row(
        captured_twice=emits(kept(HALF, remaining_minor=0)),
        refunding_blind=emits(kept(FENCE)),
        refunding_void=emits(kept(FENCE, email=MAIL)),
        refunding=emits(kept(REFUNDED)),
    ),
    "refund: part": row(
        captured=emits(replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=0)),
        captured_twice=Decision(
            (replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=400),),
            (refund(2, "ch2", 400),),
        ),
        declined=emits(
            replace(LATE, order=facts_without_lines(500, email=MAIL), amount_minor=500),
            replace(REFUNDED, refund_id="re2", amount_minor=500, reason="no money"),
        ),
        refunding_blind=emits(
            replace(LATE, order=facts_without_lines(500), amount_minor=500),
            replace(FENCE, refund_id="re2", amount_minor=500, currency="EUR"),
        ),
        refunding_void=emits(
            replace(LATE, amount_minor=500), replace(REFUNDED, refund_id="re2", amount_minor=500)
        ),
        refunding=Decision(
            (replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=2000),),
            (refund(2, "ch1", 2000),),
        ),
        refunding_half=Decision(
            (replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=750),),
            (refund(3, "ch1", 750),),
        ),
        fenced=emits(
            replace(LATE, order=facts_without_lines(500), amount_minor=500),
            replace(FENCE, refund_id="re2", amount_minor=500, currency="EUR"),
        ),
    ),
    "refund: voided": row(),
    "refund: nothing left": row(
        refunding_blind=emits(replace(FENCE, refund_id="refund:1")),
        refunding_void=emits(replace(FENCE, refund_id="refund:1", email=MAIL)),
        refunding=emits(replace(REFUNDED, refund_id="refund:1")),
        refunding_half=emits(replace(REFUNDED, refund_id="refund:1", amount_minor=1250)),
    ),
    "reported: captured": CAPTURE_REPORTED,
    "reported: captured, charge in flight": row(
        review=emits(CAPTURED),
        action=emits(CAPTURED),
        pending=emits(CAPTURED),
        refunding_void=Decision((LATE,), (refund(1, "ch1", None),)),
    ),
    "reported: captured, refund in flight": without_refund(CAPTURE_REPORTED),
    "reported: another captured": row(
        review=emits(replace(CAPTURED, charge_id="ch9", amount_minor=700)),
        action=emits(replace(CAPTURED, charge_id="ch9", amount_minor=700)),
        pending=emits(replace(CAPTURED, charge_id="ch9", amount_minor=700)),
        captured=Decision(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(1, "ch9", 700),)
        ),
        captured_twice=Decision(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(1, "ch2", 900),)
        ),
        declined=Decision(
            (
                replace(
                    LATE,
                    order=facts_without_lines(700, email=MAIL),
                    charge_id="ch9",
                    amount_minor=700,
                ),
            ),
            (refund(1, "ch9", 700),),
        ),
        refunding_blind=Decision(
            (replace(LATE, order=facts_without_lines(700), charge_id="ch9", amount_minor=700),),
            (refund(1, "ch9", 700),),
        ),
        refunding_void=Decision(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(1, "ch1", None),)
        ),
        refunding=Decision((replace(LATE, charge_id="ch9", amount_minor=700),), (refund(1),)),
        refunding_half=Decision(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(2, "ch1", 1250),)
        ),
        fenced=Decision(
            (replace(LATE, order=facts_without_lines(700), charge_id="ch9", amount_minor=700),),
            (refund(1, "ch9", 700),),
        ),
        refunded=Decision(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(2, "ch9", 700),)
        ),
    ),
    "reported: declined": DECLINE_REPORTED,
    "reported: declined, charge in flight": row(),
    "reported: another declined": row(
        review=emits(DECLINED),
        refunding_blind=emits(FENCE),
    ),
    "reported: action": ACTION_REPORTED,
    "reported: pending, charge in flight": row(),
    "reported: refunded": REFUND_REPORTED,
    "reported: refunded re1 again": row(
        captured=emits(replace(HALF, amount_minor=2500, remaining_minor=0)),
        captured_twice=emits(replace(HALF, amount_minor=2500, remaining_minor=0)),
        declined=emits(
            replace(LATE, order=facts_without_lines(email=MAIL, currency="XXX"), currency="XXX"),
            replace(REFUNDED, currency="XXX", reason="no money"),
        ),
        refunding_blind=emits(
            replace(LATE, order=facts_without_lines(currency="XXX"), currency="XXX"),
            replace(REFUNDED, currency="XXX", email=None),
        ),
        refunding_void=emits(LATE, REFUNDED),
        refunding=emits(REFUNDED),
        fenced=emits(
            replace(LATE, order=facts_without_lines(currency="XXX"), currency="XXX"),
            replace(REFUNDED, currency="XXX", email=None),
        ),
    ),
    "reported: refunded nothing": row(
        captured_twice=Decision(
            (replace(HALF, refund_id="re2", amount_minor=0, remaining_minor=900),),
            (refund(2, "ch2", 900),),
        ),
        refunding_void=emits(replace(FENCE, refund_id="re2", email=MAIL)),
        refunding=Decision(
            (replace(HALF, refund_id="re2", amount_minor=0, remaining_minor=2500),), (refund(2),)
        ),
        refunding_half=Decision(
            (replace(HALF, refund_id="re2", amount_minor=0),), (refund(3, "ch1", 1250),)
        ),
    ),
    "reported: voided": row(),
    "reported: nothing left": row(),
    "observed": row(),
    "found": {**CAPTURE_REPORTED, "refunded": Decision(effects=(again(),))},
    "found, charge in flight": {
        **CAPTURE_REPORTED,
        "declined": NOTHING,
        "refunding blind": NOTHING,
        "fenced": NOTHING,
        "refunded": Decision(effects=(again(),)),
    },
    "found, refund in flight": without_refund(CAPTURE_REPORTED),
    "again: refunded": row(),
    "result of another kind": row(),
}


MATRIX = DecisionMatrix(PAYMENT, Payment(), STATES, TRIGGERS, CELLS, Phase)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_a_repeated_callback_changes_nothing(trigger: str, state: str) -> None:
    arrival = TRIGGERS[trigger]
    callback = arrival.trigger if isinstance(arrival, Arrival) else arrival
    if not isinstance(callback, Callback):
        return
    for event in MATRIX.check(trigger, state).when(callback).decision.events:
        # a refund of nothing has no end of its own; it takes nothing away either
        assert isinstance(event, PaymentRefundProgressed)
        assert event.amount_minor == 0


@pytest.mark.parametrize("name", STATES)
def test_the_state_survives_its_table(name: str) -> None:
    state = MATRIX.given(name).state
    assert round_trip(store(), state) == replace(state, in_flight=frozenset())
