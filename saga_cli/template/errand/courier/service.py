"""Composition root of courier. It holds no business rules."""

from pathlib import Path

from pydantic import AnyHttpUrl
from sagakit import HttpClient, Participant, Service, ServiceSettings, service_program

from courier.decide import ASK, Job, decide, evolve
from courier.gateway import HttpPartner
from courier.store import store


class CourierSettings(ServiceSettings):
    """Adds `SAGA_PARTNER_URL`, the address of the partner."""

    partner_url: AnyHttpUrl


def participant() -> Participant[Job]:
    """Return courier's decisions and tables."""
    return Participant("courier", decide, evolve, store())


def build(settings: CourierSettings) -> Service[Job]:
    """Wire the service: each kind of effect has the method that performs it."""
    client = HttpClient()
    partner = HttpPartner(client, str(settings.partner_url))
    return Service(participant(), perform={ASK: partner.ask}, close=client.close)


PROGRAM = service_program(
    "courier",
    build,
    CourierSettings,
    migrations=Path(__file__).parent / "migrations",
)
