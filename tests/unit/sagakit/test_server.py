"""A real HTTP server refuses a head that does not end, and goes on answering."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from saga_lab.devstack.ports import free_port
from sagakit.web.server import MAX_HEAD_BYTES, HttpServer
from tests.architecture.source import ROOT

MEGABYTE = 1024 * 1024
MOST_SENT = 16 * MEGABYTE
"""Far more than the limit and what the buffers of two sockets hold."""


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """The port of a running server."""
    port, app = free_port(), FastAPI()

    @app.get("/")
    async def answer() -> str:
        return "here"

    server = HttpServer("127.0.0.1", port)
    running = asyncio.create_task(server.run(app))
    while True:
        try:
            await answered(port, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    yield port
    server.end()
    await running


async def answered(port: int, chunks: list[bytes]) -> tuple[int, bytes]:
    """How many bytes of a request the server took, and the first line of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent, line = 0, b""
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
        line = await reader.readline()
    except ConnectionError:
        pass
    finally:
        writer.close()
    return sent, line


@pytest.mark.parametrize(
    "endless",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * (MAX_HEAD_BYTES // 6),
        b"GET /" + b"a" * MAX_HEAD_BYTES,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ",
    ],
    ids=["field", "fields", "target", "trailer"],
)
def test_a_head_without_end_is_refused(endless: bytes) -> None:
    async def ask() -> None:
        async with serving() as port:
            # Given a request whose head does not end
            chunks = [endless, *[(b"a" * 65_530 + b"\r\nX: ")] * (MOST_SENT // 65_536)]
            # When it is sent, then the server ends the connection long before all is sent
            sent, _ = await answered(port, chunks)
            assert sent < MOST_SENT
            # And it answers others
            request = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (MAX_HEAD_BYTES // 2)
            _, line = await answered(port, [request + b"\r\n\r\n"])
            assert line.startswith(b"HTTP/1.1 200")

    asyncio.run(ask())


def test_every_server_is_configured_in_one_place() -> None:
    packages = ("sagakit", "services", "saga_monitor", "saga_lab", "saga_cli")
    found = [
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"uvicorn\.(Config|run)\(", path.read_text())
    ]
    assert found == ["sagakit/web/server.py"]
