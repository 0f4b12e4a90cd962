"""Measures the parts that run in an event loop: effects and the monitor's stream.

See `benchmarks.parts`.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from uuid import uuid4

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

import saga_monitor.storage
import services.payment
from benchmarks.replay import record
from benchmarks.sync_parts import Part, migrated_engine, now
from benchmarks.testbed import Testbed
from saga_lab.devstack.topics import DEFAULT_PARTITIONS
from saga_monitor.ingest.faust_stream import StreamReader
from saga_monitor.ingest.projection import BatchCounts, Projection
from sagakit.effects.worker import EffectWorker
from sagakit.flow.routing import Router
from sagakit.handling.consumer_loop import BATCH
from sagakit.handling.handler import Handler, HandlingResult, MessageHandler
from sagakit.handling.parking import decode_message
from sagakit.handling.request_batcher import RequestBatcher
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, OutboxRow, Record, TopicPartitionKey
from sagakit.service.settings import ServiceSettings
from sagakit.stop_signal import StopSignal
from sagakit.store.postgres import PostgresDatabase
from schemas import CONTRACT, FLOWS
from schemas.events import InventoryReserved
from services.payment.ledger import CHARGE, Payment
from services.payment.service import participant
from shop.outside.memory import MemoryProvider

DATABASE, BASELINE = "shipping", "notification"
"""The testbed's databases for effects and for the replay of their statements. Any two would do."""
MONITORS = ("fraud", "loyalty")
TOPICS = ["order.events", "inventory.events"]
WAIT_S, POLL_S = 300.0, 0.1


class CountingHandler:
    """Wraps a handler and counts the handled messages. It sets `reached` when none is left."""

    def __init__(self, inner: MessageHandler[Payment], loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop
        self._left, self.reached = 0, asyncio.Event()

    def want(self, count: int) -> None:
        """Expect `count` more messages and clear `reached`."""
        self._left += count
        self.reached.clear()

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[Payment]]:
        """See `MessageHandler`."""
        results = self._inner.handle(messages)
        self._left -= len(results)
        if self._left <= 0:
            self._loop.call_soon_threadsafe(self.reached.set)
        return results


def effects(testbed: Testbed, events: Sequence[Record]) -> Part:
    """Measure charges a second, from the event to the handled outcome.

    Payment handles the event that triggers the charge. The provider answers at once in the same
    process. Payment handles the answer. That makes two transactions per charge, in batches.
    Baseline: the same statements and rows.
    """
    codec = Codec(CONTRACT)
    engine = migrated_engine(testbed.database(DATABASE), services.payment)
    migrated_engine(testbed.database(BASELINE), services.payment).dispose()
    found = [decode_message(codec, event) for event in events]
    messages = [m for m in found if isinstance(m.event, InventoryReserved)]
    for name in (DATABASE, BASELINE):  # the start events of these sagas were read
        with psycopg.connect(testbed.database(name)) as connection:
            connection.cursor().executemany(
                "insert into inbox (key, facts) values (%s, '')", [(m.key,) for m in messages]
            )
    with record(engine) as recording:
        seconds = asyncio.run(
            _seconds_to_charge(PostgresDatabase(engine, participant().store, now), messages)
        )
    engine.dispose()
    baseline_s = recording.replay_s(testbed.database(BASELINE))
    name = "payment: event, effect, outcome"
    return Part(name, len(messages) / seconds, len(messages) / baseline_s)


async def _seconds_to_charge(
    database: PostgresDatabase[Payment], messages: Sequence[Message]
) -> float:
    """Return the seconds until the last outcome is committed."""
    stop = StopSignal()
    handler = Handler(
        participant(),
        database,
        Router(FLOWS, "payment"),
        Codec(CONTRACT),
        now,
        lease=lambda row: worker.lease(row),
        added=lambda rows: worker.added(rows),
    )
    outcomes = CountingHandler(handler, asyncio.get_running_loop())
    batcher = RequestBatcher(outcomes, stop)
    calls = {CHARGE: MemoryProvider().charge}
    worker = EffectWorker(database, batcher, calls, now, stop, token=uuid4(), rng=random.Random(1))
    tasks = [asyncio.create_task(batcher.run()), asyncio.create_task(worker.run())]
    await asyncio.sleep(0)  # starts the worker, which then knows its event loop
    begun = time.perf_counter()
    for start in range(0, len(messages), BATCH):
        batch = messages[start : start + BATCH]
        outcomes.want(len(batch))
        await asyncio.to_thread(handler.handle, batch)
        await asyncio.wait_for(outcomes.reached.wait(), WAIT_S)
    seconds = time.perf_counter() - begun
    stop.set()
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return seconds


class DiscardingProjection(Projection):
    """A projection that discards every event, which leaves the cost of Faust alone."""

    def apply(
        self,
        records: Sequence[Record],
        positions: Mapping[TopicPartitionKey, int] = MappingProxyType({}),
        *,
        again: bool = False,
    ) -> BatchCounts:
        """See `Projection`."""
        self._on_commit(records, ())
        return BatchCounts(len(records), 0)


def stream_reading(testbed: Testbed, records: Sequence[Record]) -> Iterator[Part]:
    """Measure the events a second that one monitor reads: Faust alone, and with the projection.

    Baseline: confluent-kafka reads the same topics. `records`: OrderPlaced events, which this
    function publishes. Inventory's events are in their topic already.
    """
    rows = [
        OutboxRow(r.topic, (r.key or b"").decode(), r.headers, r.value or b"", number)
        for number, r in enumerate(records)
    ]
    Publisher(testbed.bootstrap_servers, "parts").publish(rows)
    baseline = _read_by_client(testbed)
    for name, kind, database in (
        ("monitor: Faust alone", DiscardingProjection, MONITORS[0]),
        ("monitor: Faust and projection", Projection, MONITORS[1]),
    ):
        yield Part(name, asyncio.run(_read(testbed, kind, testbed.database(database))), baseline)


async def _read(testbed: Testbed, kind: type[Projection], database_url: str) -> float:
    """Return the events a second after the first batch; 0 if there is no second batch.

    The first batch does not count: it includes the time to join the consumer group.
    """
    engine, ends = (
        migrated_engine(database_url, saga_monitor.storage),
        LogEnds(testbed.bootstrap_servers),
    )
    loop = asyncio.get_running_loop()
    wanted = sum(ends.ends(TOPICS).values())
    batches: list[tuple[float, int]] = []

    def on_commit(read: Sequence[Record], _: object) -> None:
        batches.append((time.perf_counter(), len(read)))
        if sum(count for _, count in batches) >= wanted:
            loop.call_soon_threadsafe(reader.end)

    settings = ServiceSettings(
        bootstrap_servers=testbed.bootstrap_servers,
        database_url=database_url,
        contract="schemas",
        instance_id="parts",
    )
    projection = kind(engine, Codec(CONTRACT), FLOWS, on_commit)
    reader = StreamReader(
        settings, TOPICS, engine, projection, ends, group=f"parts-{kind.__name__}"
    )
    await asyncio.wait_for(reader.run(), WAIT_S)
    engine.dispose()
    (begun, first), (ended, _) = batches[0], batches[-1]
    return (wanted - first) / (ended - begun) if ended > begun else 0.0


def _read_by_client(testbed: Testbed) -> float:
    """Return the records a second that the C client reads from the same topics.

    Time and count begin after the first record.
    """
    wanted = sum(LogEnds(testbed.bootstrap_servers).ends(TOPICS).values())
    consumer = Consumer(
        {"bootstrap.servers": testbed.bootstrap_servers, "group.id": "parts-baseline"}
    )
    consumer.assign(
        [TopicPartition(t, p, OFFSET_BEGINNING) for t in TOPICS for p in range(DEFAULT_PARTITIONS)]
    )
    first = found = len(consumer.consume(1, WAIT_S))
    begun = time.perf_counter()
    while found < wanted:
        found += len(consumer.consume(BATCH, POLL_S))
    seconds = time.perf_counter() - begun
    consumer.close()
    return (wanted - first) / seconds
