"""Composition root of dispatch. It holds no business rules."""

from pathlib import Path

from sagakit import Participant, Service, ServiceSettings, service_program

from dispatch.decide import Reservation, decide, evolve
from dispatch.store import store


def participant() -> Participant[Reservation]:
    """Return dispatch's decisions and tables."""
    return Participant("dispatch", decide, evolve, store())


def build(settings: ServiceSettings) -> Service[Reservation]:
    """Wire the service."""
    return Service(participant())


PROGRAM = service_program(
    "dispatch",
    build,
    ServiceSettings,
    migrations=Path(__file__).parent / "migrations",
)
