"""Connects notification to the mail server: the port, its SMTP adapter, its in-memory double.

Mails are sent at least once, but the customer sees one: the Message-ID is derived from saga and
kind, and mailbox providers merge mails with the same Message-ID.
"""

import asyncio
import hashlib
import re
import time
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
MAX_CONNECTIONS = 20
KEPT_S = 20.0
"""How long an idle connection is used again; a server may have closed it after that."""
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

_PLAIN_HEADER = re.compile(r"[!-9;-~]+: [!-~]+( [!-~]+)*")
_PLAIN_BODY = re.compile(r"[ -~]{1,900}")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
MAX_LINE = 78


class Mailer(Protocol):
    """The port to a mail server."""

    async def mail(self, effect: Effect) -> MailAnswer:
        """Send the mail of `effect`; payload: `order_id`, `kind`, `to`, and the template's names.

        Raises EffectFailed unless the server accepted or finally refused the mail: send it again.
        """
        ...


class SmtpMailer:
    """Sends mails over SMTP. Connections are kept, and one carries one mail at a time.

    `vault` opens sealed recipients. Use it in one event loop.
    """

    def __init__(self, host: str, port: int, vault: KeyServiceClient) -> None:
        self._host, self._port, self._vault = host, port, vault
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[tuple[float, aiosmtplib.SMTP]] = []

    async def mail(self, effect: Effect) -> MailAnswer:
        """See `Mailer`."""
        kind, address = MailKind(str(effect.payload["kind"])), str(effect.payload["to"])
        try:
            (to,) = await self._vault.open(address)
        except KeyErased as error:
            return MailRefused(kind, address, str(error))
        if not is_sealed(address):
            return await self._answer(effect, kind, to)
        if not is_address(to):
            return MailRefused(kind, address, NO_ADDRESS)
        # the server may quote the recipient: remove it from texts that are kept
        answer = await self._answer(effect, kind, to, secret=to)
        if isinstance(answer, MailRefused):
            return MailRefused(kind, address, answer.reason)
        return MailAccepted(kind, address)

    async def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _answer(
        self, effect: Effect, kind: MailKind, to: str, secret: str = ""
    ) -> MailAnswer:
        """Send the mail. Answers and errors do not show `secret`."""
        try:
            async with self._free:
                await self._send({**effect.payload, "to": to}, effect.saga, to)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            reason = redact(f"{refusal.code} {refusal.message}", secret)
            if 500 <= refusal.code < 600:
                return MailRefused(kind, to, reason)
            raise _unknown(effect.idempotency_key, reason) from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            reason = redact(f"{type(error).__name__}: {error}", secret)
            raise _unknown(effect.idempotency_key, reason) from error
        return MailAccepted(kind, to)

    async def _send(self, payload: Mapping[str, Json], saga: str, to: str) -> None:
        server = await self._connection()
        try:
            if plain := plain_message(payload, saga):
                await server.sendmail(SENDER, [to], plain)
            else:
                await server.send_message(message(payload, saga), sender=SENDER, recipients=[to])
        except aiosmtplib.SMTPRecipientsRefused:
            self._keep(server)  # an answer to this mail: the connection is as good as before
            raise
        except BaseException:
            server.close()
            raise
        self._keep(server)

    async def _connection(self) -> aiosmtplib.SMTP:
        """Return the connection used last, if the server still has it, or a new one."""
        while self._idle:
            since, server = self._idle.pop()
            if server.is_connected and time.monotonic() - since < KEPT_S:
                return server
            server.close()
        server = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname="localhost",  # else the machine's name is looked up for each connection
            timeout=TIMEOUT_S,
        )
        await server.connect()
        return server

    def _keep(self, server: aiosmtplib.SMTP) -> None:
        self._idle.append((time.monotonic(), server))


def plain_message(payload: Mapping[str, Json], saga: str) -> bytes | None:
    """Return the mail of `message`, written without the email package, which takes 1 ms for it.

    None if it is not plain: a text beyond ASCII, or a header longer than a line.
    """
    words = _words(payload)
    subject, text = TEMPLATES[MailKind(words["kind"])]
    headers = {
        "From": SENDER,
        "To": words["to"],
        "Subject": subject.format(**words),
        **_own_headers(words, saga),
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
        "MIME-Version": "1.0",
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    body = text.format(**words)
    short = all(len(line) <= MAX_LINE and _PLAIN_HEADER.fullmatch(line) for line in lines)
    if not (short and _PLAIN_BODY.fullmatch(body) and _PLAIN_ADDRESS.fullmatch(words["to"])):
        return None
    return "\r\n".join([*lines, "", body, ""]).encode()


def message(payload: Mapping[str, Json], saga: str) -> EmailMessage:
    """Return the mail of a saga for a payload. Control characters never reach a header."""
    words = _words(payload)
    subject, text = TEMPLATES[MailKind(words["kind"])]
    mail = EmailMessage()
    mail["From"] = SENDER
    mail["To"] = words["to"]
    mail["Subject"] = subject.format(**words)
    for name, value in _own_headers(words, saga).items():
        mail[name] = value
    mail.set_content(text.format(**words) + "\n")
    return mail


def _words(payload: Mapping[str, Json]) -> dict[str, str]:
    return {name: _plain(str(value)) for name, value in payload.items()}


def _own_headers(words: Mapping[str, str], saga: str) -> dict[str, str]:
    return {
        "Message-ID": message_id(words["kind"], saga),
        "X-Saga-Kind": words["kind"],
        "X-Saga-Reference": _plain(saga),
        "Auto-Submitted": "auto-generated",  # RFC 3834: prevents out-of-office replies
    }


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
