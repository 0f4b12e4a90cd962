"""The mailer's connections to a mail server, and the mails that it writes by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import SMTP as POLICY
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from sagakit.decider import Effect, Json
from sagakit.errors import EffectFailed
from sagakit.privacy.key_service_client import KeyServiceClient
from services.notification import gateway
from services.notification.decide import MailAccepted, MailKind, MailRefused, mail_key
from services.notification.gateway import MAX_CONNECTIONS, SmtpMailer, message, plain_message

TO = "ada@customer.example"


def dropped(session: SMTP) -> asyncio.Transport:
    """Return the transport of a session, to drop its connection."""
    assert isinstance(session.transport, asyncio.Transport)
    return session.transport


class MailServer:
    """Takes mails, except to `bounce@` (refused) and `hang-up@` (the connection is dropped)."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.sessions: list[SMTP] = []

    def session(self) -> SMTP:
        self.sessions.append(SMTP(self, hostname="mail.test", enable_SMTPUTF8=True))
        return self.sessions[-1]

    async def handle_RCPT(
        self, server: SMTP, _: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("hang-up@"):
            dropped(server).abort()
        if address.startswith("bounce@"):
            return "550 5.1.1 nobody"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self.mails += envelope.rcpt_tos
        return "250 ok"


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[MailServer, SmtpMailer]]:
    server = MailServer()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server.session, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    mailer = SmtpMailer("127.0.0.1", port, KeyServiceClient(None))
    try:
        yield server, mailer
    finally:
        await mailer.close()
        listening.close()


def mail(to: str = TO, order_id: str = "o1") -> Effect:
    payload: dict[str, Json] = {"order_id": order_id, "kind": MailKind.CONFIRMED.value, "to": to}
    return Effect("mail", mail_key(MailKind.CONFIRMED), payload, f"order/{order_id}")


def test_one_connection_carries_many_mails() -> None:
    async def story() -> None:
        async with serving() as (server, mailer):
            for _ in range(5):
                assert isinstance(await mailer.mail(mail()), MailAccepted)
            assert (len(server.mails), len(server.sessions)) == (5, 1)

    asyncio.run(story())


def test_many_mails_at_once_share_a_bounded_number_of_connections() -> None:
    async def story() -> None:
        async with serving() as (server, mailer):
            mails = [mail(f"a{n}@customer.example") for n in range(5 * MAX_CONNECTIONS)]
            await asyncio.gather(*(mailer.mail(one) for one in mails))
            assert sorted(server.mails) == sorted(str(one.payload["to"]) for one in mails)
            assert len(server.sessions) == MAX_CONNECTIONS

    asyncio.run(story())


def test_a_refused_recipient_costs_no_connection_and_a_broken_one_is_not_used_again() -> None:
    async def story() -> None:
        async with serving() as (server, mailer):
            # Given a refusal, when the next mail follows, then it uses the same connection
            assert isinstance(await mailer.mail(mail("bounce@customer.example")), MailRefused)
            assert isinstance(await mailer.mail(mail()), MailAccepted)
            assert len(server.sessions) == 1
            # Given a connection that broke, when the next mail follows, then it gets a new one
            with pytest.raises(EffectFailed, match="sending again"):
                await mailer.mail(mail("hang-up@customer.example"))
            assert isinstance(await mailer.mail(mail()), MailAccepted)
            assert len(server.sessions) == 2

    asyncio.run(story())


def test_a_connection_that_ended_while_idle_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with serving() as (server, mailer):
            await mailer.mail(mail())
            # Given a server that ends an idle connection, when a mail follows, then it is sent
            dropped(server.sessions[0]).close()
            while mailer._idle[0][1].is_connected:
                await asyncio.sleep(0.001)
            assert isinstance(await mailer.mail(mail()), MailAccepted)
            # Given one that was idle for long, then it is not tried
            monkeypatch.setattr(gateway, "KEPT_S", 0.0)
            assert isinstance(await mailer.mail(mail()), MailAccepted)
            assert len(server.sessions) == 3

    asyncio.run(story())


# --- the mails ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MailKind)
def test_a_plain_mail_says_what_the_email_package_says(kind: MailKind) -> None:
    payload: dict[str, Json] = {
        "order_id": "2026-0001",
        "kind": kind.value,
        "to": TO,
        "tracking": "TRK1",
        "amount": "25.00 EUR",
    }
    plain = plain_message(payload, "order/2026-0001")
    assert plain is not None
    assert _read(plain) == _read(message(payload, "order/2026-0001").as_bytes(policy=POLICY))


@pytest.mark.parametrize(
    ("to", "order_id"),
    [
        ("jürgen@müller.example", "o1"),
        ('"a b"@customer.example', "o1"),
        (TO, "ünï"),
        (TO, "two  spaces"),
        (TO, "x" * 128),
        (TO, " begins with a space"),
    ],
)
def test_what_is_not_plain_is_left_to_the_email_package(to: str, order_id: str) -> None:
    effect = mail(to, order_id)
    assert plain_message(effect.payload, effect.saga) is None


def test_no_line_of_a_plain_mail_comes_from_its_payload() -> None:
    effect = mail(TO, "a\r\nBcc: eve@customer.example\n.\n")
    plain = plain_message(effect.payload, effect.saga)
    assert plain is not None
    assert (
        _read(plain)[0].keys() == _read(plain_message(mail().payload, "order/o1") or b"")[0].keys()
    )
    assert b"\n." not in plain


def _read(raw: bytes) -> tuple[dict[str, str], str]:
    """Return the headers of a mail, but how its text is encoded, and the text."""
    read: Any = message_from_bytes(raw, policy=POLICY)
    headers = {k: v for k, v in read.items() if k.lower() != "content-transfer-encoding"}
    return headers, read.get_content().replace("\r\n", "\n")
