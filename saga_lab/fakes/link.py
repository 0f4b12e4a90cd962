"""Proxies TCP links that can be cut, silenced and slowed: `python -m saga_lab.fakes.link`.

`SANDBOX_LINKS` is JSON: name -> [port to listen on, port to connect to], both on this host.
POST `/control/link` {"name", "mode"} changes a link:

| mode | what happens |
|---|---|
| `open` | bytes pass through |
| `cut` | open and new connections are reset |
| `silent` | connections stay open but no byte passes in either direction: half open |
| `slow` | each chunk (up to 64 KiB) is delayed by 0.2 s |
"""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from saga_lab.fakes import base
from saga_lab.fakes.base import Refusal, json_response
from sagakit.web.access import Access, TrustedHosts

SLOW_S = 0.2
PIECE = 65_536


class LinkMode(StrEnum):
    """Selects how a link treats bytes."""

    OPEN = "open"
    CUT = "cut"
    SILENT = "silent"
    SLOW = "slow"


class LinkSettings(base.SandboxSettings):
    """Adds the links; there is no ledger."""

    db: Path = Path(os.devnull)
    links: dict[str, tuple[int, int]]


class LinkChange(BaseModel):
    """Carries the body of a control call about one link."""

    name: str
    mode: LinkMode


class TcpLink:
    """Forwards connections from one listening port to its target port."""

    def __init__(self, host: str, target_port: int) -> None:
        self._host, self._target_port = host, target_port
        self._mode = LinkMode.OPEN
        self._audible = asyncio.Event()
        self._audible.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def change(self, mode: LinkMode) -> None:
        self._mode = mode
        if mode is LinkMode.SILENT:
            self._audible.clear()
        else:
            self._audible.set()
        if mode is LinkMode.CUT:
            for writer in self._writers:
                _reset(writer)

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        """Accept connections while inside."""
        server = await asyncio.start_server(self._taken, self._host, port)
        try:
            yield
        finally:
            server.close()

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._audible.wait()
        if self._mode is LinkMode.CUT:
            _reset(writer)
            return
        try:
            there = await asyncio.open_connection(self._host, self._target_port)
        except OSError:
            _reset(writer)
            return
        ends = {writer, there[1]}
        self._writers |= ends
        pumps = [
            asyncio.create_task(self._pump(reader, there[1])),
            asyncio.create_task(self._pump(there[0], writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers -= ends
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(
            ConnectionError
        ):  # a peer closed: this pump ends, and `_taken` closes both sides
            while piece := await reader.read(PIECE):
                if self._mode is LinkMode.SLOW:
                    await asyncio.sleep(SLOW_S)
                await self._audible.wait()
                writer.write(piece)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Abort a connection with a TCP reset (SO_LINGER 1, 0) instead of an orderly close."""
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def create_app(links: Mapping[str, TcpLink]) -> FastAPI:
    """Build the app with health and `/control/link`."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHosts, access=Access(local=True))

    @app.get("/health/ready")
    async def ready() -> Response:
        return json_response({"status": "ready"})

    @app.post("/control/link")
    async def change(asked: LinkChange) -> Response:
        if asked.name not in links:
            raise Refusal(404, "no_link", f"{asked.name!r} is not one of {', '.join(links)}")
        links[asked.name].change(asked.mode)
        return json_response({"name": asked.name, "mode": asked.mode})

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        error = {"code": refusal.code, "message": refusal.message}
        return json_response({"error": error}, refusal.status)

    return app


def main() -> None:
    settings = base.read_settings(LinkSettings)
    links = {name: TcpLink(settings.host, to) for name, (_, to) in settings.links.items()}

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for name, (port, _) in settings.links.items():
                await stack.enter_async_context(links[name].listening(port))
            yield

    base.serve(create_app(links), settings, running())


if __name__ == "__main__":
    main()
