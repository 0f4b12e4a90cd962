"""Composition root of payment, with the provider's webhook. It holds no business rules."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from sagakit.bounded_http import HttpClient
from sagakit.service.definition import Service
from sagakit.service.program import service_program
from sagakit.service.settings import HttpUrl, WebhookSettings
from sagakit.store.ports import Clock, Participant
from sagakit.web.signed_webhook import (
    ReadReport,
    Secrets,
    WebhookPort,
    minor_of,
    saga_of,
    signed_webhook,
    text_of,
)
from services.payment.decide import decide
from services.payment.gateway import HttpProvider, decline_code
from services.payment.ledger import (
    CHARGE,
    LOOK,
    REFUND,
    Captured,
    Declined,
    Disputed,
    Payment,
    Phase,
    Refunded,
    RefundFailed,
    evolve,
)
from services.payment.statement import HttpStatement
from services.payment.store import BOOKS, store


class PaymentSettings(WebhookSettings):
    """Adds `SAGA_PROVIDER_URL`."""

    provider_url: HttpUrl


def participant() -> Participant[Payment]:
    """Return payment's decisions and tables."""
    return Participant("payment", decide, evolve, store())


def build(settings: PaymentSettings) -> Service[Payment]:
    """Wire the payment service."""
    client = HttpClient()
    provider = HttpProvider(client, settings.provider_url)
    statement = HttpStatement(client, settings.provider_url)
    return Service(
        participant(),
        perform={CHARGE: provider.charge, LOOK: provider.look, REFUND: provider.refund},
        routes=webhook(settings.webhook_secrets, settings.now),
        close=client.close,
        books=BOOKS,
        ledgers={"charges": statement.charges, "refunds": statement.refunds},
    )


def webhook(secrets: Secrets, clock: Clock) -> Callable[[WebhookPort[Payment]], APIRouter]:
    """Return the builder of `POST /webhooks/provider`."""
    return signed_webhook("provider", secrets, clock, REPORTS, too_early)


def too_early(state: Payment, report: Any) -> str | None:
    """Return what a report has to wait for: that the order is known, which it is not while the
    database is rebuilt; a dispute also for the capture of the money that it is about."""
    if state.phase is Phase.NEW and not state.in_flight:
        return "no charge of this order is known here yet"
    if isinstance(report, Disputed) and not state.charge(report.charge_id) and state.asking:
        return "the capture of the disputed charge is not booked here yet"
    return None


def _captured(data: Mapping[str, Any]) -> tuple[str, Captured]:
    charge_id, currency = text_of(data, "id"), text_of(data, "currency")
    return saga_of(data), Captured(charge_id, minor_of(data, "amount_minor"), currency)


def _declined(data: Mapping[str, Any]) -> tuple[str, Declined]:
    code = decline_code(data.get("decline_code"))
    report = Declined(text_of(data, "id"), code, f"the provider says {code}")
    return saga_of(data), report


def _refund_failed(data: Mapping[str, Any]) -> tuple[str, RefundFailed]:
    refund_id, charge_id = text_of(data, "id"), text_of(data, "charge_id")
    report = RefundFailed(refund_id, charge_id, minor_of(data, "amount_minor"))
    return saga_of(data), report


def _disputed(data: Mapping[str, Any], status: str) -> tuple[str, Disputed]:
    dispute_id, charge_id = text_of(data, "id"), text_of(data, "charge_id")
    amount_minor, currency = minor_of(data, "amount_minor"), text_of(data, "currency")
    return saga_of(data), Disputed(dispute_id, charge_id, amount_minor, currency, status)


def _refunded(data: Mapping[str, Any]) -> tuple[str, Refunded]:
    refund_id, charge_id = text_of(data, "id"), text_of(data, "charge_id")
    report = Refunded(refund_id, minor_of(data, "amount_minor"), charge_id)
    return saga_of(data), report


REPORTS: Mapping[str, ReadReport] = {
    "charge.captured": _captured,
    "charge.declined": _declined,
    "refund.succeeded": _refunded,
    "refund.failed": _refund_failed,
    "dispute.opened": partial(_disputed, status="opened"),
    "dispute.won": partial(_disputed, status="won"),
    "dispute.lost": partial(_disputed, status="lost"),
}
"""Reader of the provider's webhooks by event type."""

PROGRAM = service_program(
    "payment",
    build,
    PaymentSettings,
    migrations=Path(__file__).parent / "migrations",
)
