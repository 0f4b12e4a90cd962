"""Connects notification to the mail server: the port, its SMTP adapter, its in-memory double.

Mails are sent at least once, but the customer sees one: the Message-ID is derived from saga and
kind, and mailbox providers merge mails with the same Message-ID.

A refusal with 5xx, of the sender, the recipient or the content, is final, and so is an address that
the server cannot take. One that is about the connection (login, TLS, unknown command) is not, since
another setting changes it. Words of the server are not kept, as they may quote the recipient: its
code, and the enhanced code of RFC 3463, say enough.
"""

import asyncio
import hashlib
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from enum import StrEnum
from typing import Protocol, TypeVar

import aiosmtplib

from sagakit.decider import Effect, Json
from sagakit.errors import ConfigurationError, EffectFailed
from sagakit.failures import Failure, of_smtp
from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.privacy.sealed_text import KeyErased, is_sealed
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
E = TypeVar("E", bound=BaseException)
SENDER = "orders@saga.example"
NO_UTF8 = "the mail server takes no address beyond ASCII (it has no SMTPUTF8)"
MailAnswer = MailAccepted | MailRefused


class MailTls(StrEnum):
    """How connections are encrypted. OFFERED: if the server offers it, as STARTTLS."""

    OFFERED = "offered"
    STARTTLS = "starttls"
    TLS = "tls"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class MailAccess:
    """Says how a mail server is entered; `ca_file` holds the certificates that are trusted."""

    tls: MailTls = MailTls.OFFERED
    ca_file: str | None = None
    user: str | None = None
    password: str | None = None

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password is None):
            raise ConfigurationError(
                "a mail server's login has two parts; set SAGA_SMTP_USER and SAGA_SMTP_PASSWORD"
            )
        if self.user is not None and self.tls not in (MailTls.STARTTLS, MailTls.TLS):
            raise ConfigurationError(
                f"SAGA_SMTP_TLS is {self.tls}, so the password might be sent in clear; set it to "
                "starttls or tls"
            )

    def context(self) -> ssl.SSLContext | None:
        """Return whom to trust, None for the system's authorities. Raises ConfigurationError."""
        if self.ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"SAGA_SMTP_CA_FILE {self.ca_file!r} cannot be used ({error}); name a file of "
                "certificates in PEM form"
            ) from error


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
    MailKind.CORRECTED: (
        "The money for your order {order_id} did not arrive",
        "The {amount} for your order {order_id} did not arrive and came back to us. We are looking "
        "into it and will return it in another way.",
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

    def __init__(
        self, host: str, port: int, vault: KeyServiceClient, access: MailAccess | None = None
    ) -> None:
        self._host, self._port, self._vault = host, port, vault
        self._access = access or MailAccess()
        self._trusted = self._access.context()
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
        answer = await self._answer(effect, kind, to)
        if isinstance(answer, MailRefused):
            return MailRefused(kind, address, answer.reason)
        return MailAccepted(kind, address)

    async def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _answer(self, effect: Effect, kind: MailKind, to: str) -> MailAnswer:
        """Send the mail. Answers and errors show no words of the server."""
        try:
            async with self._free:
                await self._send({**effect.payload, "to": to}, effect.saga, to)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            if reason := final_refusal(error):
                return MailRefused(kind, to, reason)
            raise _unknown(effect.idempotency_key, failure(error)) from error
        return MailAccepted(kind, to)

    async def _send(self, payload: Mapping[str, Json], saga: str, to: str) -> None:
        server = await self._connection()
        try:
            if plain := plain_message(payload, saga):
                await server.sendmail(SENDER, [to], plain)
            else:
                await server.send_message(message(payload, saga), sender=SENDER, recipients=[to])
        except BaseException as error:
            if final_refusal(error) and server.is_connected:
                self._keep(server)  # an answer to this mail: the connection is as good as before
            else:
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
            use_tls=self._access.tls is MailTls.TLS,
            start_tls=START_TLS[self._access.tls],
            tls_context=self._trusted,
            username=self._access.user,
            password=self._access.password,
        )
        await server.connect()
        return server

    def _keep(self, server: aiosmtplib.SMTP) -> None:
        self._idle.append((time.monotonic(), server))


START_TLS: Mapping[MailTls, bool | None] = {
    MailTls.OFFERED: None,
    MailTls.STARTTLS: True,
    MailTls.TLS: False,
    MailTls.OFF: False,
}


def final_refusal(error: BaseException) -> str | None:
    """Return why a mail is refused for good, None if sending it again may succeed."""
    refusal: aiosmtplib.SMTPResponseException
    match error:
        case aiosmtplib.SMTPNotSupported() if "SMTPUTF8" in str(error):
            return NO_UTF8
        case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
            refusal, what = first, "recipient"
        case aiosmtplib.SMTPSenderRefused():
            refusal, what = error, "sender"
        case aiosmtplib.SMTPDataError():
            refusal, what = error, "mail"
        case _:
            return None
    if of_smtp(refusal.code) is Failure.RECORD:
        return f"{codes(refusal.code, refusal.message)}: the mail server refuses the {what}"
    return None


def failure(error: BaseException) -> str:
    """Return why a mail was not sent, without words of the server."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[refusal, *_]):
            return codes(refusal.code, refusal.message)
        case aiosmtplib.SMTPAuthenticationError(code=code, message=message):
            return (
                f"{codes(code, message)}: the mail server refuses the login; check SAGA_SMTP_USER "
                "and SAGA_SMTP_PASSWORD"
            )
        case aiosmtplib.SMTPResponseException(code=530, message=message):
            return (
                f"{codes(530, message)}: the mail server wants a login or encryption; set "
                "SAGA_SMTP_USER, SAGA_SMTP_PASSWORD and SAGA_SMTP_TLS"
            )
        case aiosmtplib.SMTPResponseException(code=code, message=message):
            return f"{type(error).__name__}: {codes(code, message)}"
    if refused := _in_chain(error, ssl.SSLCertVerificationError):
        return (
            f"the mail server's certificate is not trusted: {refused.verify_message}; set "
            "SAGA_SMTP_CA_FILE to the certificate of its authority"
        )
    return type(error).__name__


def codes(code: int, message: str) -> str:
    """Return the code of an answer and, if it begins with one, its enhanced code (RFC 3463)."""
    found = re.match(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b", message)
    return f"{code} {found[0]}" if found else str(code)


def _in_chain(error: BaseException | None, kind: type[E]) -> E | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


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
    return EffectFailed(f"mail server, key {key}: {answer}; not sent for sure, sending again")


class MemoryMailer:
    """A mail server in memory, for tests. It merges by Message-ID and refuses `bounce+...`."""

    def __init__(self) -> None:
        self.mails: dict[str, EmailMessage] = {}

    async def mail(self, effect: Effect) -> MailAnswer:
        """See `Mailer`."""
        kind, to = MailKind(str(effect.payload["kind"])), str(effect.payload["to"])
        if to.startswith("bounce+"):
            return MailRefused(kind, to, "550 5.1.1: the mail server refuses the recipient")
        mail = message(effect.payload, effect.saga)
        self.mails.setdefault(str(mail["Message-ID"]), mail)
        return MailAccepted(kind, to)
