"""Defines payment's state, its fold, the provider's answers and the effects. Pure.

`Payment.charges` is the ledger: every capture reported, and how much of it was refunded.
`Payment.asked` is the one refund under way; `evolve` chooses it, so that the same events always
lead to the same refund.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sagakit.decider import Effect
from schemas.events import (
    ChargeFound,
    OrderFacts,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentDeclined,
    PaymentPending,
    PaymentRefunded,
    PaymentRefundProgressed,
    PaymentRefundStarted,
    PaymentReviewRequired,
)

CHARGE, REFUND, LOOK = "charge", "refund", "look"
"""The kinds of effects; an effect's key begins with its kind."""


class Phase(StrEnum):
    """The phases of a payment."""

    NEW = "new"
    REVIEW = "review"
    ACTION = "action"
    PENDING = "pending"
    CAPTURED = "captured"
    DECLINED = "declined"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


ALIVE = (Phase.NEW, Phase.REVIEW, Phase.ACTION, Phase.PENDING)
"""The phases without a final result, in which the order waits for a capture."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The money of one PaymentCaptured, and how much of it was refunded.

    `kept`: the provider refuses for good to refund the rest.
    """

    charge_id: str
    currency: str
    captured_minor: int
    refunded_minor: int = 0
    kept: bool = False

    @property
    def left_minor(self) -> int:
        """The amount of this charge that is not refunded."""
        return self.captured_minor - self.refunded_minor


@dataclass(frozen=True, slots=True)
class PlannedRefund:
    """The refund under way. `amount_minor` None: void the charge, or refund all if captured."""

    charge_id: str | None = None
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """The state of a payment.

    `charge_id`: the charge under way; `refunds`: ids of the refunds concluded so far.
    """

    phase: Phase = Phase.NEW
    order_ref: str = ""
    facts: OrderFacts | None = None
    email: str | None = None
    reason: str = ""
    charge_id: str | None = None
    charges: tuple[Charge, ...] = ()
    refunds: tuple[str, ...] = ()
    asked: PlannedRefund | None = None
    in_flight: frozenset[str] = frozenset()

    @property
    def left_minor(self) -> int:
        """The amount captured and not refunded, over all charges."""
        return sum(charge.left_minor for charge in self.charges)

    @property
    def charging(self) -> bool:
        """True while the charge call is in flight: it may still take money."""
        return CHARGE in self.in_flight

    @property
    def refunding(self) -> bool:
        """True while a refund call is in flight."""
        return any(key.startswith(f"{REFUND}:") for key in self.in_flight)

    @property
    def waiting(self) -> bool:
        """True while an Undo waits because nothing is known of the charge yet."""
        return self.phase is Phase.REFUNDING and self.asked is None and not self.charges


# --- the provider's answers -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captured:
    """The provider has taken the money."""

    charge_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The charge is refused or voided for good."""

    charge_id: str | None
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The customer has to confirm with their bank."""

    charge_id: str
    action_url: str


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider will report the charge's result later."""

    charge_id: str


@dataclass(frozen=True, slots=True)
class Voided:
    """Nothing had been captured, and the provider says nothing will be."""

    refund_id: str


@dataclass(frozen=True, slots=True)
class Refunded:
    """The provider refunded `amount_minor`; `partial`: more of it is still to be refunded."""

    refund_id: str
    amount_minor: int
    charge_id: str | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class RefundRefused:
    """The provider will not refund the charge, whoever asks; `code` says why."""

    code: str


@dataclass(frozen=True, slots=True)
class NothingLeft:
    """The charge was refunded in full already, by a refund that payment did not request."""


def facts_without_lines(report: Captured, email: str | None) -> OrderFacts:
    """Return facts for a capture of an order that ended before its facts were known. They have no
    lines, so that nobody can take the order for something to ship."""
    return OrderFacts(
        customer_id="",
        email=email or "",
        currency=report.currency,
        total_minor=report.amount_minor,
        lines=(),
        card_token="",
        ship_to="",
    )


# --- effects --------------------------------------------------------------------------------------


def charge_effect(order_id: str, facts: OrderFacts) -> Effect:
    """Return the effect that takes the money. `order` is for the later event, not the provider."""
    payload: dict[str, Any] = {
        "order_id": order_id,
        "amount_minor": facts.total_minor,
        "currency": facts.currency,
        "card_token": facts.card_token,
        "order": facts.to_dict(),
    }
    return Effect(CHARGE, CHARGE, payload)


def look_effect(order_id: str, charge_id: str) -> Effect:
    """Return the effect that reads the charge again."""
    payload = {"order_id": order_id, "charge_id": charge_id}
    return Effect(LOOK, LOOK, payload)


def refund_effect(state: Payment) -> Effect:
    """Return the effect that refunds or voids what `state.asked` says. The gateway names the charge
    by its key as well, in case the charge's id was never learned."""
    ask = state.asked or PlannedRefund()
    payload = {
        "order_id": state.order_ref,
        "charge_id": ask.charge_id,
        "amount_minor": ask.amount_minor,
        "currency": state.facts.currency if state.facts else None,
    }
    return Effect(REFUND, f"{REFUND}:{len(state.refunds) + 1}", payload)


def refund_again(state: Payment, found: ChargeFound, amount_minor: int) -> Effect:
    """Return the effect that repeats a refund which only payment's books show. The key holds how
    much the provider had refunded before, so each state of its ledger is corrected once, however
    often it is found."""
    payload: dict[str, Any] = {
        "order_id": state.order_ref,
        "charge_id": found.charge_id,
        "amount_minor": amount_minor,
        "currency": found.currency,
        "again": True,
    }
    key = f"{REFUND}:again:{found.charge_id}:{found.refunded_minor}"
    return Effect(REFUND, key, payload)


# --- evolve ---------------------------------------------------------------------------------------


def evolve(state: Payment, event: Any) -> Payment:
    """Return the state after an own event."""
    state = replace(state, order_ref=event.order_id)
    match event:
        case PaymentReviewRequired(order=facts):
            return replace(state, phase=Phase.REVIEW, facts=facts, email=facts.email)
        case PaymentActionRequired(order=facts, charge_id=charge_id):
            state = replace(state, facts=facts, email=facts.email)
            return replace(state, phase=Phase.ACTION, charge_id=charge_id)
        case PaymentPending(order=facts, charge_id=charge_id):
            state = replace(state, facts=facts, email=facts.email)
            return replace(state, phase=Phase.PENDING, charge_id=charge_id)
        case PaymentDeclined(reason=reason, email=email):
            return replace(state, phase=Phase.DECLINED, reason=reason, email=email or state.email)
        case PaymentCaptured():
            return _after_capture(state, event)
        case PaymentRefundStarted(charge_id=charge_id, reason=reason, email=email):
            state = replace(state, phase=Phase.REFUNDING, reason=reason, email=email or state.email)
            return _aimed(replace(state, charge_id=charge_id)) if charge_id else state
        case PaymentRefundProgressed(refund_id=refund_id, amount_minor=amount_minor):
            state = after_refusal(state) if event.refused else state
            return _aimed(after_refund(state, refund_id, amount_minor))
        case PaymentRefunded(refund_id=refund_id, amount_minor=amount_minor):
            state = after_refusal(state) if event.refused else state
            state = replace(state, reason=event.reason, email=event.email or state.email)
            return replace(after_refund(state, refund_id, amount_minor), phase=Phase.REFUNDED)
    return state


def _after_capture(state: Payment, event: PaymentCaptured) -> Payment:
    charge = Charge(event.charge_id, event.currency, event.amount_minor)
    state = replace(
        state,
        facts=state.facts or event.order,
        email=state.email or event.order.email or None,
        charges=(*state.charges, charge),
    )
    if not event.late:
        return replace(state, phase=Phase.CAPTURED, charge_id=event.charge_id)
    kept = state.phase is Phase.CAPTURED
    return _aimed(state if kept else replace(state, phase=Phase.REFUNDING))


def after_refund(state: Payment, refund_id: str | None, amount_minor: int) -> Payment:
    """Subtract a refund from the charge named in `asked`, then from the others, newest first."""
    named = state.asked.charge_id if state.asked else None
    charges = list(state.charges)
    for i in sorted(range(len(charges)), key=lambda i: (charges[i].charge_id != named, -i)):
        part_minor = min(amount_minor, charges[i].left_minor)
        charges[i] = replace(charges[i], refunded_minor=charges[i].refunded_minor + part_minor)
        amount_minor -= part_minor
    refunds = (*state.refunds, refund_id) if refund_id else state.refunds
    return replace(state, charges=tuple(charges), refunds=refunds, asked=None)


def after_refusal(state: Payment) -> Payment:
    """Mark the charge named in `asked`, or all of them, as one whose rest is not refunded."""
    named = state.asked.charge_id if state.asked else None
    charges = (replace(c, kept=c.kept or named in (None, c.charge_id)) for c in state.charges)
    return replace(state, charges=tuple(charges))


def refund_currency(state: Payment, amount_minor: int) -> str | None:
    """Return the currency of the charge that a refund is subtracted from, None without charges."""
    after = after_refund(state, None, amount_minor).charges
    pairs = zip(state.charges, after, strict=True)
    reduced = [charge for charge, then in pairs if charge != then] or state.charges
    return reduced[-1].currency if reduced else None


def charges_to_refund(state: Payment) -> list[Charge]:
    """Return the charges to refund: those with money left, except the first in phase CAPTURED.

    Not those that the provider refuses to refund.
    """
    charges = state.charges[1:] if state.phase is Phase.CAPTURED else state.charges
    return [charge for charge in charges if charge.left_minor and not charge.kept]


def _aimed(state: Payment) -> Payment:
    """Set `asked` to the next refund if one is due and none is under way."""
    if state.asked:
        return state
    due = charges_to_refund(state)
    if due:
        charge_id = due[0].charge_id
        amount_minor = sum(c.left_minor for c in due if c.charge_id == charge_id)
        return replace(state, asked=PlannedRefund(charge_id, amount_minor))
    if state.phase is Phase.REFUNDING:
        return replace(state, asked=PlannedRefund(state.charge_id))
    return state
