r"""Decides payment's reactions to triggers. Pure.

    new --charge--> captured --Undo--> refunding --Refunded--> refunded
     |\-> action, pending -^  \-(what is not captured is voided)-^  |
     |   \-> mismatched --^----Undo--^                             | a late capture, or
     |-> review (a person) -^                                       | a refund that failed:
     \-> declined -------------------> refunding <-----------------/  refunded once more

Rules behind the table in tests/unit/services/test_payment.py:

- The ledger determines the phase: money that the provider took and has not refunded is either kept
  (phase captured, at most the order's total) or refunded. A charge counts once, with the highest
  amount that the provider has confirmed.
- Only a capture of exactly what was asked for pays the order; any other is `mismatched`, until the
  rest arrives or the order is undone (`captures`).
- The charge call's own outcome takes precedence: while it is in flight, a report about the charge
  is taken only if it is a capture of an order whose facts are known. Other reports are not lost:
  when the call's outcome is not final, `look` reads the charge again.
- Under review nothing was asked of the provider, so nothing that is reported of it counts.
- An Undo while the charge is in flight emits PaymentRefundStarted with amount 0, then waits.
- A refund that is refused for good is concluded without money, with the code in `refused`: the undo
  goes on, and the monitor's conservation check opens a case about what stays taken.
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
from schemas.events import ChargeFound, OrderFacts, PaymentReviewRequired
from schemas.rules import email_of, minor_digits, printable, problems
from services.payment.captures import on_capture, on_decline, on_found, on_unsettled
from services.payment.disputes import on_dispute
from services.payment.ledger import (
    CHARGE,
    REFUND,
    ActionRequired,
    Captured,
    Declined,
    Disputed,
    NothingLeft,
    Payment,
    Pending,
    Phase,
    Refunded,
    RefundFailed,
    RefundRefused,
    Voided,
    charge_effect,
)
from services.payment.own_events import declined, refund_started, refunded
from services.payment.refund_reports import REFUND_ID, on_charge_read, on_report
from services.payment.refunds import (
    and_refund,
    next_refund,
    on_failure,
    on_no_refund,
    on_refund,
    on_refusal,
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
            return _on_hint(replace(state, order_ref=found.order_id), found)
    return NOTHING


def _do(state: Payment, facts: OrderFacts, policy: Policy) -> Decision:
    order_id = state.order_ref
    if state.phase is not Phase.NEW or state.charging:
        return NOTHING
    if wrong := problems(order_id, facts):
        state = replace(state, email=email_of(facts))
        return Decision((declined(state, "invalid", "; ".join(wrong)),))
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
            return Decision((refund_started(state, None, 0),))
        case Phase.ACTION | Phase.PENDING | Phase.MISMATCHED:
            return and_refund(state, refund_started(state, state.charge_id, state.left_minor))
        case Phase.CAPTURED if state.left_minor:
            return and_refund(state, refund_started(state, state.charge_id, state.left_minor))
        case Phase.REFUNDING if state.waiting and state.charging:
            return NOTHING
        case Phase.REFUNDING:
            return Decision(effects=next_refund(state))
    return Decision((refunded(state, None, 0),))


def _verdict(state: Payment, verdict: str, reason: str) -> Decision:
    """Apply a review's verdict. A rejection cannot stop a charge in flight; cancel the order."""
    if state.phase is not Phase.REVIEW or state.facts is None or state.charging:
        return NOTHING
    if verdict == "approve":
        return Decision(effects=(charge_effect(state.order_ref, state.facts),))
    if verdict != "reject":
        return NOTHING
    return Decision((declined(state, "review_rejected", reason),))


def _on_hint(state: Payment, found: ChargeFound) -> Decision:
    """Read a charge of which somebody says what the provider has; the charge call comes first."""
    unasked = state.phase in (Phase.NEW, Phase.REVIEW) or state.charging
    return NOTHING if unasked else on_found(state, found)


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
    unasked = state.phase is Phase.NEW or (state.phase is Phase.REVIEW and not state.charging)
    if unasked and not own:
        return NOTHING
    match result:
        case Captured() if effect is not None and REFUND_ID in effect.payload:
            return on_charge_read(state, result, effect) or on_capture(state, result, effect)
        case Captured() if state.facts or not early:
            return on_capture(state, result, effect)
        case Captured() | Declined() | ActionRequired() | Pending() if early:
            return NOTHING
        case Declined():
            return on_decline(state, result)
        case ActionRequired() | Pending():
            return on_unsettled(state, result, look=own)
        case Refunded() if effect is not None:
            return on_refund(state, result, effect)
        case Refunded():
            return on_report(state, result)
        case RefundRefused(code) if effect is not None and effect.kind == REFUND:
            return on_refusal(state, code, effect)
        case Voided() | NothingLeft() if effect is not None and effect.kind == REFUND:
            return on_no_refund(state, result, effect)
        case RefundFailed():
            return on_failure(state, result, effect)
        case Disputed():
            return on_dispute(state, result)
    return NOTHING
