"""Composition root of fraud. It holds no business rules."""

from pathlib import Path

from sagakit.service.definition import Service
from sagakit.service.program import service_program
from sagakit.service.settings import ServiceSettings
from sagakit.store.ports import Participant
from services.fraud.decide import Screening, decide, evolve
from services.fraud.store import store


def participant() -> Participant[Screening]:
    """Return fraud's decisions and tables."""
    return Participant("fraud", decide, evolve, store())


def build(settings: ServiceSettings) -> Service[Screening]:
    """Wire the fraud service."""
    return Service(participant())


PROGRAM = service_program(
    "fraud",
    build,
    ServiceSettings,
    migrations=Path(__file__).parent / "migrations",
)
