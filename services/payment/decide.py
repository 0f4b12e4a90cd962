"""What payment decides. Pure.

    new --charge--> captured --Undo--> refunding --Refunded--> refunded
     |\\-> action, pending -^  \\-(what is not captured is voided)-^  |
     |-> review (a person) -^                                       | a late capture:
     \\-> declined -------------------> refunding <-----------------/  refunded once more

Rules behind the table in tests/unit/test_payment.py:

- The ledger rules the phases: whatever the provider says it took and has not given back is either
  kept (phase captured) or asked back, one refund at a time, `refund:<order>:<n>`; the n-th is
  concluded before the next is asked. A capture is known by charge id and amount and counts once.
- The charge's own outcome speaks first: a report that comes while the call is in flight is taken
  only if it is a capture of an order whose facts are known. The rest is not lost: when that
  outcome is not final, `look:<order>` reads the charge once more.
- An Undo while the charge is in flight waits for its outcome and claims nothing before.
- Amounts of PaymentRefundProgressed and PaymentRefunded add up: each tells what went back since the
  one before, so a repeated PaymentRefunded says 0.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sagakit.decision import (
    NOTHING,
    Callback,
    Decision,
    Do,
    Effect,
    Outcome,
    Trigger,
    Undo,
    Verdict,
)
from schemas.events import (
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
from schemas.rules import email_of, minor_digits, problems, speakable

CHARGE, REFUND, LOOK = "charge", "refund", "look"
"""Kinds of effects."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a person has to approve: above a total (major units) or a fraud score."""

    review_above: Decimal = Decimal(1000)
    fraud_above: float = 0.8


POLICY = Policy()


class Phase(StrEnum):
    """Where a payment is."""

    NEW = "new"
    REVIEW = "review"
    ACTION = "action"
    PENDING = "pending"
    CAPTURED = "captured"
    DECLINED = "declined"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


ALIVE = (Phase.NEW, Phase.REVIEW, Phase.ACTION, Phase.PENDING)
"""Nothing is final: a capture now is what the order waits for."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Money taken, as one PaymentCaptured told it, and what of it went back."""

    charge_id: str
    currency: str
    captured_minor: int
    refunded_minor: int = 0

    @property
    def left_minor(self) -> int:
        """What the provider still holds of it."""
        return self.captured_minor - self.refunded_minor


@dataclass(frozen=True, slots=True)
class Ask:
    """The refund under way. `amount_minor` None: void the charge, or all if it was captured."""

    charge_id: str | None = None
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """`charge_id`: the charge under way; `refunds`: ids of the refunds concluded so far."""

    phase: Phase = Phase.NEW
    order_ref: str = ""
    facts: OrderFacts | None = None
    email: str | None = None
    reason: str = ""
    charge_id: str | None = None
    charges: tuple[Charge, ...] = ()
    refunds: tuple[str, ...] = ()
    asked: Ask | None = None
    in_flight: frozenset[str] = frozenset()

    @property
    def left_minor(self) -> int:
        """Captured and not refunded."""
        return sum(charge.left_minor for charge in self.charges)

    @property
    def charging(self) -> bool:
        """The charge call is in flight: it may still take money."""
        return any(key.startswith(f"{CHARGE}:") for key in self.in_flight)

    @property
    def waiting(self) -> bool:
        """To be undone, but nothing is known of the charge yet."""
        return self.phase is Phase.REFUNDING and self.asked is None and not self.charges


# --- what the provider says -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captured:
    """The money is taken."""

    charge_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The charge is refused, or voided, for good."""

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
    """The result of the charge is reported later."""

    charge_id: str


@dataclass(frozen=True, slots=True)
class Voided:
    """Nothing had been captured, and the provider says nothing will be."""

    refund_id: str


@dataclass(frozen=True, slots=True)
class Refunded:
    """So much went back; `partial`: there is more to give back."""

    refund_id: str
    amount_minor: int
    charge_id: str | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class RefundPending:
    """The refund is accepted; that it went through is reported later."""

    refund_id: str


@dataclass(frozen=True, slots=True)
class NothingLeft:
    """The charge is refunded in full already, by a refund that is not ours."""


# --- decide ---------------------------------------------------------------------------------------


def decide(state: Payment, trigger: Trigger, now: datetime, *, policy: Policy = POLICY) -> Decision:
    """See the module."""
    match trigger:
        case Do(event):
            return _do(replace(state, order_ref=event.order_id), event.order, policy)
        case Undo(event, reason):
            email = state.email or getattr(event, "email", None)
            state = replace(state, order_ref=event.order_id, email=email)
            return _undo(state, speakable(reason))
        case Verdict(verdict=verdict, reason=reason):
            return _verdict(state, verdict, speakable(reason))
        case Outcome(effect, result):
            return _told(_with_facts(state, effect), result, effect)
        case Callback(result):
            return _told(state, result, None)
    return NOTHING


def _do(state: Payment, facts: OrderFacts, policy: Policy) -> Decision:
    order_id = state.order_ref
    if state.phase is not Phase.NEW or state.charging:
        return NOTHING
    if wrong := problems(order_id, facts):
        return _decline(replace(state, email=email_of(facts)), "invalid", "; ".join(wrong))
    if doubt := _doubt(facts, policy):
        return Decision((PaymentReviewRequired(order_id=order_id, order=facts, reason=doubt),))
    return Decision(effects=(charge_effect(order_id, facts),))


def _doubt(facts: OrderFacts, policy: Policy) -> str | None:
    """Why a person has to look at it; written so that a score that is no number is doubtful."""
    total = Decimal(facts.total_minor).scaleb(-minor_digits(facts.currency))
    if total > policy.review_above:
        return f"the total {total} {facts.currency} is above {policy.review_above}"
    if not facts.fraud_score <= policy.fraud_above:
        return f"the fraud score {facts.fraud_score} is above {policy.fraud_above}"
    return None


def _undo(state: Payment, reason: str) -> Decision:
    state = replace(state, reason=reason)
    match state.phase:
        case Phase.NEW | Phase.REVIEW if state.charging:
            return Decision((_start(state, None, 0),))
        case Phase.ACTION | Phase.PENDING:
            return _and_refund(state, _start(state, state.charge_id, 0))
        case Phase.CAPTURED if state.left_minor:
            return _and_refund(state, _start(state, state.charges[0].charge_id, state.left_minor))
        case Phase.REFUNDING if state.waiting and state.charging:
            return NOTHING
        case Phase.REFUNDING:
            return Decision(effects=(refund_effect(state),))
    return Decision((_refunded(state, None, 0),))


def _verdict(state: Payment, verdict: str, reason: str) -> Decision:
    """An approval that is being carried out is not taken back by a rejection; cancel for that."""
    if state.phase is not Phase.REVIEW or state.facts is None or state.charging:
        return NOTHING
    if verdict == "approve":
        return Decision(effects=(charge_effect(state.order_ref, state.facts),))
    return _decline(state, "review_rejected", reason) if verdict == "reject" else NOTHING


def _with_facts(state: Payment, effect: Effect) -> Payment:
    """The charge call brings the facts along, for no own event told them before its outcome."""
    state = replace(state, order_ref=str(effect.payload["order_id"]))
    if effect.kind != CHARGE or state.facts or state.phase is Phase.DECLINED:
        return state
    order: Any = effect.payload["order"]
    facts = OrderFacts.from_dict(order)
    return replace(state, facts=facts, email=state.email or facts.email)


def _told(state: Payment, result: Any, effect: Effect | None) -> Decision:
    """What the provider answered to `effect`, or reported by itself (None)."""
    own = effect is not None and effect.kind == CHARGE
    early = state.charging and not own
    if state.phase is Phase.NEW and not own:
        return NOTHING
    match result:
        case Captured() if state.facts or not early:
            return _captured(state, result)
        case Captured() | Declined() | ActionRequired() | Pending() if early:
            return NOTHING
        case Declined():
            return _declined(state, result)
        case ActionRequired() | Pending():
            return _unsettled(state, result, look=own)
        case Refunded():
            return _given_back(state, result, effect)
        case Voided() | NothingLeft() if effect is not None and effect.kind == REFUND:
            return _not_given_back(state, result, effect)
    return NOTHING


def _captured(state: Payment, told: Captured) -> Decision:
    """Nothing new, what the order waits for, or money that has to go back."""
    known_minor = sum(c.captured_minor for c in state.charges if c.charge_id == told.charge_id)
    if told.amount_minor <= known_minor:
        return NOTHING
    fresh = replace(told, amount_minor=told.amount_minor - known_minor)
    if state.phase in ALIVE:
        return Decision((_capture(state, fresh, late=False),))
    return _and_refund(state, _capture(state, fresh, late=True))


def _declined(state: Payment, told: Declined) -> Decision:
    if state.waiting:
        return Decision((_refunded(state, None, 0),))
    other = state.charge_id is not None and told.charge_id not in (None, state.charge_id)
    if state.phase not in ALIVE or other:
        return NOTHING
    return _decline(state, told.code, told.reason)


def _unsettled(state: Payment, told: ActionRequired | Pending, look: bool) -> Decision:
    """The charge exists but is not final: wait for it, or void it where it is not wanted."""
    looks = (look_effect(state.order_ref, told.charge_id),) if look else ()
    if state.waiting:
        void = _and_refund(state, _start(state, told.charge_id, 0))
        return replace(void, effects=(*looks, *void.effects))
    phase = Phase.ACTION if isinstance(told, ActionRequired) else Phase.PENDING
    if state.phase not in ALIVE or state.phase is phase or state.facts is None:
        return NOTHING
    common: Any = {
        "order_id": state.order_ref,
        "order": state.facts,
        "charge_id": told.charge_id,
    }
    if isinstance(told, ActionRequired):
        event: Any = PaymentActionRequired(**common, action_url=told.action_url)
    else:
        event = PaymentPending(**common)
    return Decision((event,), looks)


# --- giving back ----------------------------------------------------------------------------------


def _given_back(state: Payment, told: Refunded, effect: Effect | None) -> Decision:
    """Also a refund nobody here asked for. One of a charge we never heard of tells of a capture."""
    if state.phase in ALIVE or told.refund_id in state.refunds:
        return NOTHING
    heard = any(told.charge_id in (None, c.charge_id) for c in state.charges)
    unknown_minor = 0 if heard else max(0, told.amount_minor - state.left_minor)
    amount_minor = min(told.amount_minor, state.left_minor + unknown_minor)
    if amount_minor <= 0 and state.asked is None and not told.partial:
        return NOTHING
    if not unknown_minor:
        return _concluded(state, told.refund_id, amount_minor, told.partial)
    charge_id = told.charge_id or state.charge_id or f"{CHARGE}:{state.order_ref}"
    known = state.facts.currency if state.facts else effect and effect.payload.get("currency")
    currency = str(known or "XXX")  # ISO 4217 for "no currency"
    capture = _capture(state, Captured(charge_id, unknown_minor, currency), late=True)
    rest = _concluded(evolve(state, capture), told.refund_id, amount_minor, told.partial)
    return replace(rest, events=(capture, *rest.events))


def _not_given_back(state: Payment, told: Voided | NothingLeft, effect: Effect) -> Decision:
    """There was nothing to give back. If a capture came meanwhile, it is asked back next."""
    asked_minor, named = effect.payload["amount_minor"], effect.payload["charge_id"]
    if isinstance(told, Voided):
        refund_id, amount_minor = told.refund_id, 0
        if asked_minor is not None:
            return NOTHING
    else:
        refund_id = effect.key  # the refund is not ours, so its id is not known
        amount_minor = sum(c.left_minor for c in _owed(state) if named in (None, c.charge_id))
    expected = state.phase is Phase.REFUNDING or (state.phase is Phase.CAPTURED and amount_minor)
    if refund_id in state.refunds or not expected:
        return NOTHING
    return _concluded(state, refund_id, amount_minor)


def _concluded(
    state: Payment, refund_id: str, amount_minor: int, partial: bool = False
) -> Decision:
    """One refund is over; the next is asked for while anything is left that has to go back."""
    left_minor = sum(c.left_minor for c in _owed(_after_refund(state, refund_id, amount_minor)))
    if state.phase is Phase.REFUNDING and not left_minor and not partial:
        return Decision((_refunded(state, refund_id, amount_minor),))
    event = PaymentRefundProgressed(
        order_id=state.order_ref,
        refund_id=refund_id,
        amount_minor=amount_minor,
        remaining_minor=left_minor,
    )
    return _and_refund(state, event)


def _and_refund(state: Payment, event: Any) -> Decision:
    after = evolve(state, event)
    return Decision((event,), (refund_effect(after),) if after.asked else ())


# --- events and effects ---------------------------------------------------------------------------


def charge_effect(order_id: str, facts: OrderFacts) -> Effect:
    """Take the money. `order` is for the event that will tell of it, not for the provider."""
    payload: dict[str, Any] = {
        "order_id": order_id,
        "amount_minor": facts.total_minor,
        "currency": facts.currency,
        "card_token": facts.card_token,
        "order": facts.to_dict(),
    }
    return Effect(CHARGE, f"{CHARGE}:{order_id}", payload)


def look_effect(order_id: str, charge_id: str) -> Effect:
    """Read the charge again."""
    payload = {"order_id": order_id, "charge_id": charge_id}
    return Effect(LOOK, f"{LOOK}:{order_id}", payload)


def refund_effect(state: Payment) -> Effect:
    """Give back, or void, what `state.asked` says; the charge is also named by its key, for the
    case that its id was never learned."""
    ask = state.asked or Ask()
    payload = {
        "order_id": state.order_ref,
        "charge_id": ask.charge_id,
        "charge_key": f"{CHARGE}:{state.order_ref}",
        "amount_minor": ask.amount_minor,
        "currency": state.facts.currency if state.facts else None,
    }
    return Effect(REFUND, f"{REFUND}:{state.order_ref}:{len(state.refunds) + 1}", payload)


def _decline(state: Payment, code: str, reason: str) -> Decision:
    event = PaymentDeclined(
        order_id=state.order_ref,
        code=speakable(code),
        reason=speakable(reason),
        email=state.email,
    )
    return Decision((event,))


def _capture(state: Payment, told: Captured, late: bool) -> PaymentCaptured:
    return PaymentCaptured(
        order_id=state.order_ref,
        order=state.facts or _bare(state, told),
        charge_id=told.charge_id,
        amount_minor=told.amount_minor,
        currency=told.currency,
        late=late,
    )


def _bare(state: Payment, told: Captured) -> OrderFacts:
    """Facts for a capture of an order that ended before its facts were told: no lines, so that
    nobody can take it for something to ship."""
    return OrderFacts(
        customer_id="",
        email=state.email or "",
        currency=told.currency,
        total_minor=told.amount_minor,
        lines=(),
        card_token="",
        ship_to="",
    )


def _start(state: Payment, charge_id: str | None, amount_minor: int) -> PaymentRefundStarted:
    return PaymentRefundStarted(
        order_id=state.order_ref,
        charge_id=charge_id,
        amount_minor=amount_minor,
        reason=state.reason,
        email=state.email,
    )


def _refunded(state: Payment, refund_id: str | None, amount_minor: int) -> PaymentRefunded:
    return PaymentRefunded(
        order_id=state.order_ref,
        refund_id=refund_id,
        amount_minor=amount_minor,
        currency=state.charges[-1].currency if state.charges else None,
        reason=state.reason,
        email=state.email,
    )


# --- evolve ---------------------------------------------------------------------------------------


def evolve(state: Payment, event: Any) -> Payment:
    """The state after an own event."""
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
            return _aimed(_after_refund(state, refund_id, amount_minor))
        case PaymentRefunded(refund_id=refund_id, amount_minor=amount_minor):
            state = replace(state, reason=event.reason, email=event.email or state.email)
            return replace(_after_refund(state, refund_id, amount_minor), phase=Phase.REFUNDED)
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


def _after_refund(state: Payment, refund_id: str | None, amount_minor: int) -> Payment:
    """Taken from the charge that was asked for, newest first, then from any other."""
    named = state.asked.charge_id if state.asked else None
    charges = list(state.charges)
    for i in sorted(range(len(charges)), key=lambda i: (charges[i].charge_id != named, -i)):
        part_minor = min(amount_minor, charges[i].left_minor)
        charges[i] = replace(charges[i], refunded_minor=charges[i].refunded_minor + part_minor)
        amount_minor -= part_minor
    refunds = (*state.refunds, refund_id) if refund_id else state.refunds
    return replace(state, charges=tuple(charges), refunds=refunds, asked=None)


def _owed(state: Payment) -> list[Charge]:
    """What has to go back: all that is left; of a payment that stands, what came on top of it."""
    charges = state.charges[1:] if state.phase is Phase.CAPTURED else state.charges
    return [charge for charge in charges if charge.left_minor]


def _aimed(state: Payment) -> Payment:
    """With a refund under way, if one is due."""
    if state.asked:
        return state
    owed = _owed(state)
    if owed:
        charge_id = owed[0].charge_id
        amount_minor = sum(c.left_minor for c in owed if c.charge_id == charge_id)
        return replace(state, asked=Ask(charge_id, amount_minor))
    if state.phase is Phase.REFUNDING:
        return replace(state, asked=Ask(state.charge_id))
    return state
