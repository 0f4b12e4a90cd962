"""The worst that a mail server answers: final refusals, hostile words, TLS and logins."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sagakit.decider import Effect, Json
from sagakit.errors import ConfigurationError, EffectFailed
from sagakit.privacy.key_service_client import KeyServiceClient
from services.notification.decide import MailAccepted, MailKind, MailRefused
from services.notification.gateway import (
    MAX_CONNECTIONS,
    NO_UTF8,
    MailAccess,
    MailTls,
    SmtpMailer,
)

TO = "ada@customer.example"
GOOD: Mapping[str, bytes] = {
    "connect": b"220 mail.test",
    "EHLO": b"250-mail.test\r\n250-SIZE\r\n250-SMTPUTF8\r\n250 8BITMIME",
    "MAIL": b"250 ok",
    "RCPT": b"250 ok",
    "DATA": b"354 go on",
    "end": b"250 stored",
    "RSET": b"250 ok",
}


@dataclass
class MailServer:
    """Answers each command as told; notes the commands."""

    answers: Mapping[str, bytes] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    sessions: list[tuple[Any, asyncio.StreamWriter]] = field(default_factory=list)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.sessions.append((asyncio.current_task(), writer))
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.say(writer, "connect")
            while line := await reader.readline():
                command = line.split()[0].decode().upper()
                self.commands.append(command)
                await self.say(writer, command)
                if command == "DATA" and self.answer("DATA").startswith(b"354"):
                    await reader.readuntil(b"\r\n.\r\n")
                    await self.say(writer, "end")
        writer.close()

    def answer(self, command: str) -> bytes:
        return self.answers.get(command, GOOD.get(command, b"250 ok"))

    async def close(self) -> None:
        for task, writer in self.sessions:
            writer.close()
            await task
        self.sessions.clear()

    async def say(self, writer: asyncio.StreamWriter, command: str) -> None:
        writer.write(self.answer(command) + b"\r\n")
        await writer.drain()


@asynccontextmanager
async def serving(
    server: MailServer, access: MailAccess | None = None
) -> AsyncIterator[SmtpMailer]:
    async with await asyncio.start_server(server.take, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        mailer = SmtpMailer("127.0.0.1", port, KeyServiceClient(None), access)
        try:
            yield mailer
        finally:
            await mailer.close()
            await server.close()


def mail(to: str = TO, order_id: str = "o1") -> Effect:
    payload: dict[str, Json] = {"order_id": order_id, "kind": MailKind.CONFIRMED.value, "to": to}
    return Effect("mail", "mail:confirmed", payload, f"order/{order_id}")


Story = Callable[[SmtpMailer], Coroutine[Any, Any, None]]


def play(server: MailServer, story: Story, access: MailAccess | None = None) -> None:
    async def run() -> None:
        async with serving(server, access) as mailer:
            await story(mailer)

    asyncio.run(run())


# --- final refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer", "reason"),
    [
        ("end", b"554 5.7.1 spam", "554 5.7.1: the mail server refuses the mail"),
        ("DATA", b"554 no", "554: the mail server refuses the mail"),
        ("end", b"552 5.3.4 too big", "552 5.3.4: the mail server refuses the mail"),
        ("MAIL", b"550 5.7.1 no", "550 5.7.1: the mail server refuses the sender"),
        ("MAIL", b"552 5.3.4 size", "552 5.3.4: the mail server refuses the sender"),
        ("RCPT", b"550 5.1.1 nobody", "550 5.1.1: the mail server refuses the recipient"),
    ],
)
def test_a_final_refusal_is_a_result_and_holds_no_connection(
    command: str, answer: bytes, reason: str
) -> None:
    """Given more refused mails than connections, when another mail follows, then it is sent."""
    server = MailServer({command: answer})

    async def story(mailer: SmtpMailer) -> None:
        mails = [mail(order_id=f"o{n}") for n in range(3 * MAX_CONNECTIONS)]
        for result in await asyncio.gather(*(mailer.mail(one) for one in mails)):
            assert result == MailRefused(MailKind.CONFIRMED, TO, reason)
        assert server.connections <= MAX_CONNECTIONS
        server.answers = {}
        assert await mailer.mail(mail()) == MailAccepted(MailKind.CONFIRMED, TO)

    play(server, story)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"end": b"451 4.3.2 later"}, "SMTPDataError: 451 4.3.2"),
        ({"RCPT": b"450 4.2.0 later"}, "450 4.2.0"),
        ({"MAIL": b"421 4.3.2 bye"}, "421 4.3.2"),
        ({"MAIL": b"503 5.5.1 what"}, "503 5.5.1"),
        ({"connect": b"554 5.7.1 not you"}, "554"),
        ({"EHLO": b"502 no", "HELO": b"502 no"}, "502"),
        ({"MAIL": b"530 5.7.0 log in"}, "530 5.7.0: the mail server wants a login"),
        ({"RCPT": b"what?"}, "not sent for sure"),
    ],
)
def test_what_is_not_about_the_mail_or_passes_is_tried_again(
    answers: Mapping[str, bytes], why: str
) -> None:
    async def story(mailer: SmtpMailer) -> None:
        with pytest.raises(EffectFailed, match=f"{why}.*sending again"):
            await mailer.mail(mail())

    play(MailServer(answers), story)


def test_an_address_that_the_server_cannot_take_is_refused_for_good() -> None:
    to = "jürgen@müller.example"

    async def story(mailer: SmtpMailer) -> None:
        assert await mailer.mail(mail(to)) == MailRefused(MailKind.CONFIRMED, to, NO_UTF8)
        assert await mailer.mail(mail()) == MailAccepted(MailKind.CONFIRMED, TO)

    play(MailServer({"EHLO": b"250 mail.test"}), story)


# --- hostile words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "550 5.1.1 ada@customer.example ist unzustellbar: M\xfcnster".encode("latin-1"),
        b"550 5.1.1 \xed\xa0\x80 ADA@customer.example",
        b"550-5.1.1 ada@\r\n550 customer.example",
        b"550 5.1.1 ada@customer.example" + b"\x1b]52;c;AA\x07" * 100,
    ],
    ids=["latin-1", "surrogate", "line break", "terminal"],
)
@pytest.mark.parametrize("passing", [False, True])
def test_words_of_the_server_are_not_kept(words: bytes, passing: bool) -> None:
    """Given a server that quotes the recipient in any form, then only its codes are kept."""
    sent = words.replace(b"550", b"450").replace(b"5.1.1", b"4.1.1") if passing else words

    async def story(mailer: SmtpMailer) -> None:
        if passing:
            with pytest.raises(EffectFailed) as error:
                await mailer.mail(mail())
            text = str(error.value)
            assert "450 4.1.1;" in text
        else:
            answer = await mailer.mail(mail())
            assert isinstance(answer, MailRefused)
            text = answer.reason
            assert text == "550 5.1.1: the mail server refuses the recipient"
        text.encode()
        assert "ada" not in text.lower()

    play(MailServer({"RCPT": sent}), story)


def test_an_endless_answer_is_none() -> None:
    async def story(mailer: SmtpMailer) -> None:
        with pytest.raises(EffectFailed) as error:
            await mailer.mail(mail())
        assert len(str(error.value)) < 300

    play(MailServer({"RCPT": b"\r\n".join([b"250-" + b"x" * 1000] * 600)}), story)


# --- TLS and logins -------------------------------------------------------------------------------


@pytest.fixture
def own_authority(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context with a self-signed certificate, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "certificate.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = tmp_path / "key.pem"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, secret)
    return context, str(pem)


class Guarded:
    """A mail server with a certificate and one user; `logins` are those it let in."""

    def __init__(self, context: ssl.SSLContext, *, implicit: bool = False) -> None:
        self.context, self.implicit = context, implicit
        self.mails, self.logins = list[bool](), list[bytes]()

    def session(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.test",
            tls_context=None if self.implicit else self.context,
            authenticator=self.let_in,
            auth_require_tls=not self.implicit,
        )

    def let_in(self, server: Any, session: Session, *rest: Any) -> AuthResult:
        login = rest[-1]
        self.logins.append(login.login)
        return AuthResult(success=login.password == b"secret word", handled=False)

    async def handle_DATA(self, _server: SMTP, session: Session, _envelope: Envelope) -> str:
        self.mails.append(session.ssl is not None)
        return "250 ok"

    @asynccontextmanager
    async def reached_by(self, access: MailAccess) -> AsyncIterator[SmtpMailer]:
        loop = asyncio.get_running_loop()
        ssl_context = self.context if self.implicit else None
        listening = await loop.create_server(self.session, "127.0.0.1", 0, ssl=ssl_context)
        port = listening.sockets[0].getsockname()[1]
        mailer = SmtpMailer("127.0.0.1", port, KeyServiceClient(None), access)
        try:
            yield mailer
        finally:
            await mailer.close()
            listening.close()


@pytest.mark.parametrize("tls", [MailTls.OFFERED, MailTls.STARTTLS, MailTls.TLS])
def test_a_certificate_of_an_own_authority_is_trusted_if_it_is_named(
    own_authority: tuple[ssl.SSLContext, str], tls: MailTls
) -> None:
    context, ca_file = own_authority

    async def run() -> None:
        server = Guarded(context, implicit=tls is MailTls.TLS)
        # Given a certificate that nobody vouches for, then the error says what to set
        async with server.reached_by(MailAccess(tls)) as mailer:
            with pytest.raises(EffectFailed, match=r"not trusted.*self.signed.*SAGA_SMTP_CA_FILE"):
                await mailer.mail(mail())
        # Given its authority, then mails are sent, and encrypted
        async with server.reached_by(MailAccess(tls, ca_file)) as mailer:
            assert isinstance(await mailer.mail(mail()), MailAccepted)
        assert server.mails == [tls is not MailTls.TLS]

    asyncio.run(run())


def test_a_server_that_wants_a_login_gets_it_over_tls(
    own_authority: tuple[ssl.SSLContext, str],
) -> None:
    context, ca_file = own_authority

    async def run() -> None:
        server = Guarded(context)
        access = MailAccess(MailTls.STARTTLS, ca_file, "shop", "secret word")
        async with server.reached_by(access) as mailer:
            assert isinstance(await mailer.mail(mail()), MailAccepted)
        assert (server.logins, server.mails) == ([b"shop"], [True])
        # Given a wrong password, then the error says which settings to check, and holds no secret
        async with server.reached_by(replace(access, password="wrong word")) as mailer:
            with pytest.raises(EffectFailed, match=r"535 5.7.8: .* check SAGA_SMTP_USER") as error:
                await mailer.mail(mail())
            assert "wrong word" not in str(error.value)

    asyncio.run(run())


def test_tls_that_is_asked_for_is_never_left_out() -> None:
    """Given a server, or somebody in between, that offers no STARTTLS, then no mail is sent."""
    server = MailServer({"EHLO": b"250 mail.test"})

    async def story(mailer: SmtpMailer) -> None:
        with pytest.raises(EffectFailed):
            await mailer.mail(mail())
        assert "MAIL" not in server.commands

    play(server, story, MailAccess(MailTls.STARTTLS))


@pytest.mark.parametrize(
    ("how", "remedy"),
    [
        ({"user": "shop"}, "SAGA_SMTP_PASSWORD"),
        ({"password": "x"}, "SAGA_SMTP_USER"),
        ({"user": "shop", "password": "x"}, "SAGA_SMTP_TLS"),
        ({"user": "shop", "password": "x", "tls": MailTls.OFF}, "SAGA_SMTP_TLS"),
        ({"ca_file": "/nowhere.pem"}, "SAGA_SMTP_CA_FILE"),
        ({"ca_file": __file__}, "SAGA_SMTP_CA_FILE"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_start(how: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        SmtpMailer("127.0.0.1", 25, KeyServiceClient(None), MailAccess(**how))
