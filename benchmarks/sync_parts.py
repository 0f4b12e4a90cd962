"""Measures the parts that run without an event loop. See `benchmarks.parts`.

Each part works on the rows and events of the part before it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from uuid import uuid5

import psycopg
from confluent_kafka import Producer
from sqlalchemy import Engine

import saga_monitor.storage
import services.inventory
from benchmarks.orders import RESERVE_FIRST, orders
from benchmarks.replay import record
from benchmarks.testbed import Testbed
from saga_lab.devstack.topics import DEFAULT_PARTITIONS
from saga_lab.workload import key_of
from saga_monitor.ingest import faust_stream
from saga_monitor.ingest.projection import Projection
from saga_monitor.storage import store
from sagakit.decider import Do
from sagakit.flow.routing import Router
from sagakit.handling.consumer_loop import BATCH
from sagakit.handling.handler import Handler
from sagakit.handling.parking import decode_message
from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import NAMESPACE, Envelope, OutboxRow, Record, Trace
from sagakit.outbox.relay import NEW_EPOCH, Relay
from sagakit.store.migrate import migrate
from sagakit.store.packed_headers import unpack_headers
from sagakit.store.postgres import PostgresDatabase, engine_for
from schemas import CONTRACT, FLOWS
from schemas.events import OrderPlaced
from services.inventory.decide import Reservation, decide, evolve
from services.inventory.service import participant
from shop.workload.orders import SKUS

DATABASE, BASELINE = "inventory", "order"
"""The testbed's databases for the part and for the replay of its statements. Any two would do."""
MONITOR, MONITOR_BASELINE = "monitor", "payment"
SPARE_TOPIC = "payment.events"
"""The topic for the warm-up and for the baseline's producer. No part uses it otherwise."""
PLENTY = 10**9
SCANS, DUE = 50, 200


@dataclass(frozen=True)
class Part:
    """The rate of one part.

    `baseline_a_second`: the same rows without our code; 0 if unknown. `goal`: the share of the
    baseline that is aimed at; 0 without one.
    """

    name: str
    a_second: float
    baseline_a_second: float = 0.0
    goal: float = 0.0


def placed_records(count: int, flow: str = RESERVE_FIRST) -> list[Record]:
    """Return the OrderPlaced records of `count` orders of a flow, as a consumer reads them."""
    codec, at = Codec(CONTRACT), now()
    records = []
    for number, order in enumerate(orders("parts", 1, count)):
        event = OrderPlaced(order_id=order.order_id, order=order.facts, placed_at=at)
        id_ = uuid5(NAMESPACE, order.order_id)
        envelope = Envelope(id_, key_of(order), "shop", None, at, event, trace=Trace(flow=flow))
        records.append(as_record(codec.encode(envelope), number))
    return records


def as_record(row: OutboxRow, offset: int) -> Record:
    """Return an outbox row as the record that a consumer reads."""
    at_ms = int(time.time() * 1000)
    return Record(row.topic, 0, offset, at_ms, row.key.encode(), row.value, row.headers)


def codec_and_decide(records: Sequence[Record]) -> Iterator[Part]:
    """Measure events a second in one thread: decoding, encoding, and inventory's decisions."""
    codec = Codec(CONTRACT)
    seconds = seconds_for(lambda: [codec.decode(record) for record in records])
    yield Part("codec: decode", len(records) / seconds)
    envelopes = [codec.decode(record) for record in records]
    seconds = seconds_for(lambda: [codec.encode(envelope) for envelope in envelopes])
    yield Part("codec: encode", len(records) / seconds)
    state = Reservation(on_hand=dict.fromkeys(SKUS, PLENTY))
    at = now()

    def decide_all() -> None:
        for envelope in envelopes:
            decision = decide(state, Do(envelope.event), at)
            for event in decision.events:
                evolve(state, event)

    yield Part("inventory: decide and evolve", len(records) / seconds_for(decide_all))


def transaction(testbed: Testbed, records: Sequence[Record]) -> Part:
    """Measure events a second through inventory's transaction, one per batch.

    It covers inbox, state and outbox, deciding and encoding. The events are decoded before.
    Baseline: the same statements and rows.
    """
    engine = migrated_engine(testbed.database(DATABASE), services.inventory)
    migrated_engine(testbed.database(BASELINE), services.inventory).dispose()
    for name in (DATABASE, BASELINE):
        with psycopg.connect(testbed.database(name)) as connection:
            connection.cursor().executemany(
                f"insert into stock values (%s, {PLENTY}, 0, 0, {PLENTY})", [(s,) for s in SKUS]
            )
    codec = Codec(CONTRACT)
    inventory = participant()
    database = PostgresDatabase(engine, inventory.store, now)
    handler = Handler(inventory, database, Router(FLOWS, "inventory"), codec, now)
    messages = [decode_message(codec, record) for record in records]
    with record(engine) as recording:

        def handle_all() -> None:
            for start in range(0, len(messages), BATCH):
                handler.handle(messages[start : start + BATCH])

        seconds = seconds_for(handle_all)
    engine.dispose()
    baseline_s = recording.replay_s(testbed.database(BASELINE))
    name = "inventory: inbox + state + outbox"
    return Part(name, len(records) / seconds, len(records) / baseline_s)


def relay(testbed: Testbed) -> tuple[Part, list[Record]]:
    """Measure events a second from the outbox to the topic; also return these events.

    That is how a relay publishes the rows of other replicas, and after a failure. The removal of
    the outbox rows is included. Baseline: a producer that has the rows in memory.
    """
    with psycopg.connect(testbed.database(DATABASE)) as connection:
        found = connection.execute("select topic, key, headers, value from outbox order by id")
        rows = [OutboxRow(t, k, unpack_headers(h), bytes(v)) for t, k, h, v in found]
    engine = engine_for(testbed.database(DATABASE))
    publisher = Publisher(testbed.bootstrap_servers, "parts")
    # The first send takes half a second longer, so it is not timed.
    publisher.publish([replace(rows[0], topic=SPARE_TOPIC)])
    outbox_relay = Relay(engine, publisher, now)
    with engine.connect() as leading:
        epoch = leading.execute(NEW_EPOCH).scalar_one()
        leading.commit()

        def publish_all() -> None:
            while outbox_relay.publish_once(leading, epoch):
                pass

        seconds = seconds_for(publish_all)
    engine.dispose()
    part = Part("relay from the table", len(rows) / seconds, len(rows) / produce_s(testbed, rows))
    return part, [as_record(row, offset) for offset, row in enumerate(rows)]


def produce_s(testbed: Testbed, rows: Sequence[OutboxRow]) -> float:
    """Return the seconds that a producer takes to publish rows, and no more than that."""
    producer = Producer(
        {
            "bootstrap.servers": testbed.bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "queue.buffering.max.messages": len(rows) + 1,
        }
    )

    def produce_all(some: Sequence[OutboxRow] = rows) -> None:
        for row in some:
            producer.produce(SPARE_TOPIC, row.value, row.key, headers=list(row.headers))
        producer.flush()

    produce_all(rows[:1])
    return seconds_for(produce_all)


def monitor(testbed: Testbed, records: Sequence[Record]) -> Part:
    """Measure events a second into the monitor's database: decoded, folded and written.

    Baseline: the same statements and rows.
    """
    engine = migrated_engine(testbed.database(MONITOR), saga_monitor.storage)
    migrated_engine(testbed.database(MONITOR_BASELINE), saga_monitor.storage).dispose()
    projection = Projection(engine, Codec(CONTRACT), FLOWS)
    with record(engine) as recording:

        def apply_all() -> None:
            for start in range(0, len(records), faust_stream.BATCH):
                projection.apply(records[start : start + faust_stream.BATCH])

        seconds = seconds_for(apply_all)
    engine.dispose()
    baseline_s = recording.replay_s(testbed.database(MONITOR_BASELINE))
    return Part("monitor: fold + projection", len(records) / seconds, len(records) / baseline_s)


def scan(testbed: Testbed, waiting: int) -> Iterator[Part]:
    """Measure deadline scans a second among `waiting` orders with an open deadline."""
    at = now()
    with psycopg.connect(testbed.database(MONITOR), autocommit=True) as connection:
        connection.execute(
            "insert into saga (saga, flow, version, status, next_deadline, partition) "
            "select 'order/waiting-' || n, 'order', 1, 'waiting', "
            "%s + interval '1 day' + n * interval '1 ms', n %% %s from generate_series(1, %s) n",
            [at, DEFAULT_PARTITIONS, waiting],
        )
        connection.execute("vacuum analyze saga")
    engine = engine_for(testbed.database(MONITOR))
    for label, until in (("none due", at), (f"{DUE} due", at + timedelta(days=1.1))):
        through = dict.fromkeys(range(DEFAULT_PARTITIONS), until)

        def scan_all(through: dict[int, datetime] = through) -> None:
            for _ in range(SCANS):
                with engine.connect() as connection:  # not committed: the next scan sees the same
                    store.overdue(connection, through, DUE)

        yield Part(f"deadline scan, {waiting:,} open, {label}", SCANS / seconds_for(scan_all))
    engine.dispose()


def migrated_engine(url: str, package: ModuleType) -> Engine:
    """Migrate a database to the tables of a service or the monitor, and return its engine."""
    engine = engine_for(url)
    migrate(engine, Path(str(package.__file__)).parent / "migrations")
    return engine


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def seconds_for(work: Callable[[], object]) -> float:
    """Return how many seconds the work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
