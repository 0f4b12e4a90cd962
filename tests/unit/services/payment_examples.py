"""Events, effects and triggers of one payment, for its tests."""

from dataclasses import replace
from typing import Any

from sagakit.contract.platform import VerdictGiven
from sagakit.decider import (
    Command,
    Decision,
    Do,
    Effect,
    Undo,
)
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
    PaymentMismatched,
    PaymentPending,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentRefundProgressed,
    PaymentRefundStarted,
    PaymentReportDoubted,
    PaymentReviewRequired,
    ShipmentFailed,
)
from services.payment.decide import decide
from services.payment.ledger import (
    Captured,
    Payment,
    charge_effect,
    evolve,
    look_effect,
)
from tests.order_facts import TWO_TEAS

PAYMENT = Participant("payment", decide, evolve, MemoryStore(Payment()))
FACTS = replace(TWO_TEAS, ship_to="1 Main Street\nSpringfield")
DEAR = replace(
    FACTS,
    total_minor=250_000,
    lines=(OrderLine(sku="car", quantity=1, unit_price_minor=250_000),),
)
MAIL = FACTS.email
CHARGE_KEY, REFUND_KEY = "charge", "refund:1"
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
        "amount_minor": amount_minor,
        "currency": currency,
    }
    return Effect("refund", f"refund:{n}", payload)


def do(facts: OrderFacts = FACTS) -> Do:
    return Do(InventoryReserved(order_id="o1", order=facts))


def undo(reason: str = REASON) -> Undo:
    return Undo(ShipmentFailed(order_id="o1", code="refused", reason=reason), reason)


def verdict(word: str, reason: str = "looks odd") -> Command:
    given_ = VerdictGiven(saga_id="o1", step="payment", verdict=word, actor="bob", reason=reason)
    return Command(word, "bob", reason, given_)


def facts_without_lines(
    amount_minor: int = 2500, email: str = "", currency: str = "EUR"
) -> OrderFacts:
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
LATE_WITHOUT_LINES = replace(LATE, order=facts_without_lines())
SURPLUS = replace(LATE, charge_id="ch2", amount_minor=900)
REVIEW = PaymentReviewRequired(order_id="o1", order=FACTS, reason="doubt")
ACTION = PaymentActionRequired(order_id="o1", order=FACTS, charge_id="ch1", action_url="/3ds")
PENDING = PaymentPending(order_id="o1", order=FACTS, charge_id="ch1")
DECLINED = PaymentDeclined(order_id="o1", code="funds", reason="no money", email=MAIL)
STARTED_BLIND = PaymentRefundStarted(order_id="o1", amount_minor=0, reason=REASON)
STARTED_VOID = replace(STARTED_BLIND, charge_id="ch1", email=MAIL)
STARTED = replace(STARTED_VOID, amount_minor=2500)
HALF = PaymentRefundProgressed(
    order_id="o1", refund_id="re1", amount_minor=1250, remaining_minor=1250, currency="EUR"
)
FENCE = PaymentRefunded(order_id="o1", amount_minor=0, reason=REASON)
MISMATCHED = PaymentMismatched(
    order_id="o1",
    order=FACTS,
    charge_id="ch1",
    amount_minor=1,
    currency="EUR",
    reason="the provider captured 1 EUR (minor units) by charge ch1; asked for were 2500 EUR",
)
DOUBTED = PaymentReportDoubted(
    order_id="o1",
    charge_id="ch1",
    amount_minor=1,
    currency="EUR",
    reason="the provider reported 1 EUR (minor units) by charge ch1; asked for were 2500 EUR",
)
DOUBTED_OTHER = replace(
    DOUBTED,
    charge_id="ch9",
    amount_minor=700,
    reason="the provider reported 700 EUR (minor units) by charge ch9; asked for were 2500 EUR by "
    "charge ch1",
)
REFUND_FAILED = PaymentRefundFailed(
    order_id="o1",
    refund_id="re1",
    charge_id="ch1",
    amount_minor=2500,
    currency="EUR",
    reason="refund re1 of 2500 EUR (minor units) failed at the provider; refund it another way, or "
    "ask the customer for another account",
    email=MAIL,
)
REFUNDED = PaymentRefunded(
    order_id="o1", refund_id="re1", amount_minor=2500, currency="EUR", reason=REASON, email=MAIL
)

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
    return Effect("refund", f"refund:again:{charge_id}:{before_minor}", payload)


def kept(event: Any, **changes: Any) -> Any:
    """Return the event of a refund that is refused for good."""
    changes |= {"refund_id": REFUND_KEY, "amount_minor": 0, "refused": "charge_disputed"}
    return replace(event, **changes)


def without_refund(cells: dict[str, Decision]) -> dict[str, Decision]:
    """The same events, without the call that is in flight already."""
    return {
        state: replace(cell, effects=tuple(e for e in cell.effects if e.key != REFUND_KEY))
        for state, cell in cells.items()
    }
