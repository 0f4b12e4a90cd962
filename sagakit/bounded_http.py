"""Sends an HTTP request whose answer is bounded in size and in time."""

import asyncio
from typing import Any

import httpx2


class NoAnswer(Exception):
    """No answer came within the bounds; the message says what came instead."""


async def fetch(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    *,
    most_bytes: int,
    timeout_s: float,
    **request: Any,
) -> tuple[int, httpx2.Headers, bytes]:
    """Return status, headers and body of an answer. Raises NoAnswer.

    `timeout_s` bounds the whole call: the client's own timeout restarts with each chunk.
    """
    headers, raw = {"Accept-Encoding": "identity", **request.pop("headers", {})}, bytearray()
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream(method, url, headers=headers, timeout=timeout_s, **request) as response,
        ):
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":  # a few compressed bytes may stand for gigabytes
                raise NoAnswer(f"{response.status_code} encoded as {encoding}")
            async for chunk in response.aiter_bytes():
                raw += chunk
                if len(raw) > most_bytes:
                    raise NoAnswer(f"{response.status_code} and more than {most_bytes} bytes")
            return response.status_code, response.headers, bytes(raw)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        reason = str(error) or f"no answer within {timeout_s:g} s"
        raise NoAnswer(f"{type(error).__name__}: {reason}") from error
