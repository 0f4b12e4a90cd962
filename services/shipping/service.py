"""Composition root of shipping, with the carrier's webhook. It holds no business rules."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from sagakit.bounded_http import HttpClient
from sagakit.identity import split_key
from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.service.definition import Service
from sagakit.service.program import service_program
from sagakit.service.settings import HttpUrl, WebhookSettings
from sagakit.store.ports import Clock, Participant
from sagakit.web.signed_webhook import (
    ReadReport,
    Secrets,
    WebhookPort,
    saga_of,
    signed_webhook,
    text_of,
)
from services.shipping.decide import (
    CANCEL,
    LABEL,
    PickedUp,
    Shipment,
    awaits_label,
    decide,
    evolve,
)
from services.shipping.gateway import MAX_PARCELS, HttpCarrier, is_number_of_parcels
from services.shipping.store import BOOKS, store


class ShippingSettings(WebhookSettings):
    """Adds `SAGA_CARRIER_URL` and `SAGA_VAULT_URL`: the order service, which opens sealed texts."""

    carrier_url: HttpUrl
    vault_url: HttpUrl | None = None


def participant() -> Participant[Shipment]:
    """Return shipping's decisions and tables."""
    return Participant("shipping", decide, evolve, store())


def build(settings: ShippingSettings) -> Service[Shipment]:
    """Wire the shipping service."""
    client = HttpClient()
    vault = KeyServiceClient(settings.vault_url, caller="shipping", token=settings.token_to_send)
    carrier = HttpCarrier(client, settings.carrier_url, vault)

    async def close() -> None:
        await client.close()
        await vault.close()

    return Service(
        participant(),
        perform={LABEL: carrier.label, CANCEL: carrier.cancel},
        routes=webhook(settings.webhook_secrets, settings.now),
        close=close,
        books=BOOKS,
        ledgers={"labels": carrier.labels},
    )


def webhook(secrets: Secrets, clock: Clock) -> Callable[[WebhookPort[Shipment]], APIRouter]:
    """Return the builder of `POST /webhooks/carrier`."""
    return signed_webhook("carrier", secrets, clock, REPORTS, _too_early)


def _too_early(state: Shipment, report: Any) -> str | None:
    return "the label of this order is not stored here yet" if awaits_label(state) else None


def _picked_up(data: Mapping[str, Any]) -> tuple[str, PickedUp]:
    saga = saga_of(data)
    order_id = split_key(saga)[1]
    parcels = data.get("parcels")
    if "parcels" in data and not is_number_of_parcels(parcels):
        raise ValueError(f"data.parcels must be a whole number from 1 to {MAX_PARCELS}")
    return saga, PickedUp(order_id, text_of(data, "id"), text_of(data, "tracking"), parcels)


REPORTS: Mapping[str, ReadReport] = {"label.picked_up": _picked_up}
"""Reader of the carrier's webhooks by event type."""

PROGRAM = service_program(
    "shipping",
    build,
    ShippingSettings,
    migrations=Path(__file__).parent / "migrations",
)
