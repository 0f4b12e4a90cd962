"""Calls a provider's JSON API over HTTP: idempotency key, timeout, bounded answer, error text.

A gateway knows its provider's paths and business answers; everything else stands here. An answer is
usable if it is a JSON object with a 2xx status, or a refusal that the gateway names. After a
timeout, a dropped connection, another status or garbage the outcome is unknown: `EffectFailed` is
raised, and the effect worker repeats the call under the same key, not before the provider's
`Retry-After` (https://www.rfc-editor.org/rfc/rfc9110#name-retry-after).
"""

import asyncio
import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

from sagakit.errors import EffectFailed

TIMEOUT_S = 10.0
PAGE_TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_PAGE_BYTES = 64 * 1024 * 1024
"""The limit of a page of a ledger: 10,000 rows of 6 kB."""
MAX_QUOTED_CHARS = 300
MAX_RETRY_AFTER = timedelta(minutes=15)


class HttpGateway:
    """Calls the API at `base_url` (without a path); `provider` names it in errors.

    The caller closes `client`.
    """

    def __init__(self, provider: str, client: httpx2.AsyncClient, base_url: str) -> None:
        self._provider, self._client, self._base_url = provider, client, base_url.rstrip("/")

    async def call(
        self,
        method: str,
        path: str,
        key: str,
        body: Mapping[str, Any] | None = None,
        *,
        refusals: Collection[tuple[int, str]] = (),
    ) -> dict[str, Any]:
        """Send a call under an idempotency key and return the JSON object it is answered with.

        `refusals`: status and `error.code` of the refusals that are business answers; these are
        returned as well, with their `error`. Raises EffectFailed for any other answer.
        """
        where = f"{method} {path}, key {key}"
        status, headers, raw = await self._send(
            method,
            path,
            where,
            MAX_ANSWER_BYTES,
            TIMEOUT_S,
            json=body,
            headers={"Idempotency-Key": wire_key(key)},
        )
        answer = _parsed(raw)
        match answer:
            case {"error": {"code": str(code)}} if (status, code) in refusals:
                return dict(answer)
            case dict() if 200 <= status < 300 and "error" not in answer:
                return answer
        quoted = raw.decode(errors="replace") if answer is None else str(answer)
        raise self.unusable(where, f"{status} {quoted}", retry_after(headers))

    async def page(
        self, path: str, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return up to `limit` rows of a ledger, and the offset of the next page, None at the end.

        The API answers `GET <path>?offset=&limit=` with `data` (the rows) and `total` (their number
        on all pages). Raises EffectFailed.
        """
        where = f"GET {path}, offset {offset}"
        status, _, raw = await self._send(
            "GET",
            path,
            where,
            MAX_PAGE_BYTES,
            PAGE_TIMEOUT_S,
            params={"offset": offset, "limit": limit},
        )
        match _parsed(raw):
            case {"data": list(rows), "total": int(total)} if 200 <= status < 300 and all(
                isinstance(row, dict) for row in rows
            ):
                end = offset + len(rows)
                return rows, end if rows and end < total else None
        quoted = raw[:MAX_QUOTED_CHARS].decode(errors="replace")
        raise self.unusable(where, f"{status} {quoted}")

    def unusable(self, where: str, answer: str, wait: timedelta | None = None) -> EffectFailed:
        """Return the error for an answer that tells nothing, its text cut to 300 characters.

        `wait`: how long the provider asks to wait before the next call.
        """
        return EffectFailed(
            f"{self._provider}, {where}: {answer[:MAX_QUOTED_CHARS]}; "
            "the outcome is unknown, asking again under the same key",
            retry_after=wait,
        )

    async def _send(
        self, method: str, path: str, where: str, most_bytes: int, timeout_s: float, **request: Any
    ) -> tuple[int, httpx2.Headers, bytes]:
        """Return status, headers and body of an answer. Raises EffectFailed without one.

        `timeout_s` bounds the whole call: the client's own timeout restarts with each chunk.
        """
        headers = {"Accept-Encoding": "identity", **request.pop("headers", {})}
        url, raw = self._base_url + path, bytearray()
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._client.stream(
                    method, url, headers=headers, timeout=timeout_s, **request
                ) as response,
            ):
                encoding = response.headers.get("Content-Encoding", "identity")
                if encoding != "identity":  # a few compressed bytes may stand for gigabytes
                    raise self.unusable(where, f"{response.status_code} encoded as {encoding}")
                async for chunk in response.aiter_bytes():
                    raw += chunk
                    if len(raw) > most_bytes:
                        reason = f"{response.status_code} and more than {most_bytes} bytes"
                        raise self.unusable(where, reason)
                return response.status_code, response.headers, bytes(raw)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            reason = str(error) or f"no answer within {timeout_s:g} s"
            raise self.unusable(where, f"{type(error).__name__}: {reason}") from error


def wire_key(key: str) -> str:
    """Return the key if an HTTP header can carry it (visible ASCII, at most 255), else its hash.

    Saga ids may hold spaces (which headers lose at the ends) and letters of any script.
    """
    if re.fullmatch(r"[!-~]{1,255}", key):
        return key
    return f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long an answer's `Retry-After` asks to wait, from 0 to `MAX_RETRY_AFTER`.

    It holds seconds or an HTTP date (RFC 9110, 10.2.3). A date is compared with the answer's own
    `Date`, so the two clocks need not agree. None if a header is missing or neither.
    """
    asked = headers.get("Retry-After")
    if asked is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", asked):
        wait = timedelta(seconds=int(asked))
    else:
        at, sent_at = _http_date(asked), _http_date(headers.get("Date", ""))
        if at is None or sent_at is None:
            return None
        wait = at - sent_at
    return min(max(wait, timedelta()), MAX_RETRY_AFTER)


def _http_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC)


def _parsed(raw: bytes) -> Any:
    """Return the JSON value of a body, or None if it is no JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
