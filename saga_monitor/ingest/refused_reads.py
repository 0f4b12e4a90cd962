"""Goes on reading while the broker refuses a topic, and says which one it refuses.

A right to read may be revoked while the monitor reads, and be given back. Faust ends its consumer
at a refused fetch, and at a refused commit; both are tried again here. Offsets are in the
projection's database, so a commit that is left out loses nothing.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from aiokafka.errors import TopicAuthorizationFailedError  # type: ignore[import-untyped]

T = TypeVar("T")
log = structlog.get_logger(__name__)
PAUSE_S = 0.1
"""The wait after a refusal, of which there is one for each partition of a topic."""
REPORTED_S = 10.0
"""A topic counts as refused for so long after its last refusal, in seconds."""


class RefusedReads:
    """Holds the topics that the broker has refused of late. `now`: a monotonic clock, seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._refused_at: dict[str, float] = {}
        logging.getLogger("aiokafka.consumer.fetcher").addFilter(_is_no_refusal)

    async def heed(self, call: Awaitable[T], otherwise: T) -> T:
        """Return what a call to the broker returns, or `otherwise` if it refuses a topic."""
        try:
            return await call
        except TopicAuthorizationFailedError as error:
            self._note(error)
            await asyncio.sleep(PAUSE_S)
            return otherwise

    def problem(self) -> str | None:
        """Return which topics the broker refuses, None if it refuses none."""
        since = self._now() - REPORTED_S
        found = sorted(topic for topic, at in self._refused_at.copy().items() if at >= since)
        return f"the broker refuses reads, {', '.join(found)}: no right to read" if found else None

    def _note(self, error: TopicAuthorizationFailedError) -> None:
        named = error.args[0] if error.args else ()
        for topic in (named,) if isinstance(named, str) else named:
            if self._now() - self._refused_at.get(topic, -REPORTED_S) >= REPORTED_S:
                log.error("the broker refuses reads", topic=topic)
            self._refused_at[topic] = self._now()


def _is_no_refusal(line: logging.LogRecord) -> bool:
    """Drop the client's own line about each refusal, several in a second."""
    return not line.getMessage().startswith("Not authorized to read from topic")
