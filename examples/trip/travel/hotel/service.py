"""Composition root of hotel. It holds no business rules."""

from pathlib import Path
from typing import Any

from pydantic import AnyHttpUrl

from sagakit import (
    HttpClient,
    Participant,
    Service,
    WebhookSettings,
    service_program,
    signed_webhook,
)
from travel.hotel.decide import (
    CAPTURE,
    HOLD,
    LOOK,
    RELEASE,
    VOID,
    Hotel,
    Phase,
    decide,
    evolve,
    hold_pending,
)
from travel.hotel.gateway import REPORTS, Payer
from travel.hotel.store import store
from travel.supplier import HttpSupplier


class HotelSettings(WebhookSettings):
    """Adds `SAGA_PAYER_URL`, the URL of the payer."""

    payer_url: AnyHttpUrl


def participant() -> Participant[Hotel]:
    """Return hotel's decisions and tables."""
    return Participant("hotel", decide, evolve, store())


def build(settings: HotelSettings) -> Service[Hotel]:
    """Wire the hotel service."""
    client = HttpClient(proxies=False)
    payer = Payer(HttpSupplier("payer", client, str(settings.payer_url)))
    return Service(
        participant(),
        perform={
            HOLD: payer.hold,
            VOID: payer.release,
            CAPTURE: payer.capture,
            RELEASE: payer.release,
            LOOK: payer.look,
        },
        routes=signed_webhook("payer", settings.webhook_secrets, settings.now, REPORTS, too_early),
        close=client.close,
    )


def too_early(state: Hotel, report: Any) -> str | None:
    """Return what a report has to wait for: the answer to the hold that it may be about."""
    waits = state.phase is Phase.NEW or hold_pending(state)
    return "the answer to a hold is still to come" if waits else None


PROGRAM = service_program(
    "hotel", build, HotelSettings, migrations=Path(__file__).parent / "migrations"
)
