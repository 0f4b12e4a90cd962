"""Decides payment's reactions to triggers. Pure.

    new --charge--> captured --Undo--> refunding --Refunded--> refunded
     |\\-> action, pending -^  \\-(what is not captured is voided)-^  |
     |-> review (a person) -^                                       | a late capture:
     \\-> declined -------------------> refunding <-----------------/  refunded once more

Rules behind the table in tests/unit/services/test_payment.py:

- The ledger determines the phase: money that the provider took and has not refunded is either kept
  (phase captured) or refunded, one refund at a time as `refund:<n>`; the n-th concludes before
  the next is requested. Charge id and amount identify a capture, which counts once.
- The charge call's own outcome takes precedence: while it is in flight, a report about the charge
  is taken only if it is a capture of an order whose facts are known. Other reports are not lost:
  when the call's outcome is not final, `look` reads the charge again.
- An Undo while the charge is in flight emits PaymentRefundStarted with amount 0, then waits.
- A refund that is refused for good is concluded without money, with the code in `refused`: the undo
  goes on, and the monitor's conservation check opens a case about what stays taken.
- Amounts of PaymentRefundProgressed and PaymentRefunded add up: each holds what was refunded since
  the one before, so a repeated PaymentRefunded holds 0.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sagakit.contract.model import saga_id_of
from sagakit.decider import (
    NOTHING,
    Callback,
    Command,
    Decision,
    Do,
    Effect,
    EffectResult,
    Observed,
    Trigger,
    Undo,
)
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
from schemas.rules import email_of, minor_digits, printable, problems
from services.payment.ledger import (
    ALIVE,
    CHARGE,
    REFUND,
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
    after_refund,
    after_refusal,
    charge_effect,
    charges_to_refund,
    evolve,
    facts_without_lines,
    look_effect,
    refund_again,
    refund_currency,
    refund_effect,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits above which a person has to approve: a total (major units), a fraud score."""

    review_above: Decimal = Decimal(1000)
    fraud_above: float = 0.8


POLICY = Policy()


# --- decide ---------------------------------------------------------------------------------------


def decide(state: Payment, trigger: Trigger, now: datetime, *, policy: Policy = POLICY) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Do(event):
            return _do(replace(state, order_ref=event.order_id), event.order, policy)
        case Undo(event, reason):
            email = state.email or getattr(event, "email", None)
            state = replace(state, order_ref=saga_id_of(event), email=email)
            return _undo(state, printable(reason))
        case Command(name=verdict, reason=reason):
            return _verdict(state, verdict, printable(reason))
        case EffectResult(effect) if effect.payload.get("again"):
            return NOTHING
        case EffectResult(effect, result):
            return _on_report(_with_facts(state, effect), result, effect)
        case Callback(result):
            return _on_report(state, result, None)
        case Observed(event=ChargeFound() as found):
            return _on_reconciliation(replace(state, order_ref=found.order_id), found)
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
    """Return why a person has to approve, or None. `not <=` makes a NaN score doubtful too."""
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
            return Decision(effects=_next_refund(state))
    return Decision((_refunded(state, None, 0),))


def _verdict(state: Payment, verdict: str, reason: str) -> Decision:
    """Apply a review's verdict. A rejection cannot stop a charge in flight; cancel the order."""
    if state.phase is not Phase.REVIEW or state.facts is None or state.charging:
        return NOTHING
    if verdict == "approve":
        return Decision(effects=(charge_effect(state.order_ref, state.facts),))
    return _decline(state, "review_rejected", reason) if verdict == "reject" else NOTHING


def _with_facts(state: Payment, effect: Effect) -> Payment:
    """Take the facts from the charge effect: before its outcome no own event may hold them."""
    state = replace(state, order_ref=str(effect.payload.get("order_id", state.order_ref)))
    if effect.kind != CHARGE or state.facts or state.phase is Phase.DECLINED:
        return state
    order: Any = effect.payload["order"]
    facts = OrderFacts.from_dict(order)
    return replace(state, facts=facts, email=state.email or facts.email)


def _on_report(state: Payment, result: Any, effect: Effect | None) -> Decision:
    """Decide on the provider's answer to `effect`, or on its own report (None)."""
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
            return _on_refund(state, result, effect)
        case RefundRefused(code) if effect is not None and effect.kind == REFUND:
            return _on_refusal(state, code, effect)
        case Voided() | NothingLeft() if effect is not None and effect.kind == REFUND:
            return _on_no_refund(state, result, effect)
    return NOTHING


def _captured(state: Payment, report: Captured) -> Decision:
    """Ignore a known capture, accept one that the order waits for, refund any other."""
    known_minor = sum(c.captured_minor for c in state.charges if c.charge_id == report.charge_id)
    if report.amount_minor <= known_minor:
        return NOTHING
    fresh = replace(report, amount_minor=report.amount_minor - known_minor)
    if state.phase in ALIVE:
        return Decision((_capture(state, fresh, late=False),))
    return _and_refund(state, _capture(state, fresh, late=True))


def _declined(state: Payment, report: Declined) -> Decision:
    if state.waiting:
        return Decision((_refunded(state, None, 0),))
    other = state.charge_id is not None and report.charge_id not in (None, state.charge_id)
    if state.phase not in ALIVE or other:
        return NOTHING
    return _decline(state, report.code, report.reason)


def _unsettled(state: Payment, report: ActionRequired | Pending, look: bool) -> Decision:
    """Wait for a charge that is not final, or void it if the order is to be undone."""
    looks = (look_effect(state.order_ref, report.charge_id),) if look else ()
    if state.waiting:
        void = _and_refund(state, _start(state, report.charge_id, 0))
        return replace(void, effects=(*looks, *void.effects))
    phase = Phase.ACTION if isinstance(report, ActionRequired) else Phase.PENDING
    if state.phase not in ALIVE or state.phase is phase or state.facts is None:
        return NOTHING
    common: Any = {
        "order_id": state.order_ref,
        "order": state.facts,
        "charge_id": report.charge_id,
    }
    if isinstance(report, ActionRequired):
        event: Any = PaymentActionRequired(**common, action_url=report.action_url)
    else:
        event = PaymentPending(**common)
    return Decision((event,), looks)


# --- refunds --------------------------------------------------------------------------------------


def _on_refund(state: Payment, report: Refunded, effect: Effect | None) -> Decision:
    """Record a refund, also one that payment did not request. A refund of an unknown charge implies
    a capture: of the order's total if the refund is partial. If the facts are unknown as well, the
    charge is read first, and the rest is requested under a new key: the provider refuses a key that
    comes again with other content."""
    if state.phase in ALIVE or report.refund_id in state.refunds:
        return NOTHING
    is_known = any(report.charge_id in (None, c.charge_id) for c in state.charges)
    if report.partial and report.charge_id and not (is_known or state.facts):
        counted = PaymentRefundProgressed(
            order_id=state.order_ref, refund_id=report.refund_id, amount_minor=0, remaining_minor=0
        )
        return Decision((counted,), (look_effect(state.order_ref, report.charge_id),))
    whole_minor = state.facts.total_minor if report.partial and state.facts else 0
    taken_minor = max(report.amount_minor, whole_minor)
    unknown_minor = 0 if is_known else max(0, taken_minor - state.left_minor)
    of_it = [c for c in state.charges if report.charge_id == c.charge_id] or state.charges
    amount_minor = min(report.amount_minor, sum(c.left_minor for c in of_it) + unknown_minor)
    if amount_minor <= 0 and state.asked is None and not report.partial:
        return NOTHING
    if not unknown_minor:
        return _concluded(state, report.refund_id, amount_minor, report.partial)
    charge_id = report.charge_id or state.charge_id or f"{CHARGE}:{state.order_ref}"
    known = state.facts.currency if state.facts else effect and effect.payload.get("currency")
    currency = str(known or "XXX")  # ISO 4217 for "no currency"
    capture = _capture(state, Captured(charge_id, unknown_minor, currency), late=True)
    rest = _concluded(evolve(state, capture), report.refund_id, amount_minor, report.partial)
    return replace(rest, events=(capture, *rest.events))


def _on_reconciliation(state: Payment, found: ChargeFound) -> Decision:
    """Act on a difference that reconciliation found. An unknown capture is handled as if reported
    now. A refund that is in payment's books but not in the provider's ledger is requested again;
    the books are right already, so it emits no event."""
    known = [c for c in state.charges if c.charge_id == found.charge_id]
    if sum(c.captured_minor for c in known) < found.captured_minor:
        report = Captured(found.charge_id, found.captured_minor, found.currency)
        return _on_report(state, report, None)
    missing_minor = sum(c.refunded_minor for c in known) - found.refunded_minor
    if missing_minor <= 0 or state.asked or state.refunding:
        return NOTHING
    return Decision(effects=(refund_again(state, found, missing_minor),))


def _on_no_refund(state: Payment, report: Voided | NothingLeft, effect: Effect) -> Decision:
    """Conclude a refund call that moved no money. A capture that came meanwhile is refunded."""
    asked_minor, named = effect.payload["amount_minor"], effect.payload["charge_id"]
    if isinstance(report, Voided):
        refund_id, amount_minor = report.refund_id, 0
        if asked_minor is not None:
            return NOTHING
    else:
        refund_id = effect.key  # the refund is not ours, so its id is not known
        amount_minor = sum(
            c.left_minor for c in charges_to_refund(state) if named in (None, c.charge_id)
        )
    expected = state.phase is Phase.REFUNDING or (state.phase is Phase.CAPTURED and amount_minor)
    if refund_id in state.refunds or not expected:
        return NOTHING
    return _concluded(state, refund_id, amount_minor)


def _on_refusal(state: Payment, code: str, effect: Effect) -> Decision:
    """Conclude a refund that the provider refuses for good. It moved nothing, and never will."""
    asked = state.asked or state.phase is Phase.REFUNDING
    if not asked or refund_effect(state).key != effect.key:
        return NOTHING
    done = _concluded(after_refusal(state), effect.key, 0)
    refused, *rest = done.events
    return replace(done, events=(replace(refused, refused=printable(code)), *rest))


def _concluded(
    state: Payment, refund_id: str, amount_minor: int, partial: bool = False
) -> Decision:
    """Conclude one refund, and request the next while money is left that has to go back."""
    left_minor = sum(
        c.left_minor for c in charges_to_refund(after_refund(state, refund_id, amount_minor))
    )
    if state.phase is Phase.REFUNDING and not left_minor and not partial:
        return Decision((_refunded(state, refund_id, amount_minor),))
    event = PaymentRefundProgressed(
        order_id=state.order_ref,
        refund_id=refund_id,
        amount_minor=amount_minor,
        remaining_minor=left_minor,
        currency=refund_currency(state, amount_minor),
    )
    return _and_refund(state, event)


def _and_refund(state: Payment, event: Any) -> Decision:
    after = evolve(state, event)
    return Decision((event,), _next_refund(after) if after.asked else ())


def _next_refund(state: Payment) -> tuple[Effect, ...]:
    """Return the refund to request now. While it is in flight it is not requested again: by then
    the facts may be unknown, and a key never comes with other content."""
    call = refund_effect(state)
    return () if call.key in state.in_flight else (call,)


# --- events ---------------------------------------------------------------------------------------


def _decline(state: Payment, code: str, reason: str) -> Decision:
    event = PaymentDeclined(
        order_id=state.order_ref, code=printable(code), reason=printable(reason), email=state.email
    )
    return Decision((event,))


def _capture(state: Payment, report: Captured, late: bool) -> PaymentCaptured:
    return PaymentCaptured(
        order_id=state.order_ref,
        order=state.facts or facts_without_lines(report, state.email),
        charge_id=report.charge_id,
        amount_minor=report.amount_minor,
        currency=report.currency,
        late=late,
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
        currency=refund_currency(state, amount_minor),
        reason=state.reason,
        email=state.email,
    )
