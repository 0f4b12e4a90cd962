"""The mailer's port: one suite for the double and for the adapter against the real mail server."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from saga_lab.devstack.ports import free_port
from sagakit.decider import Effect, Json
from sagakit.errors import EffectFailed
from sagakit.privacy.key_service_client import KeyServiceClient
from services.notification.decide import MailAccepted, MailKind, MailRefused, mail_key
from services.notification.gateway import MailAnswer, Mailer, MemoryMailer, SmtpMailer, message_id
from tests.outside_processes import NOWHERE, Server


@dataclass(frozen=True)
class MailServer:
    """A real mail server in a process of its own."""

    http: httpx2.Client
    smtp_port: int

    def mails(self, order_id: str) -> list[dict[str, Any]]:
        answer = self.http.get(
            "/v1/mails", params={"reference": f"order/{order_id}"}
        ).raise_for_status()
        data: list[dict[str, Any]] = answer.json()["data"]
        return data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    smtp_port = free_port()
    db = tmp_path_factory.mktemp("mail") / "db"
    running = Server("shop.outside.mail", db, NOWHERE, SANDBOX_SMTP_PORT=str(smtp_port))
    yield MailServer(running.http, smtp_port)
    running.close()


def mail(
    order_id: str, kind: MailKind = MailKind.SHIPPED, to: str = "ada@customer.example"
) -> Effect:
    payload: dict[str, Json] = {
        "order_id": order_id,
        "kind": kind.value,
        "to": to,
        "tracking": "TRK1",
        "amount": "25.00 EUR",
    }
    return Effect("mail", mail_key(kind), payload, f"order/{order_id}")


def send(it: Mailer, effect: Effect) -> MailAnswer:
    """Send one mail in an event loop of its own."""

    async def story() -> MailAnswer:
        try:
            return await it.mail(effect)
        finally:
            if isinstance(it, SmtpMailer):
                await it.close()

    return asyncio.run(story())


# --- one suite for both ---------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("kind_of_mailer", ["memory", "smtp"])


def smtp_mailer(port: int) -> SmtpMailer:
    """One that knows no vault: the recipients here are in clear."""
    return SmtpMailer("127.0.0.1", port, KeyServiceClient(None))


def mailer(kind: str, server: MailServer) -> Mailer:
    return MemoryMailer() if kind == "memory" else smtp_mailer(server.smtp_port)


@BOTH
@pytest.mark.parametrize("kind", MailKind)
def test_a_mail_is_accepted_as_often_as_it_is_sent(
    kind_of_mailer: str, kind: MailKind, server: MailServer
) -> None:
    it = mailer(kind_of_mailer, server)
    for _ in range(2):
        answer = send(it, mail("twice", kind))
        assert answer == MailAccepted(kind, "ada@customer.example")


@BOTH
def test_a_recipient_refused_for_good_is_an_answer(kind_of_mailer: str, server: MailServer) -> None:
    to = "bounce+ada@customer.example"
    answer = send(mailer(kind_of_mailer, server), mail("bounced", to=to))
    assert isinstance(answer, MailRefused)
    assert (answer.kind, answer.to) == (MailKind.SHIPPED, to)
    assert answer.reason.startswith("550 5.1.1")


# --- what the server has --------------------------------------------------------------------------


def test_a_mail_sent_twice_is_stored_once(server: MailServer) -> None:
    it = smtp_mailer(server.smtp_port)
    for _ in range(2):
        send(it, mail("folded"))
    (stored,) = server.mails("folded")
    assert stored["deliveries"] == 2
    assert stored["message_id"] == message_id("shipped", "order/folded")
    assert (stored["kind"], stored["to"]) == ("shipped", "ada@customer.example")
    assert stored["subject"] == "Your order folded is on its way"


@pytest.mark.parametrize(
    "order_id",
    [
        "with space",
        "two  spaces",
        "x" * 128,
        "word " * 25 + "end",
        "ünï/cödé 🦆",
        "🦆" * 128,
        "<a@b>",
        "a{tracking}b",
        "%s {0}",
        '"quoted"; x=1',
    ],
)
def test_odd_order_ids_arrive_as_they_are(order_id: str, server: MailServer) -> None:
    send(smtp_mailer(server.smtp_port), mail(order_id))
    (stored,) = server.mails(order_id)
    assert stored["message_id"] == message_id("shipped", f"order/{order_id}")


def test_an_order_id_is_not_read_as_an_encoded_word(server: MailServer) -> None:
    send(smtp_mailer(server.smtp_port), mail("=?utf-8?q?a=0D=0AX:_b?="))
    (stored,) = server.mails("= ?utf-8?q?a=0D=0AX:_b?=")
    assert stored["message_id"] == message_id("shipped", "order/=?utf-8?q?a=0D=0AX:_b?=")


def test_addresses_of_any_script_arrive(server: MailServer) -> None:
    to = "jürgen@müller.example"
    answer = send(smtp_mailer(server.smtp_port), mail("utf8", to=to))
    assert answer == MailAccepted(MailKind.SHIPPED, to)
    assert [m["to"] for m in server.mails("utf8")] == [to]


def test_control_characters_stay_out_of_the_headers(server: MailServer) -> None:
    send(smtp_mailer(server.smtp_port), mail("a\r\nX-Saga-Reference: b"))
    assert server.mails("b") == []
    (stored,) = server.mails("a??X-Saga-Reference: b")
    assert stored["deliveries"] == 1


# --- what is no answer ----------------------------------------------------------------------------


def test_a_temporary_refusal_fails_the_effect_and_a_later_attempt_succeeds(
    server: MailServer,
) -> None:
    it = smtp_mailer(server.smtp_port)
    put_off = mail("greylisted", to="greylist2+ada@customer.example")
    for _ in range(2):
        with pytest.raises(EffectFailed, match=r"451.*sending again"):
            send(it, put_off)
    assert isinstance(send(it, put_off), MailAccepted)


def test_an_outage_of_the_mail_server_fails_the_effect(server: MailServer) -> None:
    it = smtp_mailer(server.smtp_port)
    server.http.post("/control/outage", json={"seconds": 60}).raise_for_status()
    try:
        with pytest.raises(EffectFailed, match="451"):
            send(it, mail("outage", to="bounce+ada@customer.example"))
    finally:
        server.http.post("/control/outage", json={"seconds": 0}).raise_for_status()
    assert isinstance(send(it, mail("outage")), MailAccepted)


def test_a_mail_server_that_cannot_be_reached_fails_the_effect() -> None:
    with pytest.raises(EffectFailed, match="SMTPConnectError"):
        send(smtp_mailer(9), mail("nobody"))


def test_a_server_that_speaks_no_smtp_fails_the_effect() -> None:
    async def story() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 what?\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as other:
            port = other.sockets[0].getsockname()[1]
            with pytest.raises(EffectFailed):
                await smtp_mailer(port).mail(mail("other"))

    asyncio.run(story())
