"""Rehearses trouble of a server; the state is in memory only, so a restart ends it.

POST `/control/<way>` {"seconds"} begins a trouble; 0 seconds end it:

| way | what happens |
|---|---|
| `outage` | POSTs to /v1 answer 503 and do nothing (SMTP: 451) |
| `slow` | POSTs to /v1 are carried out at once and answered 12 s later |
| `garbage` | POSTs to /v1 are carried out, and answered 200 with invalid bytes |
| `callbacks-twice` | each webhook is posted again under the same event id |
| `callbacks-late` | webhooks are held back; at the end all of them are posted at once |
| `callbacks-reversed` | the same, the last one first if a POST with 0 seconds ends it |
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

OUTAGE, SLOW, GARBAGE = "outage", "slow", "garbage"
TWICE, LATE, REVERSED = "callbacks-twice", "callbacks-late", "callbacks-reversed"
SERVER_WAYS, CALLBACK_WAYS = (OUTAGE, SLOW, GARBAGE), (TWICE, LATE, REVERSED)

SLOW_S = 12.0
"""Longer than any caller waits for an answer."""
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

    def begin(self, way: str, seconds: float) -> None:
        self._until[way] = time.monotonic() + seconds

    def on(self, way: str) -> bool:
        return self.left_s(way) > 0

    def left_s(self, way: str) -> float:
        return max(0.0, self._until.get(way, 0.0) - time.monotonic())

    async def disturb_response(self, response: Response) -> Response:
        """Delay or replace the response to a request that was carried out."""
        if self.on(SLOW):
            await asyncio.sleep(SLOW_S)
        if self.on(GARBAGE):
            return Response(next(self._bodies), media_type="application/json")
        return response


class TroubledRoute(APIRoute):
    """Passes each response to a POST through `Trouble.disturb_response`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def disturbed(request: Request) -> Response:
            response = await handle(request)
            if request.method != "POST":
                return response
            trouble: Trouble = request.app.state.trouble
            return await trouble.disturb_response(response)

        return disturbed
