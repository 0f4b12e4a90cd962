"""Answers the HTTP calls of a gateway in memory: by an app, or by a function."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from sagakit.bounded_http import Head, HttpClient, NoAnswer, Request


class InMemoryHttp(HttpClient):
    """An HTTP client whose requests go to a transport of httpx2 instead of the network.

    `httpx2.ASGITransport(app)` calls an app, `httpx2.MockTransport(function)` a function.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        super().__init__(proxies=False)
        self._client = httpx2.AsyncClient(transport=transport)

    async def close(self) -> None:
        """See `HttpClient`."""
        await self._client.aclose()

    @asynccontextmanager
    async def _exchange(self, request: Request) -> AsyncIterator[Head]:
        method, url, headers, content = request
        stream = self._client.stream(method, url, headers=headers, content=content)
        try:
            async with stream as response:
                yield Head(response.status_code, response.headers, response.aiter_bytes())
        except httpx2.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
