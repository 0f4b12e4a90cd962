"""Rehearses trouble of a server; the state is in memory only, so a restart ends it.

POST `/control/<way>` {"seconds"} begins a trouble; 0 seconds end it:

| way | what happens |
|---|---|
| `outage` | POSTs to /v1 answer 503 and do nothing (SMTP: 451) |
| `slow` | POSTs to /v1 are carried out at once and answered 12 s later |
| `garbage` | POSTs to /v1 are carried out, and answered 200 with invalid bytes |
| `hostile` | POSTs to /v1 are carried out, and answered 422 with what was sent, and controls |
| `huge` | POSTs to /v1 are carried out, and answered with 64 MiB, every other one compressed |
| `stored` | POSTs to /v1 are carried out and answered 500, and so is their key ever after |
| `banning` | POSTs to /v1 answer 429 with `Retry-After: 3`, and do nothing |
| `callbacks-twice` | each webhook is posted again under the same event id |
| `callbacks-late` | webhooks are held back; at the end all of them are posted at once |
| `callbacks-reversed` | the same, the last one first if a POST with 0 seconds ends it |
"""

import asyncio
import gzip
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

OUTAGE, SLOW, GARBAGE = "outage", "slow", "garbage"
HOSTILE, HUGE, STORED, BANNING = "hostile", "huge", "stored", "banning"
TWICE, LATE, REVERSED = "callbacks-twice", "callbacks-late", "callbacks-reversed"
SERVER_WAYS = (OUTAGE, SLOW, GARBAGE, HOSTILE, HUGE, STORED, BANNING)
CALLBACK_WAYS = (TWICE, LATE, REVERSED)

SLOW_S = 12.0
"""Longer than any caller waits for an answer."""
BAN_S = 3
HUGE_BYTES = 64 * 1024 * 1024
PIECE = b" " * 65_536
UNUSABLE_BODIES = (
    b"",
    b"<html><body>502 Bad Gateway</body></html>",
    b'{"id": "ch_',
    b"[]",
    b"{}",
    b'{"id": null, "status": "excellent"}',
    b"\xff\xfe\x00",
)


class Trouble:
    """Tracks each active trouble and its end."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._bodies: Iterator[bytes] = itertools.cycle(UNUSABLE_BODIES)
        self._huge = itertools.cycle((_endless, _bomb))
        self._failed: set[str] = set()

    def banned(self) -> Response | None:
        """Return the refusal of a request while a ban holds, None if there is none."""
        if not self.on(BANNING):
            return None
        error = {"code": "rate_limited", "message": f"\x1b[2Jask again in {BAN_S} s"}
        return Response(
            orjson.dumps({"error": error}), 429, {"Retry-After": str(BAN_S)}, "application/json"
        )

    def stored(self, request: Request) -> Response | None:
        """Return the 500 that is stored under the request's key, None if there is none."""
        return _failure() if _key(request) in self._failed else None

    def begin(self, way: str, seconds: float) -> None:
        self._until[way] = time.monotonic() + seconds

    def on(self, way: str) -> bool:
        return self.left_s(way) > 0

    def left_s(self, way: str) -> float:
        return max(0.0, self._until.get(way, 0.0) - time.monotonic())

    async def disturb_response(self, request: Request, response: Response) -> Response:
        """Delay or replace the response to a request that was carried out."""
        if self.on(SLOW):
            await asyncio.sleep(SLOW_S)
        if self.on(GARBAGE):
            return Response(next(self._bodies), media_type="application/json")
        if self.on(HOSTILE):
            return _hostile(await request.body())
        if self.on(HUGE):
            return next(self._huge)()
        if self.on(STORED):
            self._failed.add(_key(request))
            return _failure()
        return response


def _key(request: Request) -> str:
    return f"{request.url.path} {request.headers.get('Idempotency-Key')}"


def _failure() -> Response:
    error = {"code": "internal_error", "message": "this answer is stored under its key"}
    return Response(orjson.dumps({"error": error}), 500, media_type="application/json")


def _hostile(asked: bytes) -> Response:
    """Return an error that quotes the request, in JSON that holds what no terminal should get."""
    quoted = asked.decode(errors="replace").upper()
    error = {"code": f"no_{quoted[:2000]}", "message": f"\x1b]52;c;AA\x07\u202e\0{quoted}"}
    return Response(orjson.dumps({"status": quoted, "error": error}), 422)


def _endless() -> Response:
    pieces = (PIECE for _ in range(HUGE_BYTES // len(PIECE)))
    return StreamingResponse(pieces, media_type="application/json")


def _bomb() -> Response:
    headers = {"Content-Encoding": "gzip"}
    return Response(gzip.compress(bytes(HUGE_BYTES)), 200, headers, "application/json")


class TroubledRoute(APIRoute):
    """Passes each response to a POST through `Trouble.disturb_response`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def disturbed(request: Request) -> Response:
            trouble: Trouble = request.app.state.trouble
            if request.method != "POST":
                return await handle(request)
            if refusal := trouble.banned() or trouble.stored(request):
                return refusal
            response = await handle(request)
            return await trouble.disturb_response(request, response)

        return disturbed
