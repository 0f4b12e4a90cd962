"""Serves one path over HTTP: the order API and the carrier's webhook of a choreography."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from benchmarks.peers.apps.http_requests import SIGNATURE, Refused

HOST = "127.0.0.1"
BACKLOG = 1024
Take = Callable[[bytes, str], Awaitable[int]]
"""Takes a request's body and its signature, empty without one; returns the status to answer."""


async def serve(port: int, path: str, take: Take) -> web.AppRunner:
    """Serve POST requests in this event loop, until the returned runner is cleaned up."""

    async def handle(request: web.Request) -> web.Response:
        try:
            status = await take(await request.read(), request.headers.get(SIGNATURE, ""))
        except Refused as refused:
            status = refused.status
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post(path, handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, backlog=BACKLOG).start()
    return runner
