"""Composition root of car. It holds no business rules."""

from pathlib import Path

from pydantic import AnyHttpUrl

from sagakit import HttpClient, Participant, Service, ServiceSettings, service_program
from travel.car.decide import CANCEL, RESERVE, Car, decide, evolve
from travel.car.gateway import Rental
from travel.car.store import store
from travel.supplier import HttpSupplier


class CarSettings(ServiceSettings):
    """Adds `SAGA_RENTAL_URL`, the URL of the rental."""

    rental_url: AnyHttpUrl


def participant() -> Participant[Car]:
    """Return car's decisions and tables."""
    return Participant("car", decide, evolve, store())


def build(settings: CarSettings) -> Service[Car]:
    """Wire the car service."""
    client = HttpClient(proxies=False)
    rental = Rental(HttpSupplier("rental", client, str(settings.rental_url)))
    return Service(
        participant(),
        perform={RESERVE: rental.reserve, CANCEL: rental.cancel},
        close=client.close,
    )


PROGRAM = service_program(
    "car", build, CarSettings, migrations=Path(__file__).parent / "migrations"
)
