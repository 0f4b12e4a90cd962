"""Serves an app over HTTP with uvicorn, as one loop of a process's lifecycle."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sagakit.errors import ConfigurationError

REQUESTS_S = 5
"""How long a stop waits for requests in hand."""
TICK_S = 0.5
"""How often a server looks at the time, for the Date header, and whether it is to end."""
MAX_HEAD_BYTES = 32 * 1024
"""The longest request line with its headers."""
TOO_LONG = f"the head of the request has more than {MAX_HEAD_BYTES} bytes"


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head or trailer beyond MAX_HEAD_BYTES; httptools itself keeps one of any length.

    httptools parses in C: a request costs two thirds of what it costs with h11.
    """

    _unparsed = 0
    """Bytes received since the last whole head, piece of a body or end of a request."""

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(TOO_LONG)

    def on_headers_complete(self) -> None:
        """See httptools. An error here is answered with 400."""
        self._unparsed = 0
        if len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD_BYTES:
            raise ValueError(TOO_LONG)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._unparsed = 0
        super().on_message_complete()


def server_config(app: FastAPI, host: str, port: int, **more: Any) -> uvicorn.Config:
    """Return how each HTTP server of the platform runs; `more`: further options of uvicorn."""
    # X-Forwarded-For would let any program here choose the address in the audit, and its network
    options: dict[str, Any] = {"http": BoundedHttp, "proxy_headers": False, **more}
    return uvicorn.Config(app, host=host, port=port, ws="none", log_config=None, **options)


class HttpServer:
    """Serves one app at one address until `end`."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server: _Uvicorn | None = None

    async def run(self, app: FastAPI) -> None:
        """Serve until `end`. Raises ConfigurationError if the address cannot be used."""
        config = server_config(
            app,
            self._host,
            self._port,
            lifespan="off",
            timeout_graceful_shutdown=REQUESTS_S,
        )
        self._server = _Uvicorn(config)
        try:
            await self._server.serve()
        except SystemExit as error:  # uvicorn's answer to a wrong address; it has logged why
            raise ConfigurationError(
                f"SAGA_HTTP_HOST, SAGA_HTTP_PORT: cannot listen at {self._host}:{self._port}; "
                "correct the host, choose a free port, or stop what uses it"
            ) from error

    def end(self) -> None:
        """Take no more requests, and finish those in hand."""
        if self._server:
            self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    async def main_loop(self) -> None:
        """Look whether to end every TICK_S; uvicorn itself wakes ten times a second."""
        while not await self.on_tick(0):
            await asyncio.sleep(TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers: the lifecycle hears signals."""
        yield
