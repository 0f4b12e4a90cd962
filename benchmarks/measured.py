"""Measures single parts, each on the rows and events that the one before it left.

See `benchmarks.parts`.
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

import saga_monitor
import services.inventory
from benchmarks.bare import recorded
from benchmarks.orders import orders
from benchmarks.site import Site
from saga_lab.devstack.topics import DEFAULT_PARTITIONS
from saga_lab.workload.orders import SKUS
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
from sagakit.store.postgres import PostgresDatabase, engine_for, unpack_headers
from schemas import CONTRACT, FLOWS
from schemas.events import OrderPlaced
from services.inventory.decide import Reservation, decide, evolve
from services.inventory.service import participant

OURS, BARE = "inventory", "order"
"""The site's databases for the part and for its bare replay; any two would do."""
MONITOR, BARE_MONITOR = "monitor", "payment"
ELSEWHERE = "payment.events"
"""The topic for warm-up and for the bare producer; nothing else here writes or reads it."""
PLENTY = 10**9
SCANS, DUE = 50, 200


@dataclass(frozen=True)
class Part:
    """The rate of one part. `bare_a_second`: the same rows without our code; 0 if not measured."""

    name: str
    a_second: float
    bare_a_second: float = 0.0


def placed(count: int) -> list[Record]:
    """Return the OrderPlaced records of `count` orders, as a consumer reads them."""
    codec, at = Codec(CONTRACT), now()
    records = []
    for number, order in enumerate(orders("parts", 1, count)):
        event = OrderPlaced(order_id=order.order_id, order=order.facts, placed_at=at)
        id_ = uuid5(NAMESPACE, order.order_id)
        envelope = Envelope(
            id_, order.order_id, "shop", None, at, event, trace=Trace(flow=order.flow)
        )
        records.append(as_record(codec.encode(envelope), number))
    return records


def as_record(row: OutboxRow, offset: int) -> Record:
    """Return an outbox row as the record that a consumer reads."""
    at_ms = int(time.time() * 1000)
    return Record(row.topic, 0, offset, at_ms, row.key.encode(), row.value, row.headers)


def codec_and_decide(records: Sequence[Record]) -> Iterator[Part]:
    """Measure events a second in one thread: decoding, encoding, and inventory's decisions."""
    codec = Codec(CONTRACT)
    seconds = _seconds(lambda: [codec.decode(record) for record in records])
    yield Part("codec: decode", len(records) / seconds)
    envelopes = [codec.decode(record) for record in records]
    seconds = _seconds(lambda: [codec.encode(envelope) for envelope in envelopes])
    yield Part("codec: encode", len(records) / seconds)
    state = Reservation(on_hand=dict.fromkeys(SKUS, PLENTY))
    at = now()

    def decided() -> None:
        for envelope in envelopes:
            decision = decide(state, Do(envelope.event), at)
            for event in decision.events:
                evolve(state, event)

    yield Part("inventory: decide and evolve", len(records) / _seconds(decided))


def transaction(site: Site, records: Sequence[Record]) -> Part:
    """Measure events a second through inventory's transaction, one per batch.

    It covers inbox, state and outbox, deciding and encoding; the events are decoded beforehand.
    Bare: the same statements and rows.
    """
    engine = prepared(site.database(OURS), services.inventory)
    prepared(site.database(BARE), services.inventory).dispose()
    for name in (OURS, BARE):
        with psycopg.connect(site.database(name)) as connection:
            connection.cursor().executemany(
                f"insert into stock values (%s, {PLENTY}, 0, 0, {PLENTY})", [(s,) for s in SKUS]
            )
    codec = Codec(CONTRACT)
    taking_part = participant()
    database = PostgresDatabase(engine, taking_part.store, now)
    handler = Handler(taking_part, database, Router(FLOWS, "inventory"), codec, now)
    messages = [decode_message(codec, record) for record in records]
    with recorded(engine) as recording:

        def handled() -> None:
            for start in range(0, len(messages), BATCH):
                handler.handle(messages[start : start + BATCH])

        seconds = _seconds(handled)
    engine.dispose()
    bare_s = recording.replay_s(site.database(BARE))
    name = "inbox + state + outbox transaction"
    return Part(name, len(records) / seconds, len(records) / bare_s)


def relay(site: Site) -> tuple[Part, list[Record]]:
    """Measure events a second from the outbox to the topic, and return these events too.

    The removal of the outbox rows is included. Bare: a producer that has the rows in memory.
    """
    with psycopg.connect(site.database(OURS)) as connection:
        found = connection.execute("select topic, key, headers, value from outbox order by id")
        rows = [OutboxRow(t, k, unpack_headers(h), bytes(v)) for t, k, h, v in found]
    engine = engine_for(site.database(OURS))
    publisher = Publisher(site.bootstrap_servers, "parts")
    # The first send takes half a second longer, so it is not timed.
    publisher.publish([replace(rows[0], topic=ELSEWHERE)])
    moving = Relay(engine, publisher, now)
    with engine.connect() as leading:
        epoch = leading.execute(NEW_EPOCH).scalar_one()
        leading.commit()

        def moved() -> None:
            while moving.publish_once(leading, epoch):
                pass

        seconds = _seconds(moved)
    engine.dispose()
    producer = Producer(
        {
            "bootstrap.servers": site.bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "queue.buffering.max.messages": len(rows) + 1,
        }
    )

    def produced(some: Sequence[OutboxRow] = rows) -> None:
        for row in some:
            producer.produce(ELSEWHERE, row.value, row.key, headers=list(row.headers))
        producer.flush()

    produced(rows[:1])
    part = Part("relay", len(rows) / seconds, len(rows) / _seconds(produced))
    return part, [as_record(row, offset) for offset, row in enumerate(rows)]


def monitor(site: Site, records: Sequence[Record]) -> Part:
    """Measure events a second into the monitor's database: decoded, folded and written.

    Bare: the same statements and rows.
    """
    engine = prepared(site.database(MONITOR), saga_monitor)
    prepared(site.database(BARE_MONITOR), saga_monitor).dispose()
    projection = Projection(engine, Codec(CONTRACT), FLOWS)
    with recorded(engine) as recording:

        def applied() -> None:
            for start in range(0, len(records), faust_stream.BATCH):
                projection.apply(records[start : start + faust_stream.BATCH])

        seconds = _seconds(applied)
    engine.dispose()
    bare_s = recording.replay_s(site.database(BARE_MONITOR))
    return Part("monitor: fold + projection", len(records) / seconds, len(records) / bare_s)


def scan(site: Site, waiting: int) -> Iterator[Part]:
    """Measure deadline scans a second among `waiting` orders with an open deadline."""
    at = now()
    with psycopg.connect(site.database(MONITOR), autocommit=True) as connection:
        connection.execute(
            "insert into saga (order_id, flow, version, status, next_deadline, partition) "
            "select 'waiting-' || n, 'order', 1, 'waiting', "
            "%s + interval '1 day' + n * interval '1 ms', n %% %s from generate_series(1, %s) n",
            [at, DEFAULT_PARTITIONS, waiting],
        )
        connection.execute("vacuum analyze saga")
    engine = engine_for(site.database(MONITOR))
    for label, until in (("none due", at), (f"{DUE} due", at + timedelta(days=1.1))):
        through = dict.fromkeys(range(DEFAULT_PARTITIONS), until)

        def looked(through: dict[int, datetime] = through) -> None:
            for _ in range(SCANS):
                with engine.connect() as connection:  # not committed: the next scan sees the same
                    store.overdue(connection, through, DUE)

        yield Part(f"deadline scan, {waiting:,} open, {label}", SCANS / _seconds(looked))
    engine.dispose()


def prepared(url: str, package: ModuleType) -> Engine:
    """Migrate a database to the tables of a service or the monitor, and return its engine."""
    engine = engine_for(url)
    migrate(engine, Path(str(package.__file__)).parent / "migrations")
    return engine


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
