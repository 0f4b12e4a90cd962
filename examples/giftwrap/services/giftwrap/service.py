"""Composition root of giftwrap. It holds no business rules."""

from pathlib import Path

import httpx2
from pydantic import AnyHttpUrl

from sagakit import Participant, Service, ServiceSettings, service_program
from services.giftwrap.decide import UNWRAP, WRAP, Gift, decide, evolve
from services.giftwrap.gateway import HttpWrapper
from services.giftwrap.store import store


class GiftwrapSettings(ServiceSettings):
    """Adds `SAGA_WRAPPER_URL`, the URL of the wrapper."""

    wrapper_url: AnyHttpUrl


def participant() -> Participant[Gift]:
    """Return giftwrap's decisions and tables."""
    return Participant("giftwrap", decide, evolve, store())


def build(settings: GiftwrapSettings) -> Service[Gift]:
    """Wire the giftwrap service."""
    client = httpx2.AsyncClient()
    wrapper = HttpWrapper(client, str(settings.wrapper_url))
    perform = {WRAP: wrapper.wrap, UNWRAP: wrapper.unwrap}
    return Service(participant(), perform=perform, close=client.aclose)


PROGRAM = service_program(
    "giftwrap",
    build,
    GiftwrapSettings,
    migrations=Path(__file__).parent / "migrations",
)
