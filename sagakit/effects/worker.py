"""Performs effects: outside calls after commit, at least once, under one idempotency key.

After a timeout or an error the result is unknown, never assumed: the effect is given back and
retried under the same key. An effect whose result is pending (`ResultPending`) is retried too, at
growing intervals. The process that decided an effect usually performs it, because it leases the
effect on insert; if that process dies, the lease expires and another process claims it.

The claim counts the lost attempt before the next one begins, so that an answer that kills the
process is counted as well. After two deaths in a row an effect is called alone, after five it is
set aside: it is called once an hour, and `saga_effects_set_aside` tells.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from traceback import walk_tb
from typing import Any
from uuid import UUID, uuid5

import structlog

from sagakit.decider import Effect, EffectResult
from sagakit.errors import EffectFailed, EffectSetAside, OutcomeUntold, ResultPending, SagaError
from sagakit.faults import NO_FAULTS, Faults
from sagakit.foreign_text import bounded
from sagakit.handling.request_batcher import RequestBatcher
from sagakit.messages.envelope import EffectRow, Lease, Message
from sagakit.messages.trace_ids import log_fields
from sagakit.own_threads import OwnThreads
from sagakit.replay_mode import refuse_in_replay
from sagakit.retry import (
    PENDING_BACKOFF,
    RETRY_BACKOFF,
    Backoff,
    is_transient,
    retry_transaction,
    retry_with_less,
)
from sagakit.stop_signal import StopSignal
from sagakit.store.ports import SUSPECT_AFTER, Clock, EffectQueue

log = structlog.get_logger(__name__)
Perform = Callable[[Effect], Awaitable[Any]]
"""Calls the outside world. Returns a result for `EffectResult`; raises if the result is unknown."""

PerformWrapper = Callable[[EffectRow, Perform], Awaitable[Any]]
"""Performs an effect, and may report on it (metrics, spans)."""

LEASE = timedelta(seconds=15)
MAX_ERROR_CHARS = 2000
HEARTBEAT_S = LEASE.total_seconds() / 3
IN_HAND = 1000
"""The most effects that a process performs at once; none of them has a thread."""
CALL_TIMEOUT_S = 60.0
MOST_DEATHS = 5
"""After so many deaths in a row an effect is set aside: it is called once an hour."""
TIMER_S = 0.01
"""By this much a timer may be early."""
IDLE_S = 5.0
"""How often a worker looks for effects that another one left. It knows when its own are due."""


def error_text_of(error: Exception) -> str:
    """Return the text of a failed call, to be logged and stored.

    An error of the kit, or a gateway's, says what it means to say. The text of any other may quote
    an answer, with a person's data in it: its type and place are enough.
    """
    name = type(error).__name__
    if isinstance(error, SagaError):
        return bounded(f"{name}: {error}", MAX_ERROR_CHARS)
    *_, (frame, line) = walk_tb(error.__traceback__)
    return f"{name} in {frame.f_globals.get('__name__')}, line {line}"


async def perform_plain(row: EffectRow, perform: Perform) -> Any:
    """Perform an effect without reporting on it."""
    return await perform(row.effect)


class EffectWorker:
    """Performs a participant's effects in this process's event loop."""

    def __init__(
        self,
        queue: EffectQueue,
        batcher: RequestBatcher[Any],
        perform: Mapping[str, Perform],
        clock: Clock,
        stop: StopSignal,
        *,
        token: UUID,
        rng: random.Random,
        backoff: Backoff = RETRY_BACKOFF,
        pending_backoff: Backoff = PENDING_BACKOFF,
        faults: Faults = NO_FAULTS,
        wrapper: PerformWrapper = perform_plain,
    ) -> None:
        refuse_in_replay(self)
        self._queue = queue
        self._batcher = batcher
        self._perform = perform
        self._clock = clock
        self._stop = stop
        self._token = token
        self._rng = rng
        self._backoff, self._pending_backoff = backoff, pending_backoff
        self._faults = faults
        self._wrapper = wrapper
        self._in_hand: dict[UUID, EffectRow] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look = asyncio.Event()
        self._threads = OwnThreads("effects", 4)

    def lease(self, row: EffectRow) -> EffectRow:
        """Lease a new effect to this worker before it is inserted; callable from any thread.

        Without a lease if IN_HAND effects are in hand, or the worker is stopping or not started.
        """
        if self._loop is None or self._stop.event.is_set() or len(self._in_hand) >= IN_HAND:
            return row
        return replace(row, lease=Lease(row.id, self._token), lease_until=self._clock() + LEASE)

    def added(self, rows: Sequence[EffectRow]) -> None:
        """Perform committed effects that this worker leased; callable from any thread."""
        mine = [r for r in rows if r.lease]
        if mine and self._loop is not None:
            self._loop.call_soon_threadsafe(self._take, mine)
        if len(mine) < len(rows):
            self.wake()

    def wake(self) -> None:
        """Look for due effects now; callable from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._look.set)

    async def run(self) -> None:
        """Claim due effects without a lease, and extend the leases in hand, until stopped."""
        self._loop = asyncio.get_running_loop()
        beat = asyncio.create_task(self._heartbeat())
        try:
            while not self._stop.is_set():
                self._look.clear()
                if not await self._claim():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._look.wait(), IDLE_S)
        finally:
            beat.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for effects in hand; the leases of unfinished ones expire."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)

    async def _claim(self) -> bool:
        """Claim what there is room for, and perform it. Tells whether there was anything."""
        free = max(0, IN_HAND - len(self._in_hand))
        suspect = all(row.deaths < SUSPECT_AFTER for row in self._in_hand.values())
        claim = lambda most: self._queue.claim(most, LEASE, self._clock(), suspect)  # noqa: E731
        rows = await self._threads.run(retry_with_less, claim, free, self._stop)
        self._take(rows)
        return bool(rows)

    def _take(self, rows: Sequence[EffectRow]) -> None:
        for row in rows:
            self._in_hand[row.id] = row
            task = asyncio.get_running_loop().create_task(self._one(row))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error(
                "the effect failed unexpectedly, it is retried when its lease expires",
                exc_info=task.exception(),
            )

    async def _one(self, row: EffectRow) -> None:
        lease = row.lease
        assert lease is not None
        try:
            if row.deaths >= MOST_DEATHS:
                raise EffectSetAside(row.deaths)
            result = await self._call(row)
            self._faults("after-call")
            outcome = EffectResult(row.effect, result)
            message_id = uuid5(row.id, "outcome")
            await self._tell(
                Message(message_id, row.saga, trace=row.trace, trigger=outcome, lease=lease)
            )
        except Exception as error:
            waits = isinstance(error, ResultPending | OutcomeUntold)
            backoff = self._pending_backoff if waits else self._backoff
            asked = getattr(error, "retry_after", None) or timedelta()
            due = self._clock() + max(asked, backoff.after(row.attempts, self._rng))
            deaths = row.deaths - 1 if isinstance(error, EffectSetAside) else 0
            error_text = error_text_of(error)
            tell = log.info if isinstance(error, ResultPending) else log.warning
            tell(
                "effect will be retried",
                **log_fields(row.saga, row.trace.cause),
                key=row.effect.key,
                due=str(due),
                error=error_text,
            )
            await self._stored(lambda: self._queue.retry(lease, error_text, due, deaths))
            wait_s = max((due - self._clock()).total_seconds(), 0.0) + TIMER_S
            asyncio.get_running_loop().call_later(wait_s, self._look.set)
        finally:
            if len(self._in_hand) >= IN_HAND or row.deaths >= SUSPECT_AFTER:
                self._look.set()
            self._in_hand.pop(row.id, None)

    async def _tell(self, outcome: Message) -> None:
        """Submit an outcome. Raises OutcomeUntold if it is refused whatever is done.

        The call is not at fault then: asking again soon brings the same answer.
        """
        try:
            await self._batcher.submit(outcome)
        except Exception as error:
            if is_transient(error):
                raise
            raise OutcomeUntold(error_text_of(error)) from error

    async def _call(self, row: EffectRow) -> Any:
        perform = self._perform.get(row.effect.kind)
        if perform is None:
            raise EffectFailed(
                f"no function performs effects of kind {row.effect.kind!r}; add it to `perform`"
            )
        age = self._clock() - row.created_at if row.created_at else timedelta()
        known = replace(row.effect, attempts=row.attempts, age=max(age, timedelta()))
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S) as limit:
                return await self._wrapper(replace(row, effect=known), perform)
        except TimeoutError:
            if not limit.expired():
                raise
            raise EffectFailed(f"no result within {CALL_TIMEOUT_S:g} s") from None

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            leases = [row.lease for row in self._in_hand.values() if row.lease]
            if leases:
                until = self._clock() + LEASE
                await self._stored(lambda h=leases, u=until: self._queue.extend(h, u))  # type: ignore[misc]

    def _stored(self, work: Callable[[], Any]) -> Coroutine[Any, Any, Any]:
        """Run a transaction outside the main loop.

        Its retries must not count as signs of life of that loop.
        """
        return self._threads.run(retry_transaction, work, self._stop.event)
