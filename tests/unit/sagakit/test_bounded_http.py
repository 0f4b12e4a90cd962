"""The HTTP client against real sockets: bounded in every direction, its connections kept."""

import asyncio
import os
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sagakit.bounded_http import HttpClient, NoAnswer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MANY = 1000
ENDLESS = b"x" * 65_536


class Server:
    """Answers each request with the same bytes; `connections` and `heads` are what it saw."""

    def __init__(self, *answer: bytes) -> None:
        self._answer = answer
        self.connections, self.heads = 0, list[bytes]()
        self.all_here = asyncio.Event()
        self.wanted = 1
        self._writers: list[asyncio.StreamWriter] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                if len(self.heads) >= self.wanted:
                    self.all_here.set()
                await self.all_here.wait()
                for piece in self._answer:
                    writer.write(piece)
                    await writer.drain()
        writer.close()

    async def close(self) -> None:
        """End the connections."""
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(*answer: bytes) -> AsyncIterator[tuple[Server, str]]:
    server = Server(*answer)
    async with await asyncio.start_server(server.take, "127.0.0.1", 0, backlog=MANY) as listening:
        try:
            yield server, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        finally:
            await server.close()


def play(story: Callable[[HttpClient], Coroutine[None, None, None]], proxies: bool = False) -> None:
    async def run() -> None:
        client = HttpClient(proxies=proxies)
        try:
            await story(client)
        finally:
            await client.close()

    asyncio.run(run())


async def ask(client: HttpClient, url: str) -> bytes:
    answer = await client.answer("GET", url, most_bytes=1000, timeout_s=20)
    return answer.body


def test_one_connection_carries_many_requests() -> None:
    """Given an answered request, when others follow, then they use its connection."""

    async def story(client: HttpClient) -> None:
        async with serving(OK) as (server, url):
            assert [await ask(client, url) for _ in range(5)] == [b"ok"] * 5
            assert (server.connections, len(server.heads)) == (1, 5)

    play(story)


def test_a_thousand_calls_in_flight_need_no_thread_each() -> None:
    """Given a server that answers nobody before all are there, then all are answered."""

    async def story(client: HttpClient) -> None:
        async with serving(OK) as (server, url):
            server.wanted = MANY
            calls = [asyncio.create_task(ask(client, url)) for _ in range(MANY)]
            await server.all_here.wait()
            threads = threading.active_count()
            assert await asyncio.gather(*calls) == [b"ok"] * MANY
            assert threads < 50

    play(story)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b" " * 1001], "more than 1000 b"),
        ([b"HTTP/1.1 200 OK\r\n\r\n", *[ENDLESS] * 1000], "more than 1000 bytes"),
        ([b"HTTP/1.1 200 OK\r\nX: ", *[ENDLESS] * 1000], "ClientResponseError: no whole answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nbomb"], "not unpacked"),
        ([b"what?\r\n\r\n"], "no whole answer of HTTP"),
    ],
    ids=["large", "endless body", "endless head", "compressed", "no HTTP"],
)
def test_a_hostile_answer_is_none(answer: list[bytes], why: str) -> None:
    async def story(client: HttpClient) -> None:
        async with serving(*answer) as (_, url):
            with pytest.raises(NoAnswer, match=why):
                await ask(client, url)

    play(story)


def test_a_redirect_is_an_answer_and_a_cookie_is_not_sent_back() -> None:
    moved = (
        b"HTTP/1.1 302 Found\r\nLocation: /other\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    )

    async def story(client: HttpClient) -> None:
        async with serving(moved) as (server, url):
            for _ in range(2):
                answer = await client.answer("GET", url, most_bytes=10, timeout_s=20)
                assert (answer.status, answer.headers["location"]) == (302, "/other")
            assert len(server.heads) == 2
            assert all(b"cookie" not in head.lower() for head in server.heads)

    play(story)


def test_an_address_that_is_none_gets_no_answer() -> None:
    async def story(client: HttpClient) -> None:
        for url in ("http://", "nonsense", "http://[::1", "http://127.0.0.1:99999"):
            with pytest.raises(NoAnswer):
                await ask(client, url)

    play(story)


def test_a_proxy_of_the_environment_is_used_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(client: HttpClient) -> None:
        async with serving(OK) as (server, url):
            monkeypatch.setenv("HTTP_PROXY", url)
            monkeypatch.setenv("http_proxy", url)
            monkeypatch.setenv("no_proxy", "inside.example")
            assert await ask(client, "http://bank.example/v1") == b"ok"
            assert server.heads[0].startswith(b"GET http://bank.example/v1 ")
            with pytest.raises(NoAnswer):
                await ask(client, "http://inside.example:9/v1")

    play(story, proxies=True)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_own_certificate(tmp_path / "both.pem"))

    async def story(client: HttpClient) -> None:
        server = Server(OK)
        listening = await asyncio.start_server(server.take, "127.0.0.1", 0, ssl=context)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            for scheme in ("https", "HTTPS"):
                with pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
                    await ask(client, f"{scheme}://127.0.0.1:{port}/")
            assert server.heads == []

    play(story)


def _own_certificate(file: Path) -> Path:
    """Write a key and a certificate that is signed by that key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(pem))
    return file


def test_numbers_and_texts_of_any_kind_are_sent() -> None:
    """Given what a person typed; when it is sent; then the other side judges it."""

    async def story(client: HttpClient) -> None:
        async with serving(OK) as (server, url):
            typed = {"price": 10**30, "name": os.fsdecode(b"\xff")}
            await client.answer("POST", url, json=typed, most_bytes=10, timeout_s=20)
            assert b"Content-Length: 57" in server.heads[0]

    play(story)
