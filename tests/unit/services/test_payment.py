"""Payment: what it answers in every situation, and the races that matter told as stories."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from sagakit.decider import Callback, Command, Do, Effect, EffectResult, Observed, Trigger, Undo
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from schemas.events import (
    ChargeFound,
    InventoryReserved,
    OrderFacts,
    OrderLine,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentDeclined,
    PaymentPending,
    PaymentRefunded,
    PaymentRefundProgressed,
    PaymentRefundStarted,
    PaymentReviewRequired,
    ShipmentFailed,
    VerdictGiven,
)
from services.payment.decide import Policy, decide
from services.payment.ledger import (
    ActionRequired,
    Captured,
    Declined,
    NothingLeft,
    Payment,
    Pending,
    Phase,
    Refunded,
    Voided,
    charge_effect,
    evolve,
    look_effect,
)
from services.payment.store import store
from tests.gwt import NOW, Given, given, through_its_table
from tests.order_facts import TWO_TEAS

PAYMENT = Participant("payment", decide, evolve, MemoryStore(Payment()))
FACTS = replace(TWO_TEAS, ship_to="1 Main Street\nSpringfield")
DEAR = replace(
    FACTS,
    total_minor=250_000,
    lines=(OrderLine(sku="car", quantity=1, unit_price_minor=250_000),),
)
MAIL = FACTS.email
CHARGE_KEY, REFUND_KEY = "charge:o1", "refund:o1:1"
CHARGE = charge_effect("o1", FACTS)
LOOK = look_effect("o1", "ch1")
REASON = "no such street"


def refund(
    n: int,
    charge_id: str | None = "ch1",
    amount_minor: int | None = 2500,
    currency: str | None = "EUR",
) -> Effect:
    payload = {
        "order_id": "o1",
        "charge_id": charge_id,
        "charge_key": CHARGE_KEY,
        "amount_minor": amount_minor,
        "currency": currency,
    }
    return Effect("refund", f"refund:o1:{n}", payload)


def do(facts: OrderFacts = FACTS) -> Do:
    return Do(InventoryReserved(order_id="o1", order=facts))


def undo(reason: str = REASON) -> Undo:
    return Undo(ShipmentFailed(order_id="o1", code="refused", reason=reason), reason)


def verdict(word: str, reason: str = "looks odd") -> Command:
    given_ = VerdictGiven(order_id="o1", step="payment", verdict=word, actor="bob", reason=reason)
    return Command(word, "bob", reason, given_)


def bare(amount_minor: int = 2500, email: str = "", currency: str = "EUR") -> OrderFacts:
    """Facts of an order nobody told us about: nothing to ship."""
    return OrderFacts(
        customer_id="",
        email=email,
        currency=currency,
        total_minor=amount_minor,
        lines=(),
        card_token="",
        ship_to="",
    )


TOOK = Captured("ch1", 2500, "EUR")
CAPTURED = PaymentCaptured(
    order_id="o1", order=FACTS, charge_id="ch1", amount_minor=2500, currency="EUR"
)
LATE = replace(CAPTURED, late=True)
LATE_BARE = replace(LATE, order=bare())
SURPLUS = replace(LATE, charge_id="ch2", amount_minor=900)
REVIEW = PaymentReviewRequired(order_id="o1", order=FACTS, reason="doubt")
ACTION = PaymentActionRequired(order_id="o1", order=FACTS, charge_id="ch1", action_url="/3ds")
PENDING = PaymentPending(order_id="o1", order=FACTS, charge_id="ch1")
DECLINED = PaymentDeclined(order_id="o1", code="funds", reason="no money", email=MAIL)
STARTED_BLIND = PaymentRefundStarted(order_id="o1", amount_minor=0, reason=REASON)
STARTED_VOID = replace(STARTED_BLIND, charge_id="ch1", email=MAIL)
STARTED = replace(STARTED_VOID, amount_minor=2500)
HALF = PaymentRefundProgressed(
    order_id="o1", refund_id="re1", amount_minor=1250, remaining_minor=1250
)
FENCE = PaymentRefunded(order_id="o1", amount_minor=0, reason=REASON)
REFUNDED = PaymentRefunded(
    order_id="o1", refund_id="re1", amount_minor=2500, currency="EUR", reason=REASON, email=MAIL
)

# --- the table ------------------------------------------------------------------------------------

FOUND = ChargeFound(
    order_id="o1",
    charge_id="ch1",
    captured_minor=2500,
    refunded_minor=0,
    currency="EUR",
    actor="saga_monitor",
    reason="the provider holds it",
)


def again(amount_minor: int = 2500, before_minor: int = 0, charge_id: str = "ch1") -> Effect:
    """A refund that our books have and the provider has not."""
    payload = {**refund(1, charge_id, amount_minor).payload, "again": True}
    return Effect("refund", f"refund:o1:again:{charge_id}:{before_minor}", payload)


SITUATIONS: dict[str, tuple[Any, ...]] = {
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
TRIGGERS: dict[str, tuple[Trigger, tuple[str, ...]]] = {
    "do": (do(), ()),
    "do, charge in flight": (do(), (CHARGE_KEY,)),
    "do, to be reviewed": (do(DEAR), ()),
    "do, invalid": (do(replace(FACTS, lines=())), ()),
    "do, invalid, charge in flight": (do(replace(FACTS, lines=())), (CHARGE_KEY,)),
    "undo": (undo(), ()),
    "undo, charge in flight": (undo(), (CHARGE_KEY,)),
    "undo, refund in flight": (undo(), (REFUND_KEY,)),
    "approve": (verdict("approve"), ()),
    "approve, charge in flight": (verdict("approve"), (CHARGE_KEY,)),
    "reject": (verdict("reject"), ()),
    "reject, charge in flight": (verdict("reject"), (CHARGE_KEY,)),
    "other verdict": (verdict("shrug"), ()),
    "charge: captured": (EffectResult(CHARGE, TOOK), ()),
    "charge: declined": (EffectResult(CHARGE, Declined("ch1", "funds", "no money")), ()),
    "charge: action": (EffectResult(CHARGE, ActionRequired("ch1", "/3ds")), ()),
    "charge: pending": (EffectResult(CHARGE, Pending("ch1")), ()),
    "look: captured": (EffectResult(LOOK, TOOK), ()),
    "look: declined": (EffectResult(LOOK, Declined("ch1", "funds", "no money")), ()),
    "look: action": (EffectResult(LOOK, ActionRequired("ch1", "/3ds")), ()),
    "look: pending": (EffectResult(LOOK, Pending("ch1")), ()),
    "void: voided": (EffectResult(refund(1, "ch1", None), Voided("re2")), ()),
    "void: refunded": (EffectResult(refund(1, "ch1", None), Refunded("re2", 2500, "ch1")), ()),
    "void: nothing left": (EffectResult(refund(1, None, None), NothingLeft()), ()),
    "refund: refunded": (EffectResult(refund(1), Refunded("re2", 2500, "ch1")), ()),
    "refund: part": (EffectResult(refund(1), Refunded("re2", 500, "ch1")), ()),
    "refund: voided": (EffectResult(refund(1), Voided("re2")), ()),
    "refund: nothing left": (EffectResult(refund(1), NothingLeft()), ()),
    "told: captured": (Callback(TOOK), ()),
    "told: captured, charge in flight": (Callback(TOOK), (CHARGE_KEY,)),
    "told: captured, refund in flight": (Callback(TOOK), (REFUND_KEY,)),
    "told: another captured": (Callback(Captured("ch9", 700, "EUR")), ()),
    "told: declined": (Callback(Declined("ch1", "funds", "no money")), ()),
    "told: declined, charge in flight": (
        Callback(Declined("ch1", "funds", "no money")),
        (CHARGE_KEY,),
    ),
    "told: another declined": (Callback(Declined("ch9", "funds", "no money")), ()),
    "told: action": (Callback(ActionRequired("ch1", "/3ds")), ()),
    "told: pending, charge in flight": (Callback(Pending("ch1")), (CHARGE_KEY,)),
    "told: refunded": (Callback(Refunded("re2", 2500, "ch1")), ()),
    "told: refunded re1 again": (Callback(Refunded("re1", 2500, "ch1")), ()),
    "told: refunded nothing": (Callback(Refunded("re2", 0, "ch1")), ()),
    "told: voided": (Callback(Voided("re2")), ()),
    "told: nothing left": (Callback(NothingLeft()), ()),
    "observed": (Observed("completed", CAPTURED), ()),
    "found": (Observed("ChargeFound", FOUND), ()),
    "found, charge in flight": (Observed("ChargeFound", FOUND), (CHARGE_KEY,)),
    "found, refund in flight": (Observed("ChargeFound", FOUND), (REFUND_KEY,)),
    "again: refunded": (EffectResult(again(), Refunded("re7", 2500, "ch1")), ()),
    "result of another kind": (EffectResult(Effect("other", "x", {}), object()), ()),
}


@dataclass(frozen=True)
class Answer:
    events: tuple[Any, ...] = ()
    effects: tuple[Effect, ...] = ()


NO = Answer()


def says(*events: Any) -> Answer:
    return Answer(events)


def nothing_but(**answers: Answer) -> dict[str, Answer]:
    """A column of the table; names as in SITUATIONS with `_` for what is between the words."""
    names = {s.replace(" ", "_"): s for s in SITUATIONS}
    assert answers.keys() <= names.keys()
    return {names[name]: answers.get(name, NO) for name in names}


UNDO = nothing_but(
    new=says(FENCE),
    review=says(replace(FENCE, email=MAIL)),
    action=Answer((STARTED_VOID,), (refund(1, "ch1", None),)),
    pending=Answer((STARTED_VOID,), (refund(1, "ch1", None),)),
    captured=Answer((STARTED,), (refund(1),)),
    captured_twice=Answer((replace(STARTED_VOID, amount_minor=3400),), (refund(1, "ch2", 900),)),
    declined=says(replace(FENCE, email=MAIL)),
    refunding_blind=Answer(effects=(refund(1, None, None, None),)),
    refunding_void=Answer(effects=(refund(1, "ch1", None),)),
    refunding=Answer(effects=(refund(1),)),
    refunding_half=Answer(effects=(refund(2, "ch1", 1250),)),
    fenced=says(FENCE),
    refunded=says(replace(FENCE, currency="EUR", email=MAIL)),
)
CAPTURE_TOLD = nothing_but(
    review=says(CAPTURED),
    action=says(CAPTURED),
    pending=says(CAPTURED),
    declined=Answer((replace(LATE, order=bare(email=MAIL)),), (refund(1),)),
    refunding_blind=Answer((LATE_BARE,), (refund(1),)),
    refunding_void=Answer((LATE,), (refund(1, "ch1", None),)),
    fenced=Answer((LATE_BARE,), (refund(1),)),
)
DECLINE_TOLD = nothing_but(
    review=says(DECLINED),
    action=says(DECLINED),
    pending=says(DECLINED),
    refunding_blind=says(FENCE),
)
ACTION_TOLD = nothing_but(
    review=says(ACTION),
    pending=says(ACTION),
    refunding_blind=Answer(
        (replace(STARTED_BLIND, charge_id="ch1"),), (refund(1, "ch1", None, None),)
    ),
)
REFUND_TOLD = nothing_but(
    captured=says(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
    captured_twice=says(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
    declined=says(
        replace(LATE, order=bare(email=MAIL, currency="XXX"), currency="XXX"),
        replace(REFUNDED, refund_id="re2", currency="XXX", reason="no money"),
    ),
    refunding_blind=says(
        replace(LATE, order=bare(currency="XXX"), currency="XXX"),
        replace(FENCE, refund_id="re2", amount_minor=2500, currency="XXX"),
    ),
    refunding_void=says(LATE, replace(REFUNDED, refund_id="re2")),
    refunding=says(replace(REFUNDED, refund_id="re2")),
    refunding_half=says(replace(REFUNDED, refund_id="re2", amount_minor=1250)),
    fenced=says(
        replace(LATE, order=bare(currency="XXX"), currency="XXX"),
        replace(FENCE, refund_id="re2", amount_minor=2500, currency="XXX"),
    ),
)
TABLE: dict[str, dict[str, Answer]] = {
    "do": nothing_but(
        new=Answer(effects=(CHARGE,)),
    ),
    "do, charge in flight": nothing_but(),
    "do, to be reviewed": nothing_but(
        new=says(replace(REVIEW, order=DEAR, reason="the total 2500.00 EUR is above 1000")),
    ),
    "do, invalid": nothing_but(
        new=says(
            replace(DECLINED, code="invalid", reason="lines has 0 entries: an order has 1 to 1000")
        ),
    ),
    "do, invalid, charge in flight": nothing_but(),
    "undo": UNDO,
    "undo, charge in flight": nothing_but(
        new=says(STARTED_BLIND),
        review=says(replace(STARTED_BLIND, email=MAIL)),
        action=Answer((STARTED_VOID,), (refund(1, "ch1", None),)),
        pending=Answer((STARTED_VOID,), (refund(1, "ch1", None),)),
        captured=Answer((STARTED,), (refund(1),)),
        captured_twice=Answer(
            (replace(STARTED_VOID, amount_minor=3400),), (refund(1, "ch2", 900),)
        ),
        declined=says(replace(FENCE, email=MAIL)),
        refunding_void=Answer(effects=(refund(1, "ch1", None),)),
        refunding=Answer(effects=(refund(1),)),
        refunding_half=Answer(effects=(refund(2, "ch1", 1250),)),
        fenced=says(FENCE),
        refunded=says(replace(FENCE, currency="EUR", email=MAIL)),
    ),
    "undo, refund in flight": UNDO,
    "approve": nothing_but(
        review=Answer(effects=(CHARGE,)),
    ),
    "approve, charge in flight": nothing_but(),
    "reject": nothing_but(
        review=says(replace(DECLINED, code="review_rejected", reason="looks odd")),
    ),
    "reject, charge in flight": nothing_but(),
    "other verdict": nothing_but(),
    "charge: captured": nothing_but(
        new=says(CAPTURED),
        review=says(CAPTURED),
        action=says(CAPTURED),
        pending=says(CAPTURED),
        declined=Answer((replace(LATE, order=bare(email=MAIL)),), (refund(1),)),
        refunding_blind=Answer((LATE,), (refund(1),)),
        refunding_void=Answer((LATE,), (refund(1, "ch1", None),)),
        fenced=Answer((LATE,), (refund(1),)),
    ),
    "charge: declined": nothing_but(
        new=says(DECLINED),
        review=says(DECLINED),
        action=says(DECLINED),
        pending=says(DECLINED),
        refunding_blind=says(replace(FENCE, email=MAIL)),
    ),
    "charge: action": nothing_but(
        new=Answer((ACTION,), (LOOK,)),
        review=Answer((ACTION,), (LOOK,)),
        pending=Answer((ACTION,), (LOOK,)),
        refunding_blind=Answer((STARTED_VOID,), (LOOK, refund(1, "ch1", None))),
    ),
    "charge: pending": nothing_but(
        new=Answer((PENDING,), (LOOK,)),
        review=Answer((PENDING,), (LOOK,)),
        action=Answer((PENDING,), (LOOK,)),
        refunding_blind=Answer((STARTED_VOID,), (LOOK, refund(1, "ch1", None))),
    ),
    "look: captured": CAPTURE_TOLD,
    "look: declined": DECLINE_TOLD,
    "look: action": ACTION_TOLD,
    "look: pending": nothing_but(
        review=says(PENDING),
        action=says(PENDING),
        refunding_blind=Answer(
            (replace(STARTED_BLIND, charge_id="ch1"),), (refund(1, "ch1", None, None),)
        ),
    ),
    "void: voided": nothing_but(
        refunding_blind=says(replace(FENCE, refund_id="re2")),
        refunding_void=says(replace(FENCE, refund_id="re2", email=MAIL)),
        refunding=Answer(
            (replace(HALF, refund_id="re2", amount_minor=0, remaining_minor=2500),), (refund(2),)
        ),
        refunding_half=Answer(
            (replace(HALF, refund_id="re2", amount_minor=0),), (refund(3, "ch1", 1250),)
        ),
    ),
    "void: refunded": nothing_but(
        captured=says(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
        captured_twice=says(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
        declined=says(
            replace(LATE, order=bare(email=MAIL)),
            replace(REFUNDED, refund_id="re2", reason="no money"),
        ),
        refunding_blind=says(LATE_BARE, replace(REFUNDED, refund_id="re2", email=None)),
        refunding_void=says(LATE, replace(REFUNDED, refund_id="re2")),
        refunding=says(replace(REFUNDED, refund_id="re2")),
        refunding_half=says(replace(REFUNDED, refund_id="re2", amount_minor=1250)),
        fenced=says(LATE_BARE, replace(REFUNDED, refund_id="re2", email=None)),
    ),
    "void: nothing left": nothing_but(
        captured_twice=says(
            replace(HALF, refund_id="refund:o1:1", amount_minor=900, remaining_minor=0)
        ),
        refunding_blind=says(replace(FENCE, refund_id="refund:o1:1")),
        refunding_void=says(replace(FENCE, refund_id="refund:o1:1", email=MAIL)),
        refunding=says(replace(REFUNDED, refund_id="refund:o1:1")),
        refunding_half=says(replace(REFUNDED, refund_id="refund:o1:1", amount_minor=1250)),
    ),
    "refund: refunded": nothing_but(
        captured=says(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
        captured_twice=says(replace(HALF, refund_id="re2", amount_minor=2500, remaining_minor=0)),
        declined=says(
            replace(LATE, order=bare(email=MAIL)),
            replace(REFUNDED, refund_id="re2", reason="no money"),
        ),
        refunding_blind=says(LATE_BARE, replace(REFUNDED, refund_id="re2", email=None)),
        refunding_void=says(LATE, replace(REFUNDED, refund_id="re2")),
        refunding=says(replace(REFUNDED, refund_id="re2")),
        refunding_half=says(replace(REFUNDED, refund_id="re2", amount_minor=1250)),
        fenced=says(LATE_BARE, replace(REFUNDED, refund_id="re2", email=None)),
    ),
    "refund: part": nothing_but(
        captured=says(replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=0)),
        captured_twice=Answer(
            (replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=400),),
            (refund(2, "ch2", 400),),
        ),
        declined=says(
            replace(LATE, order=bare(500, email=MAIL), amount_minor=500),
            replace(REFUNDED, refund_id="re2", amount_minor=500, reason="no money"),
        ),
        refunding_blind=says(
            replace(LATE, order=bare(500), amount_minor=500),
            replace(FENCE, refund_id="re2", amount_minor=500, currency="EUR"),
        ),
        refunding_void=says(
            replace(LATE, amount_minor=500), replace(REFUNDED, refund_id="re2", amount_minor=500)
        ),
        refunding=Answer(
            (replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=2000),),
            (refund(2, "ch1", 2000),),
        ),
        refunding_half=Answer(
            (replace(HALF, refund_id="re2", amount_minor=500, remaining_minor=750),),
            (refund(3, "ch1", 750),),
        ),
        fenced=says(
            replace(LATE, order=bare(500), amount_minor=500),
            replace(FENCE, refund_id="re2", amount_minor=500, currency="EUR"),
        ),
    ),
    "refund: voided": nothing_but(),
    "refund: nothing left": nothing_but(
        refunding_blind=says(replace(FENCE, refund_id="refund:o1:1")),
        refunding_void=says(replace(FENCE, refund_id="refund:o1:1", email=MAIL)),
        refunding=says(replace(REFUNDED, refund_id="refund:o1:1")),
        refunding_half=says(replace(REFUNDED, refund_id="refund:o1:1", amount_minor=1250)),
    ),
    "told: captured": CAPTURE_TOLD,
    "told: captured, charge in flight": nothing_but(
        review=says(CAPTURED),
        action=says(CAPTURED),
        pending=says(CAPTURED),
        refunding_void=Answer((LATE,), (refund(1, "ch1", None),)),
    ),
    "told: captured, refund in flight": CAPTURE_TOLD,
    "told: another captured": nothing_but(
        review=says(replace(CAPTURED, charge_id="ch9", amount_minor=700)),
        action=says(replace(CAPTURED, charge_id="ch9", amount_minor=700)),
        pending=says(replace(CAPTURED, charge_id="ch9", amount_minor=700)),
        captured=Answer(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(1, "ch9", 700),)
        ),
        captured_twice=Answer(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(1, "ch2", 900),)
        ),
        declined=Answer(
            (replace(LATE, order=bare(700, email=MAIL), charge_id="ch9", amount_minor=700),),
            (refund(1, "ch9", 700),),
        ),
        refunding_blind=Answer(
            (replace(LATE, order=bare(700), charge_id="ch9", amount_minor=700),),
            (refund(1, "ch9", 700),),
        ),
        refunding_void=Answer(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(1, "ch1", None),)
        ),
        refunding=Answer((replace(LATE, charge_id="ch9", amount_minor=700),), (refund(1),)),
        refunding_half=Answer(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(2, "ch1", 1250),)
        ),
        fenced=Answer(
            (replace(LATE, order=bare(700), charge_id="ch9", amount_minor=700),),
            (refund(1, "ch9", 700),),
        ),
        refunded=Answer(
            (replace(LATE, charge_id="ch9", amount_minor=700),), (refund(2, "ch9", 700),)
        ),
    ),
    "told: declined": DECLINE_TOLD,
    "told: declined, charge in flight": nothing_but(),
    "told: another declined": nothing_but(
        review=says(DECLINED),
        refunding_blind=says(FENCE),
    ),
    "told: action": ACTION_TOLD,
    "told: pending, charge in flight": nothing_but(),
    "told: refunded": REFUND_TOLD,
    "told: refunded re1 again": nothing_but(
        captured=says(replace(HALF, amount_minor=2500, remaining_minor=0)),
        captured_twice=says(replace(HALF, amount_minor=2500, remaining_minor=0)),
        declined=says(
            replace(LATE, order=bare(email=MAIL, currency="XXX"), currency="XXX"),
            replace(REFUNDED, currency="XXX", reason="no money"),
        ),
        refunding_blind=says(
            replace(LATE, order=bare(currency="XXX"), currency="XXX"),
            replace(REFUNDED, currency="XXX", email=None),
        ),
        refunding_void=says(LATE, REFUNDED),
        refunding=says(REFUNDED),
        fenced=says(
            replace(LATE, order=bare(currency="XXX"), currency="XXX"),
            replace(REFUNDED, currency="XXX", email=None),
        ),
    ),
    "told: refunded nothing": nothing_but(
        captured_twice=Answer(
            (replace(HALF, refund_id="re2", amount_minor=0, remaining_minor=900),),
            (refund(2, "ch2", 900),),
        ),
        refunding_void=says(replace(FENCE, refund_id="re2", email=MAIL)),
        refunding=Answer(
            (replace(HALF, refund_id="re2", amount_minor=0, remaining_minor=2500),), (refund(2),)
        ),
        refunding_half=Answer(
            (replace(HALF, refund_id="re2", amount_minor=0),), (refund(3, "ch1", 1250),)
        ),
    ),
    "told: voided": nothing_but(),
    "told: nothing left": nothing_but(),
    "observed": nothing_but(),
    "found": {**CAPTURE_TOLD, "refunded": Answer(effects=(again(),))},
    "found, charge in flight": {
        **CAPTURE_TOLD,
        "declined": NO,
        "refunding blind": NO,
        "fenced": NO,
        "refunded": Answer(effects=(again(),)),
    },
    "found, refund in flight": CAPTURE_TOLD,
    "again: refunded": nothing_but(),
    "result of another kind": nothing_but(),
}
CELLS = [(t, s) for t in TABLE for s in TABLE[t]]


def situation(name: str, *in_flight: str) -> Given:
    return given(PAYMENT, Payment(), *SITUATIONS[name], in_flight=in_flight)


def test_no_cell_of_the_table_is_blank() -> None:
    assert {situation(name).state.phase for name in SITUATIONS} == set(Phase)
    assert set(CELLS) == set(product(TRIGGERS, SITUATIONS))


@pytest.mark.parametrize(("trigger", "name"), CELLS)
def test_every_cell(trigger: str, name: str) -> None:
    told, in_flight = TRIGGERS[trigger]
    answer = TABLE[trigger][name]
    situation(name, *in_flight).when(told).then(*answer.events, effects=answer.effects)


@pytest.mark.parametrize(("trigger", "name"), CELLS)
def test_reports_told_twice_are_nothing_new(trigger: str, name: str) -> None:
    told, in_flight = TRIGGERS[trigger]
    if not isinstance(told, Callback):
        return
    decision = situation(name, *in_flight).when(told).decision
    after = situation(name, *in_flight).when(told).then(*decision.events, effects=decision.effects)
    for event in after.when(told).decision.events:
        # a refund of nothing has no end of its own; it takes nothing away either
        assert isinstance(event, PaymentRefundProgressed)
        assert event.amount_minor == 0


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_state_survives_its_table(name: str) -> None:
    state = situation(name).state
    assert through_its_table(store(), state) == replace(state, in_flight=frozenset())


# --- stories --------------------------------------------------------------------------------------


def landed(given_: Given, *keys: str) -> Given:
    """The effects of these keys are no longer in flight: their outcome is being handled."""
    return replace(given_, state=replace(given_.state, in_flight=given_.state.in_flight - {*keys}))


def test_the_straight_way() -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    asked.when(do()).then_nothing()
    paid = landed(asked, CHARGE_KEY).when(EffectResult(CHARGE, TOOK)).then(CAPTURED)
    paid.when(do()).then_nothing().when(Callback(TOOK)).then_nothing()


def test_undo_before_do_leaves_a_fence() -> None:
    fenced = given(PAYMENT, Payment()).when(undo()).then(FENCE)
    fenced.when(do()).then_nothing().when(undo()).then(FENCE)


def test_a_person_approves() -> None:
    dear = given(PAYMENT, Payment()).when(do(DEAR))
    review = dear.then(replace(REVIEW, order=DEAR, reason="the total 2500.00 EUR is above 1000"))
    asked = review.when(verdict("approve")).then(effects=[charge_effect("o1", DEAR)])
    asked.when(verdict("reject")).then_nothing()


def test_undo_waits_for_the_charge_in_flight_and_refunds_it() -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    waiting = asked.when(undo()).then(STARTED_BLIND).when(undo("again")).then_nothing()
    took = landed(waiting, CHARGE_KEY).when(EffectResult(CHARGE, TOOK))
    refunding = took.then(LATE, effects=[refund(1)])
    done = landed(refunding, REFUND_KEY).when(EffectResult(refund(1), Refunded("re1", 2500, "ch1")))
    done.then(REFUNDED).when(Callback(TOOK)).then_nothing()


def test_a_capture_told_before_the_call_returned_waits_for_it() -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    told = asked.when(Callback(TOOK)).then_nothing()
    pending = landed(told, CHARGE_KEY).when(EffectResult(CHARGE, Pending("ch1")))
    looking = pending.then(PENDING, effects=[LOOK])
    landed(looking, LOOK.key).when(EffectResult(LOOK, TOOK)).then(CAPTURED)


def test_a_capture_told_while_the_undo_waits_is_refunded_once() -> None:
    asked = given(PAYMENT, Payment()).when(do()).then(effects=[CHARGE])
    waiting = asked.when(undo()).then(STARTED_BLIND).when(Callback(TOOK)).then_nothing()
    voiding = landed(waiting, CHARGE_KEY).when(EffectResult(CHARGE, Pending("ch1")))
    both = voiding.then(STARTED_VOID, effects=[LOOK, refund(1, "ch1", None)])
    gone = landed(both, REFUND_KEY).when(
        EffectResult(refund(1, "ch1", None), Refunded("re1", 2500))
    )
    done = gone.then(replace(LATE, order=bare(email=MAIL)), REFUNDED)
    landed(done, LOOK.key).when(EffectResult(LOOK, TOOK)).then_nothing()


def test_a_late_capture_after_the_void_is_refunded_under_a_new_key() -> None:
    voiding = situation("pending").when(undo()).then(STARTED_VOID, effects=[refund(1, "ch1", None)])
    voided = landed(voiding, REFUND_KEY).when(EffectResult(refund(1, "ch1", None), Voided("re0")))
    done = voided.then(replace(FENCE, refund_id="re0", email=MAIL))
    late = done.when(Callback(TOOK)).then(LATE, effects=[refund(2)])
    twice = late.when(Callback(TOOK)).then_nothing()
    back = landed(twice, "refund:o1:2").when(EffectResult(refund(2), Refunded("re1", 2500, "ch1")))
    back.then(REFUNDED).when(Callback(TOOK)).then_nothing()


def test_a_capture_while_the_void_is_in_flight_is_refunded_next() -> None:
    void = refund(1, "ch1", None)
    voiding = situation("pending").when(undo()).then(STARTED_VOID, effects=[void])
    took = voiding.when(Callback(TOOK)).then(LATE, effects=[void])  # pending already: no effect
    voided = landed(took, REFUND_KEY).when(EffectResult(void, Voided("re0")))
    progressed = replace(HALF, refund_id="re0", amount_minor=0, remaining_minor=2500)
    again = voided.then(progressed, effects=[refund(2)])
    landed(again, "refund:o1:2").when(EffectResult(refund(2), Refunded("re1", 2500))).then(REFUNDED)


def test_the_void_itself_refunds_what_was_captured_meanwhile() -> None:
    void = refund(1, "ch1", None)
    voiding = situation("pending").when(undo()).then(STARTED_VOID, effects=[void])
    took = voiding.when(Callback(TOOK)).then(LATE, effects=[void])
    back = landed(took, REFUND_KEY).when(EffectResult(void, Refunded("re1", 2500, "ch1")))
    back.then(REFUNDED)


def test_a_void_that_gave_back_a_part_of_an_unheard_capture() -> None:
    void = refund(1, "ch1", None)
    voiding = situation("pending").when(undo()).then(STARTED_VOID, effects=[void])
    part = landed(voiding, REFUND_KEY).when(EffectResult(void, Refunded("re1", 1000, "ch1")))
    done = part.then(replace(LATE, amount_minor=1000), replace(REFUNDED, amount_minor=1000))
    rest = done.when(Callback(TOOK))
    rest.then(replace(LATE, amount_minor=1500), effects=[refund(2, "ch1", 1500)])


def test_a_partial_refund_goes_on_under_the_next_key() -> None:
    started = situation("captured").when(undo()).then(STARTED, effects=[refund(1)])
    part = landed(started, REFUND_KEY).when(EffectResult(refund(1), Refunded("re1", 1250, "ch1")))
    rest = part.then(HALF, effects=[refund(2, "ch1", 1250)])
    rest.when(undo()).then(effects=[refund(2, "ch1", 1250)])
    done = landed(rest, "refund:o1:2")
    done.when(EffectResult(refund(2, "ch1", 1250), Refunded("re2", 1250, "ch1"))).then(
        replace(REFUNDED, refund_id="re2", amount_minor=1250)
    )


@pytest.mark.parametrize("webhook_first", [True, False])
def test_an_asynchronous_refund_counts_once(webhook_first: bool) -> None:
    """The provider is asked until it is through, whether or not it calls back."""
    started = situation("captured").when(undo()).then(STARTED, effects=[refund(1)])
    through = Refunded("re1", 2500, "ch1")
    report, answer = Callback(through), EffectResult(refund(1), through)
    if webhook_first:
        landed(started.when(report).then(REFUNDED), REFUND_KEY).when(answer).then_nothing()
    else:
        landed(started, REFUND_KEY).when(answer).then(REFUNDED).when(report).then_nothing()


def test_what_a_reconciliation_finds_is_put_right_once_however_often_it_is_found() -> None:
    found = Observed("ChargeFound", FOUND)
    asked = situation("refunded").when(found).then(effects=[again()])
    asked.when(found).then_nothing()
    done = landed(asked, again().key).when(EffectResult(again(), Refunded("re7", 2500, "ch1")))
    done.then_nothing().when(Callback(Refunded("re7", 2500, "ch1"))).then_nothing()


def test_what_the_provider_has_given_back_of_it_is_not_asked_for_again() -> None:
    half = Observed("ChargeFound", replace(FOUND, refunded_minor=1000))
    situation("refunded").when(half).then(effects=[again(1500, 1000)])
    whole = Observed("ChargeFound", replace(FOUND, refunded_minor=2500))
    situation("refunded").when(whole).then_nothing()


def test_a_second_charge_that_is_found_goes_back_and_the_first_stays() -> None:
    twice = Observed("ChargeFound", replace(FOUND, charge_id="ch2", captured_minor=900))
    surplus = situation("captured").when(twice).then(SURPLUS, effects=[refund(1, "ch2", 900)])
    surplus.when(twice).then_nothing()
    gone = Refunded("re1", 900, "ch2")
    back = landed(surplus, REFUND_KEY).when(EffectResult(refund(1, "ch2", 900), gone))
    lost = back.then(replace(HALF, amount_minor=900, remaining_minor=0)).when(twice)
    asked = lost.then(effects=[again(900, 0, "ch2")])
    asked.when(Callback(Refunded("re7", 900, "ch2"))).then_nothing()
    assert asked.state.left_minor == 2500


def test_a_second_charge_of_a_live_order_goes_back_and_the_first_stays() -> None:
    twice = situation("captured").when(Callback(Captured("ch2", 900, "EUR")))
    surplus = twice.then(SURPLUS, effects=[refund(1, "ch2", 900)])
    back = landed(surplus, REFUND_KEY)
    one = back.when(EffectResult(refund(1, "ch2", 900), Refunded("re1", 900, "ch2"))).then(
        replace(HALF, amount_minor=900, remaining_minor=0)
    )
    assert (one.state.phase, one.state.left_minor) == (Phase.CAPTURED, 2500)
    one.when(undo()).then(STARTED, effects=[refund(2)])


def test_a_capture_after_a_decline_carries_nothing_to_ship() -> None:
    late = situation("declined").when(Callback(TOOK))
    (event,) = late.decision.events
    assert event.late
    assert event.order.lines == ()


def test_a_database_rebuilt_while_waiting_asks_the_provider_by_the_key() -> None:
    void = refund(1, None, None, None)
    asked = situation("refunding blind").when(undo()).then(effects=[void])
    landed(asked, REFUND_KEY).when(EffectResult(void, Voided("re1"))).then(
        replace(FENCE, refund_id="re1")
    )


@pytest.mark.parametrize(
    ("facts", "doubt"),
    [
        (replace(FACTS, fraud_score=0.8), None),
        (replace(FACTS, fraud_score=0.81), "the fraud score 0.81 is above 0.8"),
        (replace(FACTS, currency="JPY"), "the total 2500 JPY is above 1000"),
        (replace(FACTS, currency="KWD"), None),
    ],
)
def test_what_a_person_has_to_look_at(facts: OrderFacts, doubt: str | None) -> None:
    decided = given(PAYMENT, Payment()).when(do(facts))
    if doubt:
        decided.then(replace(REVIEW, order=facts, reason=doubt))
    else:
        decided.then(effects=[charge_effect("o1", facts)])


def test_the_limit_itself_needs_no_review_and_the_policy_is_a_parameter() -> None:
    line = OrderLine(sku="tea", quantity=1, unit_price_minor=100_000)
    order = replace(FACTS, total_minor=100_000, lines=(line,))
    given(PAYMENT, Payment()).when(do(order)).then(effects=[charge_effect("o1", order)])
    strict = decide(Payment(), do(), NOW, policy=Policy(review_above=Decimal("24.99")))
    assert isinstance(strict.events[0], PaymentReviewRequired)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_fraud_score_that_is_no_number_is_declined(score: float) -> None:
    (event,) = given(PAYMENT, Payment()).when(do(replace(FACTS, fraud_score=score))).decision.events
    assert event.code == "invalid"
    assert "fraud_score" in event.reason


def test_reasons_are_stored_without_control_characters() -> None:
    situation("new").when(undo("a\0b")).then(replace(FENCE, reason="a b"))


def test_the_first_part_of_a_refund_tells_of_the_whole_charge() -> None:
    """Confirmed while it was being voided, and the provider gives back in parts: the capture, which
    nobody has reported yet, is that of the order."""
    started = PaymentRefundStarted(
        order_id="o1", charge_id="ch1", amount_minor=0, reason=REASON, email=MAIL
    )
    waiting = PaymentActionRequired(order_id="o1", order=FACTS, charge_id="ch1", action_url="/")
    state = evolve(evolve(Payment(), waiting), started)
    part = EffectResult(refund(1, "ch1", None), Refunded("re1", 1000, "ch1", partial=True))
    answer = decide(state, part, NOW)
    captured, progressed = answer.events
    assert (captured.amount_minor, captured.late) == (2500, True)
    assert (progressed.amount_minor, progressed.remaining_minor) == (1000, 1500)
    assert answer.effects == (refund(2, "ch1", 1500),)
    for event in answer.events:
        state = evolve(state, event)
    assert not decide(state, Callback(Captured("ch1", 2500, "EUR")), NOW).events


def test_a_part_of_a_charge_whose_amount_is_not_known_is_booked_when_it_is() -> None:
    """Given an undo that came while the charge was being made, and its void; when the provider
    gives back a part instead; then the charge is looked at, told as one capture, and given back
    whole."""
    part = EffectResult(refund(1, "ch1", None), Refunded("re1", 1000, "ch1", partial=True))
    looked = given(PAYMENT, Payment(), STARTED_BLIND, STARTED_VOID).when(part).then(effects=[LOOK])
    asked = landed(looked, "look:o1").when(EffectResult(LOOK, TOOK))
    again_ = asked.then(replace(LATE, order=bare(email=MAIL)), effects=[refund(1, "ch1", None)])
    progress = replace(HALF, refund_id="re1", amount_minor=1000, remaining_minor=1500)
    rest = landed(again_, REFUND_KEY).when(part).then(progress, effects=[refund(2, "ch1", 1500)])
    done = landed(rest, "refund:o1:2")
    done.when(EffectResult(refund(2, "ch1", 1500), Refunded("re2", 1500, "ch1"))).then(
        replace(REFUNDED, refund_id="re2", amount_minor=1500)
    ).when(Callback(TOOK)).then_nothing()
