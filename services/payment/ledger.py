"""Defines payment's state, its fold, the provider's answers and the effects. Pure.

`Payment.charges` is the ledger: what was captured of each charge, refunded, and lost in a dispute.
`Payment.asked` is the one refund under way; `evolve` chooses it, so that the same events always
lead to the same refund.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sagakit.decider import Effect, Json
from schemas.events import (
    OrderFacts,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentDeclined,
    PaymentDisputeLost,
    PaymentDisputeOpened,
    PaymentDisputeWon,
    PaymentMismatched,
    PaymentPending,
    PaymentRefunded,
    PaymentRefundFailed,
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
    MISMATCHED = "mismatched"
    CAPTURED = "captured"
    DECLINED = "declined"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


ALIVE = (Phase.NEW, Phase.REVIEW, Phase.ACTION, Phase.PENDING, Phase.MISMATCHED)
"""The phases without a final result, in which the order waits for the capture of its total."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The money of one charge. `captured_minor`: the highest amount that was reported.

    `refunded_minor`: all refunds; `failed_minor`: those among them that failed afterwards;
    `lost_minor`: what the customer's bank took back in a dispute; `kept`: the provider refuses for
    good to refund the rest.
    """

    charge_id: str
    currency: str
    captured_minor: int
    refunded_minor: int = 0
    failed_minor: int = 0
    lost_minor: int = 0
    kept: bool = False

    @property
    def returned_minor(self) -> int:
        """The amount that was refunded, without refunds that failed."""
        return self.refunded_minor - self.failed_minor

    @property
    def left_minor(self) -> int:
        """The amount of this charge that the shop still has."""
        return self.captured_minor - self.returned_minor - self.lost_minor


@dataclass(frozen=True, slots=True)
class PlannedRefund:
    """The refund under way. `amount_minor` None: void the charge, or refund all that it has taken.

    That is asked of a charge that may still capture more: the provider knows how much it has taken
    by then, and nobody else does.
    """

    charge_id: str | None = None
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """The state of a payment.

    `charge_id`: the charge under way; `refunds`: ids of the refunds concluded so far; `failed`: ids
    of those that failed; `disputes`: dispute id -> won or lost, or opened while it is undecided.
    """

    phase: Phase = Phase.NEW
    order_ref: str = ""
    facts: OrderFacts | None = None
    email: str | None = None
    reason: str = ""
    charge_id: str | None = None
    charges: tuple[Charge, ...] = ()
    refunds: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    disputes: Mapping[str, str] = field(default_factory=dict)
    asked: PlannedRefund | None = None
    in_flight: frozenset[str] = frozenset()

    @property
    def left_minor(self) -> int:
        """The amount captured and not refunded, over all charges."""
        return sum(charge.left_minor for charge in self.charges)

    @property
    def kept_minor(self) -> int:
        """The amount of the charge under way that a paid order keeps."""
        return self.facts.total_minor if self.phase is Phase.CAPTURED and self.facts else 0

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

    @property
    def asking(self) -> bool:
        """True while the provider may still tell of a capture that is not booked."""
        looking = any(key.startswith(f"{LOOK}:") for key in self.in_flight)
        return self.phase in ALIVE or self.charging or self.waiting or looking

    def charge(self, charge_id: str | None) -> Charge | None:
        """Return what is known of a charge's money, None if nothing was captured."""
        return next((c for c in self.charges if c.charge_id == charge_id), None)


# --- the provider's answers -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captured:
    """The provider has taken `amount_minor` in all under a charge, maybe other than was asked for.

    `refunded_minor`: how much of it was refunded, None if the provider does not say.
    """

    charge_id: str
    amount_minor: int
    currency: str
    refunded_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider has no charge of this order under that id."""

    charge_id: str


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
class RefundFailed:
    """The refund did not reach the customer; the money is with the shop again."""

    refund_id: str
    charge_id: str | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Disputed:
    """The customer's bank disputes a charge. `status`: opened, won (by the shop) or lost."""

    dispute_id: str
    charge_id: str
    amount_minor: int
    currency: str
    status: str


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


def look_effect(order_id: str, charge_id: str, about: str = "", **more: Json) -> Effect:
    """Return the effect that reads a charge again; `more` comes back with its outcome.

    `about`: the report because of which it is read. Each report has a key of its own, since a look
    that is in flight may have been answered before it.
    """
    key = f"{LOOK}:{charge_id}:{about}" if about else f"{LOOK}:{charge_id}"
    return Effect(LOOK, key, {"order_id": order_id, "charge_id": charge_id, **more})


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


def refund_again(state: Payment, charge: Charge, provider_minor: int) -> Effect:
    """Return the effect that repeats a refund which only payment's books show.

    `provider_minor`: how much the provider had refunded before. The key holds it, so each state of
    its ledger is corrected once, however often it is found.
    """
    payload: dict[str, Any] = {
        "order_id": state.order_ref,
        "charge_id": charge.charge_id,
        "amount_minor": charge.returned_minor - provider_minor,
        "currency": charge.currency,
        "again": True,
    }
    return Effect(REFUND, f"{REFUND}:again:{charge.charge_id}:{provider_minor}", payload)


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
        case PaymentMismatched(charge_id=charge_id):
            booked = _with_charge(state, charge_id, event.currency, event.amount_minor)
            booked = replace(booked, facts=event.order, email=event.order.email)
            return replace(booked, phase=Phase.MISMATCHED, charge_id=charge_id)
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
        case PaymentRefundFailed():
            return _after_failure(state, event)
        case PaymentDisputeOpened() | PaymentDisputeWon() | PaymentDisputeLost():
            return _after_dispute(state, event)
    return state


def _after_capture(state: Payment, event: PaymentCaptured) -> Payment:
    state = replace(
        _with_charge(state, event.charge_id, event.currency, event.amount_minor),
        facts=state.facts or event.order,
        email=state.email or event.order.email or None,
    )
    if not event.late:
        return _aimed(replace(state, phase=Phase.CAPTURED, charge_id=event.charge_id))
    kept = state.phase is Phase.CAPTURED
    return _aimed(state if kept else replace(state, phase=Phase.REFUNDING))


def _with_charge(state: Payment, charge_id: str, currency: str, captured_minor: int) -> Payment:
    """Book what was captured under a charge in all. It counts once, with the highest amount."""
    known = state.charge(charge_id)
    if known is None:
        new = Charge(charge_id, currency, captured_minor)
        return replace(state, charges=(*state.charges, new))
    highest_minor = max(known.captured_minor, captured_minor)
    return _booked(state, replace(known, currency=currency, captured_minor=highest_minor))


def _booked(state: Payment, charge: Charge) -> Payment:
    charges = (charge if c.charge_id == charge.charge_id else c for c in state.charges)
    return replace(state, charges=tuple(charges))


def _after_failure(state: Payment, event: PaymentRefundFailed) -> Payment:
    """Reopen the books for a refund that failed, also one that was not concluded yet."""
    state = replace(state, failed=(*state.failed, event.refund_id))
    if event.refund_id not in state.refunds:
        state = replace(state, refunds=(*state.refunds, event.refund_id))
    if state.phase is Phase.REFUNDED and event.amount_minor:
        state = replace(state, phase=Phase.REFUNDING)
    if charge := state.charge(event.charge_id):
        failed_minor = charge.failed_minor + event.amount_minor
        state = _booked(state, replace(charge, failed_minor=failed_minor))
    return _aimed(state) if event.amount_minor else state


def _after_dispute(
    state: Payment, event: PaymentDisputeOpened | PaymentDisputeWon | PaymentDisputeLost
) -> Payment:
    status = {PaymentDisputeWon: "won", PaymentDisputeLost: "lost"}.get(type(event), "opened")
    state = replace(state, disputes={**state.disputes, event.dispute_id: status})
    charge = state.charge(event.charge_id)
    if charge is None or not isinstance(event, PaymentDisputeLost):
        return state
    return _booked(state, replace(charge, lost_minor=charge.lost_minor + event.amount_minor))


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
    """Return the charges of which money has to be refunded."""
    return [charge for charge in state.charges if due_minor(state, charge)]


def due_minor(state: Payment, charge: Charge) -> int:
    """Return how much of a charge has to be refunded: of a paid order, what is above its total.

    Nothing of a charge that the provider refuses to refund.
    """
    if state.phase in ALIVE or charge.kept:
        return 0
    kept_minor = state.kept_minor if charge.charge_id == state.charge_id else 0
    return max(0, charge.left_minor - kept_minor)


def to_come_minor(state: Payment, charge: Charge) -> int:
    """Return how much less than asked for a charge has taken: the rest may follow."""
    asked = charge.charge_id == state.charge_id and state.facts
    if not asked or charge.currency != asked.currency:
        return 0
    return max(0, asked.total_minor - charge.captured_minor)


def _aimed(state: Payment) -> Payment:
    """Set `asked` to the next refund if one is due and none is under way."""
    if state.asked:
        return state
    due = charges_to_refund(state)
    if due:
        amount_minor = None if to_come_minor(state, due[0]) else due_minor(state, due[0])
        return replace(state, asked=PlannedRefund(due[0].charge_id, amount_minor))
    if state.phase is Phase.REFUNDING:
        return replace(state, asked=PlannedRefund(state.charge_id))
    return state
