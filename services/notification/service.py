"""Composition root of notification. Nothing is decided here."""

from pydantic import Field

from sagakit.ports import Participant
from sagakit.service import Service
from sagakit.settings import ServiceSettings
from services.notification.decide import MAIL, Mailing, decide, evolve
from services.notification.gateway import SmtpMailer
from services.notification.store import store


class NotificationSettings(ServiceSettings):
    """`SAGA_SMTP_HOST`, `SAGA_SMTP_PORT`: the mail server."""

    smtp_host: str
    smtp_port: int = Field(ge=1, le=65535)


def participant() -> Participant[Mailing]:
    """Notification's decisions and tables."""
    return Participant("notification", decide, evolve, store())


def build(settings: NotificationSettings) -> Service[Mailing]:
    """Notification, wired."""
    mailer = SmtpMailer(settings.smtp_host, settings.smtp_port)
    return Service(participant(), perform={MAIL: mailer.mail})
