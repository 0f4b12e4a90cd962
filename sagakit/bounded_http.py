"""Sends a request over HTTP and reads its answer, bounded in time and in size."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx2


class NoAnswer(Exception):
    """No whole answer came; the message says why: none in time, none at all, or too large a one."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer, with its whole body."""

    status: int
    headers: httpx2.Headers
    body: bytes


async def bounded_answer(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    *,
    most_bytes: int,
    timeout_s: float,
    **request: Any,
) -> HttpAnswer:
    """Return the answer to a request. Raises NoAnswer.

    `timeout_s` bounds the whole call: the client's own timeout restarts with each chunk. `request`:
    further arguments of `httpx2.AsyncClient.stream`.
    """
    headers = {"Accept-Encoding": "identity", **request.pop("headers", {})}
    body = bytearray()
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream(method, url, headers=headers, timeout=timeout_s, **request) as response,
        ):
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":  # a few compressed bytes may stand for gigabytes
                raise NoAnswer(f"{response.status_code} encoded as {encoding}")
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > most_bytes:
                    raise NoAnswer(f"{response.status_code} and more than {most_bytes} bytes")
            return HttpAnswer(response.status_code, response.headers, bytes(body))
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        reason = str(error) or f"no answer within {timeout_s:g} s"
        raise NoAnswer(f"{type(error).__name__}: {reason}") from error
