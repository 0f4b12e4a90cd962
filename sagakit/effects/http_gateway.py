"""Calls a provider's JSON API over HTTP: idempotency key, timeout, bounded answer, error text.

A gateway knows its provider's paths and business answers; everything else stands here. An answer is
usable if it is a JSON object with a 2xx status, or a refusal that the gateway names. After a
timeout, a dropped connection, another status or garbage the outcome is unknown: `EffectFailed` is
raised, and the effect worker repeats the call under the same key, not before the provider's
`Retry-After` (https://www.rfc-editor.org/rfc/rfc9110#name-retry-after).
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from sagakit.bounded_http import HttpAnswer, HttpClient, NoAnswer
from sagakit.errors import EffectFailed
from sagakit.privacy.sealed_text import redact

TIMEOUT_S = 10.0
PAGE_TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_PAGE_BYTES = 64 * 1024 * 1024
"""The limit of a page of a ledger: 10,000 rows of 6 kB."""
MAX_QUOTED_CHARS = 300
HASHED = "sha256-"
"""How a key begins on the wire if it is the hash of the effect's key."""
MAX_RETRY_AFTER = timedelta(minutes=15)


class HttpGateway:
    """Calls the API at `base_url` (without a path); `provider` names it in errors.

    The caller closes `client`. `secrets`: texts that are sent, but never shown in an error.
    """

    def __init__(
        self, provider: str, client: HttpClient, base_url: str, secrets: Sequence[str] = ()
    ) -> None:
        self._provider, self._client, self._base_url = provider, client, base_url.rstrip("/")
        self._secrets = secrets

    def hiding(self, *secrets: str) -> "HttpGateway":
        """Return this gateway for calls that send `secrets`, which its errors then do not show."""
        return HttpGateway(self._provider, self._client, self._base_url, secrets)

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
        sent = await self._send(
            method,
            path,
            where,
            MAX_ANSWER_BYTES,
            TIMEOUT_S,
            json=body,
            headers={"Idempotency-Key": wire_key(key)},
        )
        status, answer = sent.status, _parsed(sent.body)
        match answer:
            case {"error": {"code": str(code)}} if (status, code) in refusals:
                return dict(answer)
            case dict() if 200 <= status < 300 and "error" not in answer:
                return answer
        raise self.unusable(
            where, f"{status} {_quoted(answer, sent.body)}", retry_after(sent.headers)
        )

    async def page(
        self, path: str, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return up to `limit` rows of a ledger, and the offset of the next page, None at the end.

        The API answers `GET <path>?offset=&limit=` with `data` (the rows) and `total` (their number
        on all pages). Raises EffectFailed, also if rows are missing or more than asked for came.
        """
        where = f"GET {path}, offset {offset}"
        sent = await self._send(
            "GET",
            path,
            where,
            MAX_PAGE_BYTES,
            PAGE_TIMEOUT_S,
            params={"offset": offset, "limit": limit},
        )
        status = sent.status
        match _parsed(sent.body):
            case {"data": list(rows), "total": int(total)} if 200 <= status < 300 and all(
                isinstance(row, dict) for row in rows
            ):
                end = offset + len(rows)
                if (rows and (len(rows) > limit or end > total)) or (not rows and offset < total):
                    detail = f"{len(rows)} rows, limit {limit}, of a total of {total}"
                    raise self.unusable(where, f"{status} {detail}")
                return rows, end if end < total else None
        raise self.unusable(where, f"{status} {sent.body.decode(errors='replace')}")

    def unusable(self, where: str, answer: str, wait: timedelta | None = None) -> EffectFailed:
        """Return the error for an answer that tells nothing, its text cut to 300 characters.

        `wait`: how long the provider asks to wait before the next call.
        """
        quoted = redact(answer, *self._secrets)[:MAX_QUOTED_CHARS]  # a cut secret is not found
        return EffectFailed(
            f"{self._provider}, {where}: {quoted}; "
            "the outcome is unknown, asking again under the same key",
            retry_after=wait,
        )

    async def _send(
        self, method: str, path: str, where: str, most_bytes: int, timeout_s: float, **request: Any
    ) -> HttpAnswer:
        """Return an answer. Raises EffectFailed without one."""
        url = self._base_url + path
        try:
            return await self._client.answer(
                method, url, most_bytes=most_bytes, timeout_s=timeout_s, **request
            )
        except NoAnswer as error:
            raise self.unusable(where, str(error)) from error


def wire_key(key: str) -> str:
    """Return the key if an HTTP header can carry it (visible ASCII, at most 255), else its hash.

    Saga ids may hold spaces (which headers lose at the ends) and letters of any script. A key that
    looks like a hash is hashed as well, so that no two keys become the same.
    """
    if re.fullmatch(r"[!-~]{1,255}", key) and not key.startswith(HASHED):
        return key
    return HASHED + hashlib.sha256(key.encode()).hexdigest()


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long an answer's `Retry-After` asks to wait, from 0 to `MAX_RETRY_AFTER`.

    It holds seconds or an HTTP date (RFC 9110, 10.2.3). A date is compared with the answer's own
    `Date`, so the two clocks need not agree. None if a header is missing or neither.
    """
    asked = headers.get("Retry-After")
    if asked is None:
        return None
    if re.fullmatch(r"[0-9]+", asked):
        wait = timedelta(seconds=min(float(asked), MAX_RETRY_AFTER.total_seconds()))
    else:
        at, sent_at = _http_date(asked), _http_date(headers.get("Date", ""))
        if at is None or sent_at is None:
            return None
        wait = at - sent_at
    return min(max(wait, timedelta()), MAX_RETRY_AFTER)


def _http_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at.replace(tzinfo=at.tzinfo or UTC)


def _quoted(answer: object, raw: bytes) -> str:
    """Return the text of an answer: JSON without its escapes, or the body as it is."""
    with suppress(RecursionError):  # nested too deeply
        if answer is not None:
            return str(answer)
    return raw.decode(errors="replace")


def _parsed(raw: bytes) -> Any:
    """Return the JSON value of a body, or None if it is no JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
