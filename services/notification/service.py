"""Composition root of notification. It holds no business rules."""

from pathlib import Path

from pydantic import Field

from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.service.definition import Service
from sagakit.service.http_settings import Host, Secret
from sagakit.service.program import service_program
from sagakit.service.settings import HttpUrl, ServiceSettings
from sagakit.store.ports import Participant
from services.notification.decide import MAIL, Mailing, decide, evolve
from services.notification.gateway import MailAccess, MailTls, SmtpMailer
from services.notification.store import store


class NotificationSettings(ServiceSettings):
    """Adds `SAGA_SMTP_*` (the mail server) and `SAGA_VAULT_URL` (it opens sealed texts)."""

    smtp_host: Host
    smtp_port: int = Field(ge=1, le=65535)
    smtp_tls: MailTls = MailTls.OFFERED
    smtp_ca_file: str | None = None
    smtp_user: str | None = None
    smtp_password: Secret | None = None
    vault_url: HttpUrl | None = None


def participant() -> Participant[Mailing]:
    """Return notification's decisions and tables."""
    return Participant("notification", decide, evolve, store())


def build(settings: NotificationSettings) -> Service[Mailing]:
    """Wire the notification service."""
    vault = KeyServiceClient(
        settings.vault_url, caller="notification", token=settings.token_to_send
    )
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
    access = MailAccess(
        settings.smtp_tls, settings.smtp_ca_file, settings.smtp_user or None, password
    )
    mailer = SmtpMailer(settings.smtp_host, settings.smtp_port, vault, access)

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
