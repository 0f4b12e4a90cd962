"""Composition root of flight. It holds no business rules."""

from pathlib import Path

from pydantic import AnyHttpUrl

from sagakit import HttpClient, Participant, Service, ServiceSettings, service_program
from travel.flight.decide import BUY, REFUND, Flight, decide, evolve
from travel.flight.gateway import Airline
from travel.flight.store import store
from travel.supplier import HttpSupplier


class FlightSettings(ServiceSettings):
    """Adds `SAGA_AIRLINE_URL`, the URL of the airline."""

    airline_url: AnyHttpUrl


def participant() -> Participant[Flight]:
    """Return flight's decisions and tables."""
    return Participant("flight", decide, evolve, store())


def build(settings: FlightSettings) -> Service[Flight]:
    """Wire the flight service."""
    client = HttpClient(proxies=False)
    airline = Airline(HttpSupplier("airline", client, str(settings.airline_url)))
    return Service(
        participant(),
        perform={BUY: airline.buy, REFUND: airline.refund},
        close=client.close,
    )


PROGRAM = service_program(
    "flight", build, FlightSettings, migrations=Path(__file__).parent / "migrations"
)
