"""Runs TCP proxies in a thread of their own. Observers see the bytes that pass."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

HOST = "127.0.0.1"
CHUNK = 65_536


class Observer(Protocol):
    """Follows one connection. The bytes come in pieces of any size."""

    def asked(self, data: bytes) -> None:
        """Take bytes of the client."""

    def answered(self, data: bytes) -> None:
        """Take bytes of the server."""


@dataclass(frozen=True)
class Route:
    """Describes a proxy. `port`: where it listens, any free one if 0; `observe`: makes the observer
    of a new connection."""

    port: int
    server: tuple[str, int]
    observe: Callable[[], Observer]


@contextmanager
def run_proxies(routes: Sequence[Route]) -> Iterator[list[int]]:
    """Run a proxy for each route, and yield their ports. Raises OSError if one cannot listen."""
    started = Future[tuple[list[int], Callable[[], object]]]()
    thread = threading.Thread(target=asyncio.run, args=(_run(routes, started),), daemon=True)
    thread.start()
    ports, stop = started.result()
    try:
        yield ports
    finally:
        stop()
        thread.join()


async def _run(
    routes: Sequence[Route], started: "Future[tuple[list[int], Callable[[], object]]]"
) -> None:
    """Serve until the function that `started` gets beside the ports is called."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    try:
        servers = [
            await asyncio.start_server(_serving(route), HOST, route.port) for route in routes
        ]
    except OSError as error:
        started.set_exception(error)
        return
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    started.set_result((ports, lambda: loop.call_soon_threadsafe(stopping.set)))
    await stopping.wait()
    for server in servers:
        server.close()


def _serving(
    route: Route,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*route.server)
        observer = route.observe()
        try:
            await asyncio.gather(
                _forward(from_client, to_server, observer.asked),
                _forward(from_server, to_client, observer.answered),
                return_exceptions=True,
            )
        finally:
            to_client.close()
            to_server.close()

    return serve


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, observe: Callable[[bytes], None]
) -> None:
    """Pass bytes on as they come, and then that no more come."""
    try:
        while data := await reader.read(CHUNK):
            observe(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except BaseException:
        writer.close()
        raise
