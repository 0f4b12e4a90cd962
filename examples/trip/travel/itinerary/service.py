"""Composition root of itinerary. It holds no business rules."""

from pathlib import Path

from pydantic import AnyHttpUrl

from sagakit import HttpClient, Participant, Service, ServiceSettings, service_program
from travel.itinerary.api import routes
from travel.itinerary.decide import MAIL, Itinerary, decide, evolve
from travel.itinerary.gateway import MailService
from travel.itinerary.store import store
from travel.supplier import HttpSupplier


class ItinerarySettings(ServiceSettings):
    """Adds `SAGA_MAIL_URL`, the URL of the mail service."""

    mail_url: AnyHttpUrl


def participant() -> Participant[Itinerary]:
    """Return itinerary's decisions and tables."""
    return Participant("itinerary", decide, evolve, store())


def build(settings: ItinerarySettings) -> Service[Itinerary]:
    """Wire the itinerary service."""
    client = HttpClient(proxies=False)
    mail = MailService(HttpSupplier("mail", client, str(settings.mail_url)))
    return Service(
        participant(),
        perform={MAIL: mail.mail},
        routes=routes(settings.now),
        close=client.close,
    )


PROGRAM = service_program(
    "itinerary", build, ItinerarySettings, migrations=Path(__file__).parent / "migrations"
)
