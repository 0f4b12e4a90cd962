"""Connects notification to the mail server: the port, its SMTP adapter, its in-memory double.

Mails are sent at least once, but the customer sees one: the Message-ID is derived from saga and
kind, and mailbox providers merge mails with the same Message-ID.
"""

import hashlib
import re
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib

from sagakit.decider import Effect, Json
from sagakit.errors import EffectFailed
from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.privacy.sealed_text import KeyErased, is_sealed, redact
from services.notification.decide import (
    NO_ADDRESS,
    MailAccepted,
    MailKind,
    MailRefused,
    is_address,
)

TIMEOUT_S = 10.0
SENDER = "orders@saga.example"
MailAnswer = MailAccepted | MailRefused

TEMPLATES: Mapping[MailKind, tuple[str, str]] = {
    MailKind.CONFIRMED: (
        "Your order {order_id} is confirmed",
        "Thank you. Your order {order_id} is paid and packed; the carrier picks it up next.",
    ),
    MailKind.SHIPPED: (
        "Your order {order_id} is on its way",
        "The carrier has your order {order_id}. Tracking number: {tracking}",
    ),
    MailKind.CANCELLED: (
        "Your order {order_id} is cancelled",
        "Your order {order_id} is cancelled. Whatever was paid for it goes back to you.",
    ),
    MailKind.REFUNDED: (
        "Money back for your order {order_id}",
        "We have given back {amount} for your order {order_id}.",
    ),
}
"""Subject and text by kind; the effect's payload fills the names in braces."""


class Mailer(Protocol):
    """The port to a mail server."""

    async def mail(self, effect: Effect) -> MailAnswer:
        """Send the mail of `effect`; payload: `order_id`, `kind`, `to`, and the template's names.

        Raises EffectFailed unless the server accepted or finally refused the mail: send it again.
        """
        ...


class SmtpMailer:
    """Sends mails over SMTP, one connection per mail. `vault` opens sealed recipients."""

    def __init__(self, host: str, port: int, vault: KeyServiceClient) -> None:
        self._host, self._port, self._vault = host, port, vault

    async def mail(self, effect: Effect) -> MailAnswer:
        """See `Mailer`."""
        kind, address = MailKind(str(effect.payload["kind"])), str(effect.payload["to"])
        try:
            (to,) = await self._vault.open(address)
        except KeyErased as error:
            return MailRefused(kind, address, str(error))
        if not is_sealed(address):
            return await self._send(effect, kind, to)
        if not is_address(to):
            return MailRefused(kind, address, NO_ADDRESS)
        try:  # the server may quote the recipient: remove it from texts that are kept
            answer = await self._send(effect, kind, to)
        except EffectFailed as error:
            raise EffectFailed(redact(str(error), to)) from None
        if isinstance(answer, MailRefused):
            return MailRefused(kind, address, redact(answer.reason, to))
        return MailAccepted(kind, address)

    async def _send(self, effect: Effect, kind: MailKind, to: str) -> MailAnswer:
        try:
            await aiosmtplib.send(
                message({**effect.payload, "to": to}, effect.saga),
                sender=SENDER,
                recipients=[to],
                hostname=self._host,
                port=self._port,
                local_hostname="localhost",  # else the machine's name is looked up for each mail
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            if 500 <= refusal.code < 600:
                return MailRefused(kind, to, f"{refusal.code} {refusal.message}")
            raise _unknown(effect.idempotency_key, f"{refusal.code} {refusal.message}") from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _unknown(effect.idempotency_key, f"{type(error).__name__}: {error}") from error
        return MailAccepted(kind, to)


def message(payload: Mapping[str, Json], saga: str) -> EmailMessage:
    """Return the mail of a saga for a payload. Control characters never reach a header."""
    words = {name: _plain(str(value)) for name, value in payload.items()}
    subject, text = TEMPLATES[MailKind(words["kind"])]
    mail = EmailMessage()
    mail["From"] = SENDER
    mail["To"] = words["to"]
    mail["Subject"] = subject.format(**words)
    mail["Message-ID"] = message_id(words["kind"], saga)
    mail["X-Saga-Kind"] = words["kind"]
    mail["X-Saga-Reference"] = _plain(saga)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: prevents out-of-office replies
    mail.set_content(text.format(**words) + "\n")
    return mail


def message_id(kind: str, saga: str) -> str:
    """Return `<kind.saga-hash@saga>`: the same for every sending, valid for any saga key."""
    return f"<{kind}.{hashlib.sha256(saga.encode()).hexdigest()[:40]}@saga>"


def _plain(text: str) -> str:
    """Make a text safe for a header: no control characters, nothing that RFC 2047 would decode."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "?", text)
    return text.replace("=?", "= ?")


def _unknown(key: str, answer: str) -> EffectFailed:
    return EffectFailed(f"mail server, key {key}: {answer[:300]}; not sent for sure, sending again")


class MemoryMailer:
    """A mail server in memory, for tests. It merges by Message-ID and refuses `bounce+...`."""

    def __init__(self) -> None:
        self.mails: dict[str, EmailMessage] = {}

    async def mail(self, effect: Effect) -> MailAnswer:
        """See `Mailer`."""
        kind, to = MailKind(str(effect.payload["kind"])), str(effect.payload["to"])
        if to.startswith("bounce+"):
            return MailRefused(kind, to, f"550 5.1.1 <{to}> does not exist here")
        mail = message(effect.payload, effect.saga)
        self.mails.setdefault(str(mail["Message-ID"]), mail)
        return MailAccepted(kind, to)
