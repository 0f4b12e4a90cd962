"""Composition root of fraud. It holds no business rules."""

from sagakit.service.definition import Service
from sagakit.store.ports import Participant
from services.fraud.decide import Screening, decide, evolve
from services.fraud.store import store


def participant() -> Participant[Screening]:
    """Return fraud's decisions and tables."""
    return Participant("fraud", decide, evolve, store())


def build() -> Service[Screening]:
    """Wire the fraud service."""
    return Service(participant())
