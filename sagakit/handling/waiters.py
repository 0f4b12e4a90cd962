"""Wakes requests that wait for a saga, by the commits of this process.

What another replica commits is seen when all waiting requests look again together, once in
`LOOK_AGAIN_S`.
"""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from sagakit.errors import TooManyWaiting
from sagakit.handling.handler import HandlingResult, MessageHandler
from sagakit.messages.envelope import Message

S = TypeVar("S")
LOOK_AGAIN_S = 1.0
MOST_WAITING = 500
"""The most requests that wait in one process; what they cost others is bounded so."""


class SagaWaiters:
    """Keeps the requests that wait, by saga key. `changed` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, list[asyncio.Event]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = 0

    def changed(self, keys: Sequence[str]) -> None:
        """Wake those who wait for one of these sagas."""
        if not self._events:
            return
        with self._lock:
            woken = [event for key in {*keys} for event in self._events.get(key, ())]
        if woken and self._loop is not None:
            self._loop.call_soon_threadsafe(_set, woken)

    def wait_for(self, key: str) -> "Waiting":
        """Return the place of a request among those that wait, to be entered with `with`.

        Raises TooManyWaiting.
        """
        if self._waiting >= MOST_WAITING:
            raise TooManyWaiting(f"{MOST_WAITING} requests wait here already; ask again later")
        self._loop = asyncio.get_running_loop()
        return Waiting(self, key)

    def add(self, key: str, event: asyncio.Event) -> None:
        """Count one who waits."""
        with self._lock:
            self._waiting += 1
            self._events.setdefault(key, []).append(event)

    def remove(self, key: str, event: asyncio.Event) -> None:
        """Count one who waits no more."""
        with self._lock:
            self._waiting -= 1
            self._events[key].remove(event)
            if not self._events[key]:
                del self._events[key]


class Waiting:
    """Holds the place of one request that waits for a saga."""

    def __init__(self, waiters: SagaWaiters, key: str) -> None:
        self._waiters, self._key, self._event = waiters, key, asyncio.Event()

    def __enter__(self) -> "Waiting":
        self._waiters.add(self._key, self._event)
        return self

    def __exit__(self, *_: object) -> None:
        self._waiters.remove(self._key, self._event)

    async def change(self, most_s: float) -> None:
        """Return once the saga may have changed, after `most_s` seconds at the latest.

        All who wait look again at the same moments, so that their reads are one.
        """
        now = asyncio.get_running_loop().time()
        patience = min(most_s, LOOK_AGAIN_S - now % LOOK_AGAIN_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), patience)
        self._event.clear()


class WakingHandler(Generic[S]):
    """Wraps a handler, and wakes those who wait for the sagas that it has handled."""

    def __init__(self, handler: MessageHandler[S], waiters: SagaWaiters) -> None:
        self._handler, self._waiters = handler, waiters

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[S]]:
        """See `handler.Handler.handle`."""
        fates = self._handler.handle(messages)
        self._waiters.changed([message.key for message in messages])
        return fates


def _set(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        event.set()
