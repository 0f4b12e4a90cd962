"""Requests that wait for a saga's end: woken by commits, bounded, and at nobody's expense."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine

from sagakit.errors import TooManyWaiting
from sagakit.handling.parking import decode_message
from sagakit.handling.request_batcher import RequestBatcher
from sagakit.handling.waiters import MOST_WAITING, SagaWaiters, WakingHandler
from sagakit.messages.codec import Codec
from sagakit.service.definition import TriggerSubmitter
from sagakit.store.postgres import PostgresDatabase, engine_for
from tests.toy_saga import (
    CONTRACT,
    NOW,
    Count,
    Ticked,
    Wire,
    create_tables,
    handler_on,
    table_store,
)
from tests.toy_saga import participant as counter


@dataclass
class Counter:
    """The counter's process as far as requests wait in it."""

    submitter: TriggerSubmitter[Count]
    handler: WakingHandler[Count]
    wire: Wire
    reads: list[int]

    def handles(self, word: str, seq: int) -> None:
        record = self.wire.record(Ticked("a", word), seq)
        self.handler.handle([decode_message(self.wire.codec, record)])


class CountedReads(TriggerSubmitter[Count]):
    reads: list[int]

    def _read(self, keys: Sequence[str]) -> list[Count]:
        self.reads.append(len(keys))
        return super()._read(keys)


@pytest.fixture
def process(database_url: str) -> Iterator[Counter]:
    engine: Engine = engine_for(database_url)
    create_tables(engine)
    store, waiters = table_store(), SagaWaiters()
    database = PostgresDatabase(engine, store, lambda: NOW)
    handler = WakingHandler(handler_on(database, store), waiters)
    batcher: RequestBatcher[Any] = RequestBatcher(handler, threading.Event())
    submitter = CountedReads(counter(store), database, batcher, waiters)
    submitter.reads = []
    yield Counter(submitter, handler, Wire(Codec(CONTRACT)), submitter.reads)
    engine.dispose()


def test_who_waits_is_woken_by_the_commit_and_not_by_looking(process: Counter) -> None:
    async def scenario() -> tuple[list[Count], float, int]:
        # Given many who wait for a saga
        waits = [
            asyncio.create_task(
                process.submitter.watch("toy/a", lambda state: "end" in state.words, 60)
            )
            for _ in range(MOST_WAITING)
        ]
        await asyncio.sleep(0)
        while len(process.reads) < 2:
            await asyncio.sleep(0.01)
        # When its end is committed
        before = len(process.reads)
        began = time.monotonic()
        await asyncio.to_thread(process.handles, "end", 1)
        return await asyncio.gather(*waits), time.monotonic() - began, len(process.reads) - before

    states, took_s, reads = asyncio.run(scenario())
    # Then all are told, by a few reads for all of them together
    assert {state.words for state in states} == {("end",)}
    assert reads <= 2 * MOST_WAITING / 100
    assert took_s < 10


def test_waiting_requests_read_together_and_others_are_served(process: Counter) -> None:
    async def scenario() -> float:
        # Given as many who wait in vain as there may be
        waits = [
            asyncio.create_task(process.submitter.watch(f"toy/{n}", lambda _: False, 3.2))
            for n in range(MOST_WAITING)
        ]
        await asyncio.sleep(1)
        # When one more comes, it is refused, and a request that does not wait is answered
        with pytest.raises(TooManyWaiting, match="ask again later"):
            await process.submitter.watch("toy/a", lambda _: False, 3)
        began = time.monotonic()
        await process.submitter.state("toy/a")
        answered_s = time.monotonic() - began
        await asyncio.gather(*waits)
        # and when they have gone there is room again
        await process.submitter.watch("toy/a", lambda _: True, 0)
        return answered_s

    answered_s = asyncio.run(scenario())
    # Then the reads of all of them were some, not one for each and tenth of a second
    assert len(process.reads) < 60
    assert answered_s < 2


def test_nobody_waits_for_a_state_that_is_there(process: Counter) -> None:
    state = asyncio.run(process.submitter.watch("toy/a", lambda _: True, 60))
    assert (state.words, process.reads) == ((), [1])
