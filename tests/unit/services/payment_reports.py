"""What is told of a payment's charges and refunds, and what payment decides in every state."""

from dataclasses import replace
from functools import partial
from typing import Any

from sagakit.decider import Callback, Decision, EffectResult, Observed, Trigger
from sagakit.testing import Arrival, emits, row_of
from schemas.events import PaymentDisputeLost, PaymentDisputeOpened, PaymentDisputeWon
from services.payment.ledger import (
    ActionRequired,
    Captured,
    Declined,
    Disputed,
    NothingLeft,
    Pending,
    Refunded,
    RefundFailed,
    Unknown,
    Voided,
    look_effect,
)
from tests.unit.services.payment_examples import (
    ACTION,
    CAPTURED,
    CHARGE_KEY,
    DECLINED,
    DOUBTED,
    DOUBTED_OTHER,
    FENCE,
    FOUND,
    HALF,
    LATE,
    LATE_WITHOUT_LINES,
    LOOK,
    MAIL,
    MISMATCHED,
    PENDING,
    REFUND_FAILED,
    REFUND_KEY,
    REFUNDED,
    REVIEW,
    STARTED,
    STARTED_BLIND,
    STARTED_VOID,
    SURPLUS,
    TOOK,
    facts_without_lines,
    refund,
    without_refund,
)

PART = Captured("ch1", 1, "EUR")
YEN = Captured("ch1", 2500, "JPY")
DISPUTED: dict[str, Any] = {
    "order_id": "o1",
    "dispute_id": "dp1",
    "charge_id": "ch1",
    "amount_minor": 2500,
    "currency": "EUR",
}
_OF = "dispute dp1: 2500 EUR (minor units) of charge ch1"
DISPUTE_OPENED = PaymentDisputeOpened(
    **DISPUTED, reason=f"{_OF} is disputed by the customer's bank; answer the provider"
)
DISPUTE_WON = PaymentDisputeWon(**DISPUTED, reason=f"{_OF} stays with the shop: the dispute is won")
DISPUTE_LOST = PaymentDisputeLost(
    **DISPUTED, reason=f"{_OF} is taken back by the customer's bank: the dispute is lost"
)

STATES: dict[str, tuple[Any, ...]] = {
    "new": (),
    "review": (REVIEW,),
    "action": (ACTION,),
    "pending": (PENDING,),
    "mismatched": (MISMATCHED,),
    "captured": (CAPTURED,),
    "captured twice": (CAPTURED, SURPLUS),
    "declined": (DECLINED,),
    "refunding blind": (STARTED_BLIND,),
    "refunding void": (PENDING, STARTED_VOID),
    "refunding": (CAPTURED, STARTED),
    "refunding half": (CAPTURED, STARTED, HALF),
    "fenced": (FENCE,),
    "refunded": (CAPTURED, STARTED, REFUNDED),
    "reopened": (CAPTURED, STARTED, REFUNDED, REFUND_FAILED),
}

row = partial(row_of, STATES)

REPORTS: dict[str, Trigger | Arrival] = {
    "look: captured": EffectResult(LOOK, TOOK),
    "look: declined": EffectResult(LOOK, Declined("ch1", "funds", "no money")),
    "look: action": EffectResult(LOOK, ActionRequired("ch1", "/3ds")),
    "look: pending": EffectResult(LOOK, Pending("ch1")),
    "look: captured a part": EffectResult(LOOK, PART),
    "look: another captured": EffectResult(look_effect("o1", "ch9"), Captured("ch9", 700, "EUR")),
    "look: unknown": EffectResult(LOOK, Unknown("ch1")),
    "reported: captured": Callback(TOOK),
    "reported: captured a part": Callback(PART),
    "reported: captured a part, look in flight": Arrival(Callback(PART), ("look:ch1:1EUR",)),
    "reported: captured in yen": Callback(YEN),
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
    "reported: refund re1 failed": Callback(RefundFailed("re1", "ch1", 2500)),
    "reported: dispute opened": Callback(Disputed("dp1", "ch1", 2500, "EUR", "opened")),
    "reported: dispute won": Callback(Disputed("dp1", "ch1", 2500, "EUR", "won")),
    "reported: dispute lost": Callback(Disputed("dp1", "ch1", 2500, "EUR", "lost")),
    "reported: dispute of another charge": Callback(Disputed("dp1", "ch9", 9, "EUR", "lost")),
    "reported: voided": Callback(Voided("re2")),
    "reported: nothing left": Callback(NothingLeft()),
    "found": Observed("ChargeFound", FOUND),
    "found, charge in flight": Arrival(Observed("ChargeFound", FOUND), (CHARGE_KEY,)),
    "found, refund in flight": Arrival(Observed("ChargeFound", FOUND), (REFUND_KEY,)),
}


CAPTURE_LOOKED = row(
    action=emits(CAPTURED),
    pending=emits(CAPTURED),
    mismatched=emits(CAPTURED),
    declined=Decision((replace(LATE, order=facts_without_lines(email=MAIL)),), (refund(1),)),
    refunding_blind=Decision((LATE_WITHOUT_LINES,), (refund(1),)),
    refunding_void=Decision((LATE,), (refund(1, "ch1", None),)),
    fenced=Decision((LATE_WITHOUT_LINES,), (refund(1),)),
)


def ask(about: str, charge_id: str = "ch1", **more: Any) -> Decision:
    """The charge is read because of a report, whatever other look is in flight."""
    return Decision(effects=(look_effect("o1", charge_id, about, **more),))


def ask_refund(refund_id: str) -> Decision:
    """The charge is read because a refund of all of it was reported."""
    return ask(refund_id, refund_id=refund_id, refunded_minor=2500)


ASK, ASK_PART, ASK_YEN = ask("2500EUR"), ask("1EUR"), ask("2500JPY")
ASK_RE1, ASK_RE2 = ask_refund("re1"), ask_refund("re2")
"""What is reported is not comparable with anything: the charge is read."""
CAPTURE_REPORTED = {**CAPTURE_LOOKED, "declined": ASK, "refunding blind": ASK, "fenced": ASK}
PART_LATE = replace(LATE, amount_minor=1)
PART_WITHOUT_LINES = replace(PART_LATE, order=facts_without_lines(1))
DOUBT = Decision((DOUBTED,), ASK_PART.effects)
IN_YEN = replace(
    DOUBTED,
    amount_minor=2500,
    currency="JPY",
    reason=DOUBTED.reason.replace("1 EUR", "2500 JPY", 1),
)
DOUBT_YEN = Decision((IN_YEN,), ASK_YEN.effects)
ASK_OTHER = ask("700EUR", "ch9")
DOUBT_OTHER = Decision((DOUBTED_OTHER,), ASK_OTHER.effects)
DECLINE_REPORTED = row(
    action=emits(DECLINED),
    pending=emits(DECLINED),
    refunding_blind=emits(FENCE),
)
ACTION_REPORTED = row(
    pending=emits(ACTION),
    refunding_blind=Decision(
        (replace(STARTED_BLIND, charge_id="ch1"),), (refund(1, "ch1", None, None),)
    ),
)
REFUND_REPORTED = row(
    mismatched=ASK_RE2,
    captured=ASK_RE2,
    captured_twice=ASK_RE2,
    declined=ASK_RE2,
    refunding_blind=ASK_RE2,
    refunding_void=ASK_RE2,
    refunding=ASK_RE2,
    refunding_half=ASK_RE2,
    fenced=ASK_RE2,
    refunded=ASK_RE2,
    reopened=ASK_RE2,
)
"""Nobody's word is enough for a refund: its charge is read."""
PART_FAILED = replace(REFUND_FAILED, amount_minor=0)
BLIND_FAILED = replace(
    PART_FAILED,
    charge_id=None,
    currency=None,
    reason=REFUND_FAILED.reason.replace("EUR ", " "),
)
FAILED = row(
    mismatched=emits(PART_FAILED),
    captured=emits(PART_FAILED),
    captured_twice=emits(replace(PART_FAILED)),
    refunding_void=emits(BLIND_FAILED),
    refunding=emits(PART_FAILED),
    refunding_half=emits(replace(REFUND_FAILED, amount_minor=1250)),
    refunded=emits(REFUND_FAILED),
)
"""Only a refund that was booked takes its money back into the books. One that was asked for may
fail before it is booked."""


def disputed(event: Any) -> dict[str, Decision]:
    """The event in every state: with what is left of the charge, or that the books have none."""
    none = replace(
        event, amount_minor=0, reason=f"{event.reason}; payment's books have no such charge"
    )
    return row(
        action=emits(none),
        pending=emits(none),
        mismatched=emits(replace(event, amount_minor=1)),
        captured=emits(event),
        captured_twice=emits(event),
        declined=emits(none),
        refunding_blind=emits(none),
        refunding_void=emits(none),
        refunding=emits(event),
        refunding_half=emits(replace(event, amount_minor=1250)),
        fenced=emits(none),
        refunded=emits(replace(event, amount_minor=0)),
        reopened=emits(event),
    )


def hinted(booked_minor: int = 0) -> Decision:
    """The charge is read, and what payment's books had refunded by then is remembered."""
    return Decision(effects=(look_effect("o1", "ch1", "2500:0", booked_minor=booked_minor),))


OF_ANOTHER = emits(
    replace(
        DISPUTE_LOST,
        charge_id="ch9",
        amount_minor=0,
        reason="dispute dp1: 9 EUR (minor units) of charge ch9 is taken back by the customer's "
        "bank: the dispute is lost; payment's books have no such charge",
    )
)
MISMATCHED_OTHER = replace(
    MISMATCHED,
    charge_id="ch9",
    amount_minor=700,
    reason="the provider captured 700 EUR (minor units) by charge ch9; asked for were 2500 EUR by "
    "charge ch1",
)
FOUND_ROW = row(
    action=hinted(),
    pending=hinted(),
    mismatched=hinted(),
    declined=hinted(),
    refunding_blind=hinted(),
    refunding_void=hinted(),
    refunding_half=hinted(1250),
    fenced=hinted(),
    refunded=hinted(2500),
)
"""Whatever is said of a charge, it is read at the provider; nothing was asked of it in review."""
REPORTED: dict[str, dict[str, Decision]] = {
    "look: captured": CAPTURE_LOOKED,
    "look: captured a part": row(
        action=emits(MISMATCHED),
        pending=emits(MISMATCHED),
        declined=Decision(
            (replace(PART_LATE, order=facts_without_lines(1, email=MAIL)),), (refund(1, "ch1", 1),)
        ),
        refunding_blind=Decision((PART_WITHOUT_LINES,), (refund(1, "ch1", 1),)),
        refunding_void=Decision((PART_LATE,), (refund(1, "ch1", None),)),
        fenced=Decision((PART_WITHOUT_LINES,), (refund(1, "ch1", 1),)),
    ),
    "look: unknown": row(),
    "reported: captured a part": row(
        action=DOUBT,
        pending=DOUBT,
        declined=ASK_PART,
        refunding_blind=ASK_PART,
        refunding_void=DOUBT,
        fenced=ASK_PART,
    ),
    "reported: captured a part, look in flight": row(),
    "reported: captured in yen": row(
        action=DOUBT_YEN,
        pending=DOUBT_YEN,
        mismatched=DOUBT_YEN,
        captured=DOUBT_YEN,
        captured_twice=DOUBT_YEN,
        declined=ASK_YEN,
        refunding_blind=ASK_YEN,
        refunding_void=DOUBT_YEN,
        refunding=DOUBT_YEN,
        refunding_half=DOUBT_YEN,
        fenced=ASK_YEN,
        refunded=DOUBT_YEN,
        reopened=DOUBT_YEN,
    ),
    "reported: refund re1 failed": FAILED,
    "reported: dispute opened": disputed(DISPUTE_OPENED),
    "reported: dispute won": disputed(DISPUTE_WON),
    "reported: dispute lost": disputed(DISPUTE_LOST),
    "reported: dispute of another charge": row(
        **{
            state.replace(" ", "_"): OF_ANOTHER
            for state in STATES
            if state not in ("new", "review")
        }
    ),
    "look: declined": DECLINE_REPORTED,
    "look: action": ACTION_REPORTED,
    "look: pending": row(
        action=emits(PENDING),
        refunding_blind=Decision(
            (replace(STARTED_BLIND, charge_id="ch1"),), (refund(1, "ch1", None, None),)
        ),
    ),
    "reported: captured": CAPTURE_REPORTED,
    "reported: captured, charge in flight": row(
        review=emits(CAPTURED),
        mismatched=emits(CAPTURED),
        action=emits(CAPTURED),
        pending=emits(CAPTURED),
        refunding_void=Decision((LATE,), (refund(1, "ch1", None),)),
    ),
    "reported: captured, refund in flight": without_refund(CAPTURE_REPORTED),
    "look: another captured": row(
        action=emits(MISMATCHED_OTHER),
        pending=emits(MISMATCHED_OTHER),
        mismatched=emits(MISMATCHED_OTHER),
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
        reopened=Decision(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(2, "ch1", 2500),)
        ),
    ),
    "reported: another captured": row(
        action=DOUBT_OTHER,
        pending=DOUBT_OTHER,
        mismatched=DOUBT_OTHER,
        captured=DOUBT_OTHER,
        captured_twice=DOUBT_OTHER,
        declined=ASK_OTHER,
        refunding_blind=ASK_OTHER,
        refunding_void=DOUBT_OTHER,
        refunding=DOUBT_OTHER,
        refunding_half=DOUBT_OTHER,
        fenced=ASK_OTHER,
        refunded=DOUBT_OTHER,
        reopened=DOUBT_OTHER,
    ),
    "reported: declined": DECLINE_REPORTED,
    "reported: declined, charge in flight": row(),
    "reported: another declined": row(
        refunding_blind=emits(FENCE),
    ),
    "reported: action": ACTION_REPORTED,
    "reported: pending, charge in flight": row(),
    "reported: refunded": REFUND_REPORTED,
    "reported: refunded re1 again": row(
        mismatched=ASK_RE1,
        captured=ASK_RE1,
        captured_twice=ASK_RE1,
        declined=ASK_RE1,
        refunding_blind=ASK_RE1,
        refunding_void=ASK_RE1,
        refunding=ASK_RE1,
        fenced=ASK_RE1,
    ),
    "reported: refunded nothing": row(),
    "reported: voided": row(),
    "reported: nothing left": row(),
    "found": FOUND_ROW,
    "found, charge in flight": row(),
    "found, refund in flight": FOUND_ROW,
}
