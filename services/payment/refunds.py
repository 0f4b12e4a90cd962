"""Decides payment's reactions to refunds: made, not needed, and failed afterwards. Pure.

Money that has to go back is refunded one refund at a time as `refund:<n>`; the n-th concludes
before the next is requested. Amounts of PaymentRefundProgressed and PaymentRefunded add up: each
holds what was refunded since the one before, so a repeated PaymentRefunded holds 0.
"""

from dataclasses import replace
from typing import Any

from sagakit.decider import NOTHING, Decision, Effect
from schemas.events import PaymentRefundFailed, PaymentRefundProgressed
from schemas.rules import printable
from services.payment import own_events
from services.payment.ledger import (
    ALIVE,
    CHARGE,
    Captured,
    NothingLeft,
    Payment,
    Phase,
    Refunded,
    RefundFailed,
    Voided,
    after_refund,
    after_refusal,
    charges_to_refund,
    due_minor,
    evolve,
    look_effect,
    refund_currency,
    refund_effect,
    to_come_minor,
)


def on_refund(state: Payment, report: Refunded, effect: Effect) -> Decision:
    """Record the answer to a refund. A refund of more than is booked implies a capture: of an
    unknown charge, of the order's total if the refund is partial. If the facts are unknown as well,
    the charge is read first, and the rest is requested under a new key: the provider refuses a key
    that comes again with other content."""
    if (state.phase in ALIVE and not state.charges) or report.refund_id in state.refunds:
        return NOTHING
    is_known = any(report.charge_id in (None, c.charge_id) for c in state.charges)
    if report.partial and report.charge_id and not (is_known or state.facts):
        counted = PaymentRefundProgressed(
            order_id=state.order_ref, refund_id=report.refund_id, amount_minor=0, remaining_minor=0
        )
        return Decision((counted,), (look_effect(state.order_ref, report.charge_id),))
    of_it = [c for c in state.charges if report.charge_id == c.charge_id] or state.charges
    left_minor = sum(charge.left_minor for charge in of_it)
    unknown_minor = _unknown_minor(state, report, effect, left_minor)
    amount_minor = min(report.amount_minor, left_minor + unknown_minor)
    if amount_minor <= 0 and state.asked is None and not report.partial:
        return NOTHING
    if not unknown_minor:
        return concluded(state, report.refund_id, amount_minor, report.partial)
    charge_id = report.charge_id or state.charge_id or f"{CHARGE}:{state.order_ref}"
    known = state.facts.currency if state.facts else effect.payload.get("currency")
    currency = str(known or "XXX")  # ISO 4217 for "no currency"
    charge = state.charge(charge_id)
    taken_minor = unknown_minor + (charge.captured_minor if charge else 0)
    capture = own_events.captured(state, Captured(charge_id, taken_minor, currency), late=True)
    rest = concluded(evolve(state, capture), report.refund_id, amount_minor, report.partial)
    return Decision((capture, *rest.events), rest.effects)


def _unknown_minor(state: Payment, report: Refunded, effect: Effect, left_minor: int) -> int:
    """Return what was captured and is not booked, if a refund of it was made."""
    if charge := state.charge(report.charge_id):
        all_of_it = effect.payload["amount_minor"] is None
        unbooked_minor = report.amount_minor - left_minor if all_of_it else 0
        return max(0, min(unbooked_minor, to_come_minor(state, charge)))
    if report.charge_id is None and state.charges:
        return 0
    whole_minor = state.facts.total_minor if report.partial and state.facts else 0
    return max(0, max(report.amount_minor, whole_minor) - left_minor)


def on_no_refund(state: Payment, report: Voided | NothingLeft, effect: Effect) -> Decision:
    """Conclude a refund call that moved no money. A capture that came meanwhile is refunded."""
    asked_minor, named = effect.payload["amount_minor"], effect.payload["charge_id"]
    if isinstance(report, Voided):
        refund_id, amount_minor = report.refund_id, 0
        if asked_minor is not None:
            return NOTHING
    else:
        refund_id = effect.key  # the refund is not ours, so its id is not known
        due = (c for c in charges_to_refund(state) if named in (None, c.charge_id))
        amount_minor = sum(due_minor(state, charge) for charge in due)
    expected = state.phase is Phase.REFUNDING or (state.phase is Phase.CAPTURED and amount_minor)
    if refund_id in state.refunds or not expected:
        return NOTHING
    return concluded(state, refund_id, amount_minor)


def on_refusal(state: Payment, code: str, effect: Effect) -> Decision:
    """Conclude a refund that the provider refuses for good. It moved nothing, and never will."""
    asked = state.asked or state.phase is Phase.REFUNDING
    if not asked or refund_effect(state).key != effect.key:
        return NOTHING
    done = concluded(after_refusal(state), effect.key, 0)
    refused, *rest = done.events
    return replace(done, events=(replace(refused, refused=printable(code)), *rest))


def on_failure(state: Payment, report: RefundFailed, effect: Effect | None) -> Decision:
    """Reopen the books for a refund that failed; the next Undo requests it under a new key. The
    failure may be reported before the answer to the call that made the refund, and before it is
    known that anything was captured."""
    is_ours = effect is not None or state.charges or state.asked or state.refunding
    if report.refund_id in state.failed or not is_ours:
        return NOTHING
    charge = state.charge(report.charge_id) or (state.charges[-1] if state.charges else None)
    booked_minor = charge.returned_minor if charge and report.refund_id in state.refunds else 0
    amount_minor = min(report.amount_minor, booked_minor)
    currency = charge.currency if charge else ""
    failed = PaymentRefundFailed(
        order_id=state.order_ref,
        refund_id=report.refund_id,
        charge_id=charge.charge_id if charge else None,
        amount_minor=amount_minor,
        currency=currency or None,
        reason=f"refund {report.refund_id} of {report.amount_minor} {currency} (minor units) "
        "failed at the provider; refund it another way, or ask the customer for another account",
        email=state.email,
    )
    return Decision((failed,))


def concluded(state: Payment, refund_id: str, amount_minor: int, partial: bool = False) -> Decision:
    """Conclude one refund, and request the next while money is left that has to go back."""
    after = after_refund(state, refund_id, amount_minor)
    left_minor = sum(due_minor(after, charge) for charge in after.charges)
    if state.phase is Phase.REFUNDING and not left_minor and not partial:
        return Decision((own_events.refunded(state, refund_id, amount_minor),))
    event = PaymentRefundProgressed(
        order_id=state.order_ref,
        refund_id=refund_id,
        amount_minor=amount_minor,
        remaining_minor=left_minor,
        currency=refund_currency(state, amount_minor),
    )
    return and_refund(state, event)


def and_refund(state: Payment, event: Any) -> Decision:
    """Return an event, and the refund that is due after it."""
    after = evolve(state, event)
    return Decision((event,), next_refund(after) if after.asked else ())


def next_refund(state: Payment) -> tuple[Effect, ...]:
    """Return the refund to request now. While it is in flight it is not requested again: by then
    the facts may be unknown, and a key never comes with other content."""
    call = refund_effect(state)
    return () if call.key in state.in_flight else (call,)
