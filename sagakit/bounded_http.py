"""Sends requests over HTTP and reads their answers, bounded in time and in size.

aiohttp parses in C and keeps connections: a request costs a third of the CPU of httpx2, a tenth
with many in flight (see docs/decisions/0026).
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from sagakit.provider_pause import ProviderPause

MAX_CONNECTIONS = 1000
KEPT_S = 4.0
"""How long an idle connection is kept. Many servers close theirs after 5 s."""


class NoAnswer(Exception):
    """No whole answer came; the message says why: none in time, none at all, or too large a one.

    `head`: the answer without its body, if one began.
    """

    def __init__(self, message: str, head: "HttpAnswer | None" = None) -> None:
        super().__init__(message)
        self.head = head


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer, with its whole body. The names of `headers` are in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Request(NamedTuple):
    """A request as it is sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None


class Head(NamedTuple):
    """The begin of an answer, and its body that is still to come."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class HttpClient:
    """Sends requests over connections that are kept and shared. Use it in one event loop.

    `proxies`: go through those that the environment names (`HTTPS_PROXY`, `NO_PROXY`).
    """

    def __init__(self, *, proxies: bool = True) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._proxies = proxies
        self._proxy_of: dict[tuple[str, str], str | None] = {}
        self._pauses: defaultdict[str, ProviderPause] = defaultdict(ProviderPause)

    def pause_of(self, base_url: str) -> ProviderPause:
        """Return the pause that all gateways to one provider share, see `HttpGateway`."""
        return self._pauses[base_url]

    async def answer(
        self,
        method: str,
        url: str,
        *,
        most_bytes: int,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> HttpAnswer:
        """Return the answer to a request, which is followed nowhere else. Raises NoAnswer.

        `timeout_s` bounds the whole call.
        """
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        content: bytes | None = None
        if json is not None:
            content, sent["Content-Type"] = _as_json(json), "application/json"
        request = Request(method, url + _query(params or {}), sent, content)
        body = bytearray()
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._exchange(request) as (status, received, chunks),
            ):
                head = HttpAnswer(status, received, b"")
                encoding = received.get("Content-Encoding", "identity")
                if encoding != "identity":  # a few compressed bytes may stand for gigabytes
                    raise NoAnswer(f"{status} and a compressed body, which is not unpacked", head)
                async for chunk in chunks:
                    body += chunk
                    if len(body) > most_bytes:
                        raise NoAnswer(f"{status} and more than {most_bytes} bytes", head)
                return HttpAnswer(status, received, bytes(body))
        except TimeoutError as error:
            raise NoAnswer(f"TimeoutError: no answer within {timeout_s:g} s") from error
        except OSError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        except (aiohttp.ClientError, ValueError) as error:  # its text may quote what was received
            raise NoAnswer(f"{type(error).__name__}: no whole answer of HTTP") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _exchange(self, request: Request) -> AsyncIterator[Head]:
        """Send a request and yield the begin of its answer; afterwards the rest is not read."""
        if self._session is None:  # it belongs to the running event loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEPT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
            )
        # yarl would decode what need not be encoded: `%2E%2E` is an id, `..` is another path
        url = request.url
        target = URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        async with self._session.request(
            request.method,
            target,
            headers=request.headers,
            data=request.content,
            allow_redirects=False,
            proxy=self._proxy(url),
        ) as response:
            yield Head(response.status, response.headers, response.content.iter_any())

    def _proxy(self, url: str) -> str | None:
        if not self._proxies:
            return None
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc.rpartition("@")[2])
        if origin not in self._proxy_of:
            passed = proxy_bypass(origin[1])
            self._proxy_of[origin] = None if passed else getproxies().get(parts.scheme)
        return self._proxy_of[origin]


def _as_json(value: Any) -> bytes:
    """Return the value as JSON, whatever the size of its numbers: orjson stops at 64 bits."""
    return json.dumps(value, separators=(",", ":")).encode()


def _query(params: Mapping[str, Any]) -> str:
    """Return parameters as the end of a URL; a list gives one each, true and false as in JSON."""
    written = {n: str(v).lower() if isinstance(v, bool) else v for n, v in params.items()}
    return f"?{urlencode(written, doseq=True)}" if written else ""
