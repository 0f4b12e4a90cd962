"""Builds payment's own events from its state. Pure."""

from typing import Any

from schemas.events import (
    PaymentCaptured,
    PaymentDeclined,
    PaymentMismatched,
    PaymentRefunded,
    PaymentRefundStarted,
    PaymentReportDoubted,
)
from schemas.rules import printable
from services.payment.ledger import (
    Captured,
    Payment,
    facts_without_lines,
    refund_currency,
)


def captured(state: Payment, report: Captured, *, late: bool) -> PaymentCaptured:
    """Return the event of a capture; `late`: the order does not wait for it, so it is refunded."""
    return PaymentCaptured(
        order_id=state.order_ref,
        order=state.facts or facts_without_lines(report, state.email),
        charge_id=report.charge_id,
        amount_minor=report.amount_minor,
        currency=report.currency,
        late=late,
    )


def mismatched(state: Payment, report: Captured) -> PaymentMismatched:
    """Return the event of a capture that is not what was asked for; the facts are known."""
    assert state.facts is not None
    return PaymentMismatched(order=state.facts, **_differing(state, report, "captured"))


def doubted(state: Payment, report: Captured) -> PaymentReportDoubted:
    """Return the event of a report that is not what was asked for; the facts are known."""
    return PaymentReportDoubted(**_differing(state, report, "reported"))


def refund_doubted(
    state: Payment, refund_id: str, amount_minor: int, found: Captured
) -> PaymentReportDoubted:
    """Return the event of a refund that was reported and that its charge does not show."""
    reason = (
        f"the provider reported refund {refund_id} of {amount_minor} {found.currency} (minor "
        f"units); its charge {found.charge_id} shows {found.refunded_minor} refunded in all"
    )
    return PaymentReportDoubted(
        order_id=state.order_ref,
        charge_id=found.charge_id,
        amount_minor=amount_minor,
        currency=found.currency,
        reason=printable(reason),
    )


def _differing(state: Payment, report: Captured, how: str) -> dict[str, Any]:
    asked = f"{state.facts.total_minor} {state.facts.currency}" if state.facts else "nothing"
    other = state.charge_id not in (None, report.charge_id)
    under_way = f" by charge {state.charge_id}" if other else ""
    reason = (
        f"the provider {how} {report.amount_minor} {report.currency} (minor units) by charge "
        f"{report.charge_id}; asked for were {asked}{under_way}"
    )
    return {
        "order_id": state.order_ref,
        "charge_id": report.charge_id,
        "amount_minor": report.amount_minor,
        "currency": report.currency,
        "reason": printable(reason),
    }


def declined(state: Payment, code: str, reason: str) -> PaymentDeclined:
    """Return the event of an order that is not paid."""
    return PaymentDeclined(
        order_id=state.order_ref, code=printable(code), reason=printable(reason), email=state.email
    )


def refund_started(
    state: Payment, charge_id: str | None, amount_minor: int
) -> PaymentRefundStarted:
    """Return the event of an undo that waits for the provider."""
    return PaymentRefundStarted(
        order_id=state.order_ref,
        charge_id=charge_id,
        amount_minor=amount_minor,
        reason=state.reason,
        email=state.email,
    )


def refunded(state: Payment, refund_id: str | None, amount_minor: int) -> PaymentRefunded:
    """Return the event of a payment that is undone."""
    return PaymentRefunded(
        order_id=state.order_ref,
        refund_id=refund_id,
        amount_minor=amount_minor,
        currency=refund_currency(state, amount_minor),
        reason=state.reason,
        email=state.email,
    )
