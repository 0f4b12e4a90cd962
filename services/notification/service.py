"""Composition root of notification. It holds no business rules."""

from pathlib import Path

from pydantic import Field

from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.service.definition import Service
from sagakit.service.program import service_program
from sagakit.service.settings import Host, HttpUrl, ServiceSettings
from sagakit.store.ports import Participant
from services.notification.decide import MAIL, Mailing, decide, evolve
from services.notification.gateway import SmtpMailer
from services.notification.store import store


class NotificationSettings(ServiceSettings):
    """Adds `SAGA_SMTP_HOST` and `SAGA_SMTP_PORT` (the mail server) and `SAGA_VAULT_URL` (the order
    service, which opens sealed texts)."""

    smtp_host: Host
    smtp_port: int = Field(ge=1, le=65535)
    vault_url: HttpUrl | None = None


def participant() -> Participant[Mailing]:
    """Return notification's decisions and tables."""
    return Participant("notification", decide, evolve, store())


def build(settings: NotificationSettings) -> Service[Mailing]:
    """Wire the notification service."""
    vault = KeyServiceClient(settings.vault_url, caller="notification")
    mailer = SmtpMailer(settings.smtp_host, settings.smtp_port, vault)

    async def close() -> None:
        await mailer.close()
        await vault.close()

    return Service(participant(), perform={MAIL: mailer.mail}, close=close)


PROGRAM = service_program(
    "notification",
    build,
    NotificationSettings,
    migrations=Path(__file__).parent / "migrations",
)
