"""Workers that perform effects, on a database they share and with an outside world that a test
answers for."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from sagakit.decider import Effect
from sagakit.effects import worker
from sagakit.effects.worker import EffectWorker
from sagakit.faults import NO_FAULTS, Faults
from sagakit.handling.handler import Disposition, Handler, decode_message
from sagakit.handling.request_batcher import RequestBatcher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import EffectRow
from sagakit.retry import Backoff, retry_transaction
from sagakit.stop_signal import StopSignal
from sagakit.store.memory import MemoryDatabase, MemoryStore
from tests.stack import PATIENCE_S
from tests.toy_saga import CONTRACT, NOW, Count, Ticked, Wire, handler_on, toy

Call = Callable[[Effect], Awaitable[Any]]


@dataclass
class Site:
    """A participant's database that several workers share, and a clock they all look at."""

    database: Any = None
    store: Any = None
    now: datetime = NOW
    words: Callable[[str], tuple[str, ...]] = lambda key: ()

    def __post_init__(self) -> None:
        if self.database is None:
            self.store = MemoryStore(Count())
            self.database = MemoryDatabase(self.store, NOW)
            self.words = lambda key: self.store.states.get(toy(key), Count()).words

    def clock(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def advance(self, by: timedelta) -> None:
        self.now += by
        if isinstance(self.database, MemoryDatabase):
            self.database.now = self.now

    def pending(self) -> dict[str, EffectRow]:
        rows = (p.row for p in self.database.tables.effects.values())
        return {row.effect.idempotency_key: row for row in rows}


@dataclass
class Outside:
    """The outside world: remembers keys, answers as told."""

    calls: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    answer: Call | None = None

    async def __call__(self, effect: Effect) -> Any:
        self.calls.append(effect.idempotency_key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.answer(effect) if self.answer else "ok"
        finally:
            self.at_once -= 1


class Deaf:
    """The queue of a worker whose heartbeats do not arrive: it hangs, or is cut off."""

    def __init__(self, queue: Any) -> None:
        self.claim, self.retry = queue.claim, queue.retry

    def extend(self, leases: Any, until: Any) -> None:
        """Lost."""


class Process:
    """One process with an inlet and a worker."""

    def __init__(
        self, site: Site, outside: Call, *, deaf: bool = False, faults: Faults = NO_FAULTS
    ) -> None:
        self.site, self.stop = site, StopSignal(site.monotonic)
        self.wire = Wire(Codec(CONTRACT))
        self.worker: EffectWorker
        self.handler: Handler[Count] = handler_on(
            site.database,
            site.store,
            lease=lambda row: self.worker.lease(row),
            added=lambda rows: self.worker.added(rows),
        )
        self._stop_requests = threading.Event()
        self.batcher = RequestBatcher(self.handler, self._stop_requests)
        self.worker = EffectWorker(
            Deaf(site.database) if deaf else site.database,
            self.batcher,
            {"call": outside},
            site.clock,
            self.stop,
            token=uuid4(),
            rng=random.Random(1),
            backoff=Backoff(first_s=10.0, cap_s=60.0),
            faults=faults,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Process"]:
        tasks = [asyncio.create_task(w) for w in (self.batcher.run(), self.worker.run())]
        await until(lambda: self.worker._loop is not None, "the worker runs")
        try:
            yield self
        finally:
            self.stop.set()
            await self.worker.drain(0.0)
            self._stop_requests.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # a call that a cancelled task has begun goes on, and holds its connection
            for threads in (self.worker._threads, self.batcher._handling):
                await asyncio.to_thread(threads.wait)

    async def reads(self, *words: str, key: str = "a") -> list[Disposition]:
        """Events that come over the bus, in the consumer's thread."""
        records = [self.wire.record(Ticked(key, word)) for word in words]
        messages = [decode_message(self.wire.codec, record) for record in records]
        fates = await asyncio.to_thread(
            retry_transaction, lambda: self.handler.handle(messages), self.stop.event
        )
        return [h.disposition for h in fates]


async def until(condition: Callable[[], bool], what: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not condition():
        if loop.time() > deadline:
            pytest.fail(f"not within {PATIENCE_S:g} s: {what}")
        await asyncio.sleep(0.002)


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


async def settled(site: Site) -> None:
    """The worker has looked for due effects twice since now."""
    looked, claim = [0], site.database.claim

    def counting(*args: Any) -> Any:
        looked[0] += 1
        return claim(*args)

    site.database.claim = counting
    await until(lambda: looked[0] >= 2, "two looks")
    site.database.claim = claim


async def taken_over(site: Site, answer_of_first: Any) -> None:
    """The first worker hangs until the second has taken over and finished; then it answers."""
    go_on = asyncio.Event()

    async def hang(effect: Effect) -> Any:
        await go_on.wait()
        if isinstance(answer_of_first, Exception):
            raise answer_of_first
        return answer_of_first

    slow, quick = Outside(answer=hang), Outside()
    async with Process(site, slow, deaf=True).running() as first:
        await first.reads("call")
        await until(lambda: slow.calls == ["toy/a:call"], "the first calls")
        first.stop.set()  # it does not claim any more: only its hanging call is of interest
        async with Process(site, quick).running():
            await settled(site)
            assert quick.calls == [], "held by the first"
            site.advance(worker.LEASE)
            await until(lambda: "outcome ok" in site.words("a"), "the second takes over")
            go_on.set()
            await until(lambda: not first.worker._tasks, "the first has answered too")
    assert quick.calls == ["toy/a:call"]
    assert site.words("a") == ("called", "outcome ok")
