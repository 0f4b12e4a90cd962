"""Shows people at a browser a page where programs get problem details."""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saga_monitor.web.site import Website, see

PROBLEM = b"application/problem+json"


class ProblemPages:
    """Middleware for pages: nobody logged in leads to the log-in, any other problem is a page."""

    def __init__(self, app: ASGIApp, site: Website) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, see ASGI."""
        if scope["type"] != "http" or not _wants_page(request := Request(scope)):
            await self._app(scope, receive, send)
            return
        body: list[bytes] = []
        started: MutableMapping[str, Any] | None = None

        async def replacing(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                kind = dict(message["headers"]).get(b"content-type", b"")
                if kind.startswith(PROBLEM):
                    started = message
                    return
            if started is None:
                await send(message)
                return
            body.append(message.get("body", b""))
            if message.get("more_body"):
                return
            found = orjson.loads(b"".join(body))
            answer = self._page(request, started["status"], found)
            await answer(scope, receive, send)

        await self._app(scope, receive, replacing)

    def _page(self, request: Request, status: int, found: MutableMapping[str, Any]) -> Any:
        if status == 401 and request.method == "GET":
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return see(f"/ui/login?{urlencode({'next': here})}")
        detail = f"{found['detail']}. Load the page again to try again."
        return self._site.problem(request, status, str(found["title"]).capitalize(), detail)


def _wants_page(request: Request) -> bool:
    path = request.url.path
    return path.startswith("/ui/") and "text/html" in request.headers.get("accept", "")
