"""Composition root of payment, with the provider's webhook. It holds no business rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid5

import httpx
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import AnyHttpUrl, SecretStr

from sagakit.decider import Callback
from sagakit.errors import BadKey
from sagakit.messages.codec import order_key
from sagakit.messages.envelope import NAMESPACE
from sagakit.service.definition import Service, TriggerPort
from sagakit.service.program import service_program
from sagakit.service.settings import ServiceSettings
from sagakit.store.ports import Clock, Participant
from sagakit.web.app import problem
from sagakit.web.signed_webhook import HEADER, verify
from schemas import CONTRACT, FLOWS
from services.payment.decide import decide
from services.payment.gateway import HttpProvider
from services.payment.ledger import (
    CHARGE,
    LOOK,
    REFUND,
    Captured,
    Declined,
    Payment,
    Phase,
    Refunded,
    evolve,
)
from services.payment.statement import HttpStatement
from services.payment.store import BOOKS, store

RETRY_AFTER_S = "1"
MAX_ID = 255
Report = Captured | Declined | Refunded


class PaymentSettings(ServiceSettings):
    """Adds `SAGA_PROVIDER_URL` and `SAGA_WEBHOOK_SECRET`, the key of the provider's signatures."""

    provider_url: AnyHttpUrl
    webhook_secret: SecretStr


def participant() -> Participant[Payment]:
    """Return payment's decisions and tables."""
    return Participant("payment", decide, evolve, store())


def build(settings: PaymentSettings) -> Service[Payment]:
    """Wire the payment service."""
    # default limits: the pool scans every idle connection, so more connections cost more
    client = httpx.AsyncClient()
    provider = HttpProvider(client, str(settings.provider_url))
    statement = HttpStatement(client, str(settings.provider_url))
    return Service(
        participant(),
        perform={CHARGE: provider.charge, LOOK: provider.look, REFUND: provider.refund},
        routes=webhook(settings.webhook_secret.get_secret_value(), settings.now),
        close=client.aclose,
        books=BOOKS,
        ledgers={"charges": statement.charges, "refunds": statement.refunds},
    )


def webhook(secret: str, clock: Clock) -> Callable[[TriggerPort[Payment]], APIRouter]:
    """Return the builder of `POST /webhooks/provider`.

    Answers 200 taken (or a type that is ignored), 400 not understood, 401 not signed by the
    provider, 503 not taken, deliver it again: the order is unknown (a database being rebuilt).
    """

    def routes(door: TriggerPort[Payment]) -> APIRouter:
        router = APIRouter(tags=["webhooks"])

        @router.post("/webhooks/provider")
        async def provider(request: Request) -> Response:
            body = await request.body()
            verify(secret, body, request.headers.get(HEADER), clock())
            try:
                read = _read(body)
            except ValueError as error:
                return problem(400, "webhook not understood", str(error))
            if read is None:
                return Response(status_code=200)
            event_id, order_id, report = read
            state = await door.state(order_id)
            if state.phase is Phase.NEW and not state.in_flight:
                told = f"no charge of order {order_id!r} is known here yet; deliver it again"
                answer = problem(503, "too early", told)
                answer.headers["Retry-After"] = RETRY_AFTER_S
                return answer
            message_id = uuid5(NAMESPACE, f"provider:{event_id}")
            await door.submit(order_id, Callback(report), message_id)
            return Response(status_code=200)

        return router

    return routes


def _read(body: bytes) -> tuple[str, str, Report] | None:
    """Return the provider's event id, the order id and the report; None for an ignored type.

    Raises ValueError that says what is missing.
    """
    try:
        event: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON ({error}); send a provider event") from error
    if not isinstance(event, dict):
        raise ValueError("a provider event is a JSON object with id, type and data")
    kind = event.get("type")
    if kind not in ("charge.captured", "charge.declined", "refund.succeeded"):
        if isinstance(kind, str):
            return None
        raise ValueError("type is missing; a provider event has id, type and data")
    data = event.get("data")
    if not isinstance(data, dict):
        raise ValueError(f"{kind}: data is missing; it is the charge or the refund")
    return _text(event, "id", "the event"), _order_id(data), _report(kind, data)


def _report(kind: str, data: dict[str, Any]) -> Report:
    if kind == "charge.captured":
        charge_id, currency = _text(data, "id", kind), _text(data, "currency", kind)
        return Captured(charge_id, _minor(data, kind), currency)
    if kind == "charge.declined":
        code = "declined"
        if data.get("decline_code") is not None:
            code = _text(data, "decline_code", kind)
        return Declined(_text(data, "id", kind), code, f"the provider says {code}")
    charge_id = _text(data, "charge_id", kind)
    return Refunded(_text(data, "id", kind), _minor(data, kind), charge_id)


def _text(data: dict[str, Any], name: str, where: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID or not value.isprintable():
        raise ValueError(f"{where}: {name} must be a text of 1 to {MAX_ID} printable characters")
    return value


def _minor(data: dict[str, Any], where: str) -> int:
    value = data.get("amount_minor")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"{where}: amount_minor must be a whole number of minor units, 0 or more")
    return value


def _order_id(data: dict[str, Any]) -> str:
    try:
        return order_key(_text(data, "order_id", "data").encode())
    except BadKey as error:
        raise ValueError(f"data.order_id: {error}") from error


PROGRAM = service_program(
    "payment",
    build,
    PaymentSettings,
    flows=FLOWS,
    contract=CONTRACT,
    migrations=Path(__file__).parent / "migrations",
)
