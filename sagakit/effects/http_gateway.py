"""Calls a provider's JSON API over HTTP: idempotency key, timeout, bounded answer, known codes.

A gateway knows its provider's paths and business answers; everything else stands here. An answer is
usable if it is a JSON object with a 2xx status, or a refusal that the gateway names. After a
timeout, a dropped connection, another status or garbage the outcome is unknown: `EffectFailed` is
raised, and the effect worker repeats the call under the same key.

- A provider that answers 429 or 503 with `Retry-After`
  (https://www.rfc-editor.org/rfc/rfc9110#name-retry-after) gets no call before that time, whatever
  the call is about; then a single one tries first (`ProviderPause`).
- What a provider writes is never quoted: it may hold what it was sent, such as an address, in any
  form. Errors show the status and codes from an allow-list. Texts of an answer are cut and cleaned.
- A provider may keep an error under a key, or forget the key. `asks_first` tells when to look a
  call up before it is repeated.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from sagakit.bounded_http import HttpAnswer, HttpClient, NoAnswer
from sagakit.decider import Effect
from sagakit.errors import EffectFailed
from sagakit.foreign_text import bounded
from sagakit.provider_pause import ProviderPaused
from sagakit.replay_mode import refuse_in_replay

TIMEOUT_S = 10.0
PAGE_TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_PAGE_BYTES = 64 * 1024 * 1024
"""The limit of a page of a ledger: 10,000 rows of 6 kB."""
MAX_TEXT_CHARS = 2000
"""The limit of a text in an answer: longer ones are cut."""
MAX_ID_CHARS = 255
MAX_DEPTH = 20
HASHED = "sha256-"
"""How a key begins on the wire if it is the hash of the effect's key."""
MAX_RETRY_AFTER = timedelta(minutes=15)
PAUSING = (429, 503)
"""Statuses whose `Retry-After` is about the provider, not about the call."""
LOOK_AFTER = 5
"""After so many attempts without an answer, a call is looked up: the error may be a stored one."""
KEY_MEMORY = timedelta(hours=20)
"""How long a provider surely knows a key. Many forget it after 24 hours."""
COMMON_CODES = frozenset(
    (
        "forbidden",
        "idempotency_key_missing",
        "idempotency_key_reuse",
        "internal_error",
        "invalid_request",
        "outage",
        "rate_limited",
        "reference_mismatch",
        "unauthorized",
    )
)
"""Error codes that errors may show of any provider."""


class HttpGateway:
    """Calls the API at `base_url` (without a path); `provider` names it in errors.

    The caller closes `client`. `codes`: error codes and statuses of this provider that errors may
    show, besides COMMON_CODES.
    """

    def __init__(
        self, provider: str, client: HttpClient, base_url: str, codes: Collection[str] = ()
    ) -> None:
        refuse_in_replay(self)
        self._provider, self._client, self._base_url = provider, client, base_url.rstrip("/")
        self._codes = COMMON_CODES | frozenset(codes)
        self._pause = client.pause_of(self._base_url)

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
        raise self.unusable(where, answer, status, retry_after(sent.headers))

    async def page(
        self, path: str, offset: int, limit: int, **having: str
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return up to `limit` rows of a ledger, and the offset of the next page, None at the end.

        The API answers `GET <path>?offset=&limit=` with `data` (the rows) and `total` (their number
        on all pages). `having`: parameters that select rows. Raises EffectFailed, also if rows are
        missing or more than asked for came.
        """
        where = f"GET {path}, offset {offset}"
        sent = await self._send(
            "GET",
            path,
            where,
            MAX_PAGE_BYTES,
            PAGE_TIMEOUT_S,
            params={"offset": offset, "limit": limit, **having},
        )
        status, answer = sent.status, _parsed(sent.body)
        match answer:
            case {"data": list(rows), "total": int(total)} if (
                200 <= status < 300
                and not isinstance(total, bool)
                and all(isinstance(row, dict) for row in rows)
            ):
                end = offset + len(rows)
                if (rows and (len(rows) > limit or end > total)) or (not rows and offset < total):
                    detail = f"{len(rows)} rows, limit {limit}, of a total of {total}"
                    raise self._failed(where, f"{status} {detail}")
                return rows, end if end < total else None
        raise self.unusable(where, answer, status, retry_after(sent.headers))

    async def made_before(self, path: str, effect: Effect, key: str = "") -> dict[str, Any] | None:
        """Return the row of a ledger that a call made, found by its saga; None if there is none.

        `key`: the idempotency key of the call, if not the effect's own. The rows have
        `idempotency_key`; `GET <path>?reference=` selects those of a saga. Raises EffectFailed.
        """
        wired, offset = wire_key(key or effect.idempotency_key), 0
        more: int | None = 0
        while more is not None:
            offset = more
            rows, more = await self.page(path, offset, 100, reference=effect.saga)
            for row in rows:
                if row.get("idempotency_key") == wired and row.get("reference") == effect.saga:
                    return row
        return None

    def unusable(
        self,
        where: str,
        answer: object,
        status: int | None = None,
        wait: timedelta | None = None,
    ) -> EffectFailed:
        """Return the error for an answer that tells nothing; it shows known codes of it.

        `status`: that of HTTP. `wait`: how long the provider asks to wait before the next call.
        """
        shown = [str(status)] if status else []
        match answer:
            case {"error": {"code": code}}:
                shown.append(f"error {self.known(code)}")
            case {"status": word}:
                shown.append(f"with status {self.known(word)}")
            case dict():
                shown.append("an object of another form")
            case _:
                shown.append("no JSON object")
        return self._failed(where, " ".join(shown), wait)

    def check_echo(self, where: str, answer: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        """Raise EffectFailed unless an answer repeats what was asked for; names the fields."""
        other = [n for n, value in asked.items() if answer.get(n) != _cleaned(value, MAX_DEPTH)]
        if other:
            raise self.unusable(f"{where}, another {' and '.join(other)} than asked for", answer)

    def known(self, code: object) -> str:
        """Return a code that errors may show, or a text that stands for all others."""
        return code if isinstance(code, str) and code in self._codes else "unknown_code"

    def _failed(self, where: str, detail: str, wait: timedelta | None = None) -> EffectFailed:
        return EffectFailed(
            f"{self._provider}, {where}: {detail}; "
            "the outcome is unknown, asking again under the same key",
            retry_after=wait,
        )

    async def _send(
        self, method: str, path: str, where: str, most_bytes: int, timeout_s: float, **request: Any
    ) -> HttpAnswer:
        """Return an answer. Raises EffectFailed without one, or while the provider wants none."""
        url, head = self._base_url + path, None
        try:
            tried = self._pause.enter()
        except ProviderPaused as paused:
            left = timedelta(seconds=paused.left_s)
            raise self._failed(where, str(paused), left) from paused
        try:
            head = await self._client.answer(
                method, url, most_bytes=most_bytes, timeout_s=timeout_s, **request
            )
            return head
        except NoAnswer as error:
            head = error.head
            wait = retry_after(head.headers) if head else None
            raise self._failed(where, str(error), wait) from error
        finally:
            pause = retry_after(head.headers) if head and head.status in PAUSING else None
            self._pause.leave(tried, head is not None, pause)


def asks_first(effect: Effect) -> bool:
    """Tell whether to look a call up before it is repeated.

    Its error may be stored under the key, or the key may be forgotten by now.
    """
    return effect.attempts >= LOOK_AFTER or effect.age >= KEY_MEMORY


def is_identifier(value: object) -> bool:
    """Tell whether a value is an id that a provider may give: up to 255 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS and value.isprintable()


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


def _parsed(raw: bytes) -> Any:
    """Return the JSON value of a body with its texts cut and cleaned, or None if it is no JSON."""
    try:
        return _cleaned(orjson.loads(raw), MAX_DEPTH)
    except (orjson.JSONDecodeError, RecursionError):
        return None


def _cleaned(value: Any, depth: int) -> Any:
    """Return a JSON value whose texts can be stored. Raises RecursionError for a deep one."""
    if depth == 0:
        raise RecursionError("the answer is nested too deeply")
    match value:
        case str():
            return bounded(value, MAX_TEXT_CHARS)
        case list():
            return [_cleaned(item, depth - 1) for item in value]
        case dict():
            return {
                bounded(name, MAX_ID_CHARS): _cleaned(v, depth - 1) for name, v in value.items()
            }
    return value
