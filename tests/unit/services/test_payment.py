"""Payment decides on every trigger in every state as its matrix says."""

from dataclasses import replace

import pytest

from sagakit.decider import (
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
    Declined,
    NothingLeft,
    Payment,
    Pending,
    Phase,
    Refunded,
    RefundFailed,
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
    HALF,
    LATE,
    LATE_WITHOUT_LINES,
    LOOK,
    MAIL,
    MISMATCHED,
    PAYMENT,
    PENDING,
    REFUND_KEY,
    REFUNDED,
    REVIEW,
    STARTED,
    STARTED_BLIND,
    STARTED_VOID,
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
from tests.unit.services.payment_reports import (
    BLIND_FAILED,
    FAILED,
    PART,
    REPORTED,
    REPORTS,
    STATES,
    row,
)

PART_LATE = replace(LATE, amount_minor=1)
TRIGGERS: dict[str, Trigger | Arrival] = {
    **REPORTS,
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
    "charge: captured a part": EffectResult(CHARGE, PART),
    "charge: declined": EffectResult(CHARGE, Declined("ch1", "funds", "no money")),
    "charge: action": EffectResult(CHARGE, ActionRequired("ch1", "/3ds")),
    "charge: pending": EffectResult(CHARGE, Pending("ch1")),
    "void: voided": EffectResult(refund(1, "ch1", None), Voided("re2")),
    "void: refunded": EffectResult(refund(1, "ch1", None), Refunded("re2", 2500, "ch1")),
    "void: nothing left": EffectResult(refund(1, None, None), NothingLeft()),
    "refund: refunded": EffectResult(refund(1), Refunded("re2", 2500, "ch1")),
    "refund: part": EffectResult(refund(1), Refunded("re2", 500, "ch1")),
    "refund: failed": EffectResult(refund(1), RefundFailed("re1", "ch1", 2500)),
    "refund: voided": EffectResult(refund(1), Voided("re2")),
    "refund: nothing left": EffectResult(refund(1), NothingLeft()),
    "refund: refused": EffectResult(refund(1), RefundRefused("charge_disputed")),
    "observed": Observed("completed", CAPTURED),
    "again: refunded": EffectResult(again(), Refunded("re7", 2500, "ch1")),
    "result of another kind": EffectResult(Effect("other", "x", {}), object()),
}


UNDO = row(
    new=emits(FENCE),
    review=emits(replace(FENCE, email=MAIL)),
    action=Decision((STARTED_VOID,), (refund(1, "ch1", None),)),
    pending=Decision((STARTED_VOID,), (refund(1, "ch1", None),)),
    mismatched=Decision((replace(STARTED, amount_minor=1),), (refund(1, "ch1", None),)),
    reopened=Decision(effects=(refund(2),)),
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
CELLS: dict[str, dict[str, Decision]] = {
    **REPORTED,
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
        mismatched=Decision((replace(STARTED, amount_minor=1),), (refund(1, "ch1", None),)),
        reopened=Decision(effects=(refund(2),)),
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
        mismatched=emits(CAPTURED),
        declined=Decision((replace(LATE, order=facts_without_lines(email=MAIL)),), (refund(1),)),
        refunding_blind=Decision((LATE,), (refund(1),)),
        refunding_void=Decision((LATE,), (refund(1, "ch1", None),)),
        fenced=Decision((LATE,), (refund(1),)),
    ),
    "charge: captured a part": row(
        new=emits(MISMATCHED),
        review=emits(MISMATCHED),
        action=emits(MISMATCHED),
        pending=emits(MISMATCHED),
        declined=Decision(
            (replace(PART_LATE, order=facts_without_lines(1, email=MAIL)),), (refund(1, "ch1", 1),)
        ),
        refunding_blind=Decision((PART_LATE,), (refund(1, "ch1", 1),)),
        refunding_void=Decision((PART_LATE,), (refund(1, "ch1", None),)),
        fenced=Decision((PART_LATE,), (refund(1, "ch1", 1),)),
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
    "void: voided": row(
        reopened=Decision(
            (replace(HALF, refund_id="re2", amount_minor=0, remaining_minor=2500),),
            (refund(3),),
        ),
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
        mismatched=emits(LATE, replace(REFUNDED, refund_id="re2", reason="")),
        reopened=emits(replace(REFUNDED, refund_id="re2")),
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
        reopened=emits(replace(REFUNDED, refund_id="refund:1")),
        captured_twice=emits(
            replace(HALF, refund_id="refund:1", amount_minor=900, remaining_minor=0)
        ),
        refunding_blind=emits(replace(FENCE, refund_id="refund:1")),
        refunding_void=emits(replace(FENCE, refund_id="refund:1", email=MAIL)),
        refunding=emits(replace(REFUNDED, refund_id="refund:1")),
        refunding_half=emits(replace(REFUNDED, refund_id="refund:1", amount_minor=1250)),
    ),
    "refund: refunded": row(
        mismatched=emits(replace(HALF, refund_id="re2", amount_minor=1, remaining_minor=0)),
        reopened=emits(replace(REFUNDED, refund_id="re2")),
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
        mismatched=emits(replace(HALF, refund_id="re2", amount_minor=1, remaining_minor=0)),
        reopened=Decision(
            (replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=2000),),
            (refund(3, "ch1", 2000),),
        ),
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
    "refund: failed": {
        **FAILED,
        **row_of(
            ["action", "pending", "declined"],
            action=emits(BLIND_FAILED),
            pending=emits(BLIND_FAILED),
            declined=emits(BLIND_FAILED),
        ),
        "refunding blind": emits(replace(BLIND_FAILED, email=None)),
        "fenced": emits(replace(BLIND_FAILED, email=None)),
    },
    "refund: nothing left": row(
        reopened=emits(replace(REFUNDED, refund_id="refund:1")),
        refunding_blind=emits(replace(FENCE, refund_id="refund:1")),
        refunding_void=emits(replace(FENCE, refund_id="refund:1", email=MAIL)),
        refunding=emits(replace(REFUNDED, refund_id="refund:1")),
        refunding_half=emits(replace(REFUNDED, refund_id="refund:1", amount_minor=1250)),
    ),
    "observed": row(),
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
