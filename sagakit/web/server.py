"""Serves an app over HTTP with uvicorn, as one loop of a process's lifecycle."""

import contextlib
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI

from sagakit.errors import ConfigurationError

REQUESTS_S = 5
"""How long a stop waits for requests in hand."""
MAX_HEAD_BYTES = 32 * 1024
"""The longest request line with its headers."""


def server_config(app: FastAPI, host: str, port: int, **more: Any) -> uvicorn.Config:
    """Return how each HTTP server of the platform runs; `more`: further options of uvicorn.

    h11 bounds the head of a request. httptools, the default, keeps a head of any length.
    """
    bounded = {"http": "h11", "h11_max_incomplete_event_size": MAX_HEAD_BYTES}
    return uvicorn.Config(
        app, host=host, port=port, ws="none", log_config=None, **{**bounded, **more}
    )


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
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers: the lifecycle hears signals."""
        yield
