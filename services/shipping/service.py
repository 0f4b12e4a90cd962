"""Composition root of shipping, with the carrier's webhook. It holds no business rules."""

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
from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.service.definition import Service, TriggerPort
from sagakit.service.program import service_program
from sagakit.service.settings import ServiceSettings
from sagakit.store.ports import Clock, Participant
from sagakit.web.app import problem
from sagakit.web.signed_webhook import HEADER, verify
from schemas import CONTRACT, FLOWS
from services.shipping.decide import (
    CANCEL,
    LABEL,
    PickedUp,
    Shipment,
    decide,
    evolve,
    premature,
)
from services.shipping.gateway import HttpCarrier
from services.shipping.store import BOOKS, store

RETRY_AFTER_S = 1
MAX_ID = 255


class ShippingSettings(ServiceSettings):
    """Adds `SAGA_CARRIER_URL`, `SAGA_WEBHOOK_SECRET` (the key of the carrier's signatures) and
    `SAGA_VAULT_URL` (the order service, which opens sealed texts)."""

    carrier_url: AnyHttpUrl
    webhook_secret: SecretStr
    vault_url: AnyHttpUrl | None = None


def participant() -> Participant[Shipment]:
    """Return shipping's decisions and tables."""
    return Participant("shipping", decide, evolve, store())


def build(settings: ShippingSettings) -> Service[Shipment]:
    """Wire the shipping service."""
    client = httpx.AsyncClient()
    vault = KeyServiceClient(client, str(settings.vault_url) if settings.vault_url else None)
    carrier = HttpCarrier(client, str(settings.carrier_url), vault)
    return Service(
        participant(),
        perform={LABEL: carrier.label, CANCEL: carrier.cancel},
        routes=webhook(settings.webhook_secret.get_secret_value(), settings.now),
        close=client.aclose,
        books=BOOKS,
        ledgers={"labels": carrier.labels},
    )


def webhook(secret: str, clock: Clock) -> Callable[[TriggerPort[Shipment]], APIRouter]:
    """Return the builder of `POST /webhooks/carrier`.

    Answers 200 taken (or a type that is ignored), 400 not understood, 401 not signed by the
    carrier, 503 too early: the label itself is not stored yet, deliver it again.
    """

    def routes(door: TriggerPort[Shipment]) -> APIRouter:
        router = APIRouter()

        @router.post("/webhooks/carrier")
        async def carrier(request: Request) -> Response:
            body = await request.body()
            verify(secret, body, request.headers.get(HEADER), clock())
            try:
                event_id, parcel = _read(body)
            except ValueError as error:
                return problem(400, "not understood", str(error))
            if parcel is None:
                return Response(status_code=200)
            if premature(await door.state(parcel.order_id)):
                detail = f"order {parcel.order_id!r} has no known label here yet; deliver it again"
                answer = problem(503, "too early", detail)
                answer.headers["Retry-After"] = str(RETRY_AFTER_S)
                return answer
            message_id = uuid5(NAMESPACE, f"carrier:{event_id}")
            await door.submit(parcel.order_id, Callback(parcel), message_id)
            return Response(status_code=200)

        return router

    return routes


def _read(body: bytes) -> tuple[str, PickedUp | None]:
    """Return the carrier's event id and the pickup; None for another type. Raises ValueError."""
    try:
        event: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON ({error}); send a carrier event") from error
    match event:
        case {"type": "label.picked_up", "id": str(event_id), "data": dict(label)}:
            match label:
                case {"order_id": str(order_id), "id": str(label_id), "tracking": str(tracking)}:
                    known = _short("id", label_id), _short("tracking", tracking)
                    return event_id, PickedUp(_order_id(order_id), *known)
            raise ValueError("label.picked_up: data lacks one of the texts order_id, id, tracking")
        case {"type": str(other), "id": str(event_id)} if other != "label.picked_up":
            return event_id, None
    raise ValueError("a carrier event has the texts id and type, and data; one of them is missing")


def _short(name: str, text: str) -> str:
    if not 1 <= len(text) <= MAX_ID or not text.isprintable():
        raise ValueError(f"data.{name} must be a text of 1 to {MAX_ID} printable characters")
    return text


def _order_id(text: str) -> str:
    try:
        return order_key(text.encode())
    except (BadKey, UnicodeEncodeError) as error:
        raise ValueError(f"data.order_id: {error}") from error


PROGRAM = service_program(
    "shipping",
    build,
    ShippingSettings,
    flows=FLOWS,
    contract=CONTRACT,
    migrations=Path(__file__).parent / "migrations",
)
