"""Composition root of fraud. Nothing is decided here."""

from sagakit.service.definition import Service
from sagakit.store.ports import Participant
from services.fraud.decide import Screening, decide, evolve
from services.fraud.store import store


def participant() -> Participant[Screening]:
    """Fraud's decisions and tables."""
    return Participant("fraud", decide, evolve, store())


def build() -> Service[Screening]:
    """Fraud, wired."""
    return Service(participant())
