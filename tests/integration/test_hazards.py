"""Each known trap of Kafka, PostgreSQL and Python, without its remedy and with it.

What is checked in all: docs/explanation/reliability.md.

Here: cursor over the outbox, two relays, going on after a failed delivery, default partitioners, a
clock ahead, hostile bytes, read-modify-write on stock, unsorted locks, an event over the broker's
limit, one batch in two processes, and Faust's web server.

Elsewhere, since it takes a whole process or a part that is tested there:
- attempts counted before decoding: test_kit_consumer (a record that kills the process);
- an exception in a Faust agent: test_monitor (a batch that cannot be written is not skipped);
- SIGSTOP of real processes: e2e (here: what makes it harmless);
- a stale leader's epoch, what was sent is kept: test_kit_relay;
- repeats dropped, gaps parked: tests/unit/sagakit/test_handler.py, test_handler_sequences.py;
- dead-locks under load: test_inventory_store, and here the order of locks;
- libfaketime: the clock is injected everywhere, tests/architecture/test_purity and here.
"""

import ast
import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import faust
import psycopg
import pytest
from confluent_kafka import Producer
from sqlalchemy import Connection, Engine, exc, text

import sagakit
import services.inventory
from saga_lab.devstack.topics import Topic, create_topics
from sagakit.errors import EventTooLarge, Undecodable
from sagakit.handling.handler import Disposition, decode_message
from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.codec import MAX_EVENT_BYTES, Codec
from sagakit.messages.envelope import OutboxRow, Record
from sagakit.messages.framing import SINGLE_OBJECT, SchemaId
from sagakit.outbox.relay import LEAD, LEADER_LOCK, NEW_EPOCH, Relay, autocommit_connection
from sagakit.retry import retry_transaction
from sagakit.store.migrate import migrate
from sagakit.store.postgres import PostgresDatabase, add_outbox, engine_for
from tests.integration.test_inventory_store import order, restock, run, units
from tests.integration.test_relay import murmur2_partition
from tests.kafka import create_topic, read
from tests.outbox_rows import Book, Ledger
from tests.stack import PATIENCE_S, TestInfra, until
from tests.toy_saga import (
    CONTRACT,
    NOW,
    Ticked,
    Wire,
    create_tables,
    handler_on,
    schema_of,
    table_store,
)

WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
def book(database_url: str) -> Iterator[Book]:
    book = Book(database_url, "nowhere")
    yield book
    book.engine.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    create_tables(engine)
    yield engine
    engine.dispose()


def waits(engine: Engine) -> bool:
    """Somebody waits for a lock in this database."""
    with engine.connect() as connection:
        return bool(connection.execute(text(WAITING)).scalar())


# --- the outbox ---------------------------------------------------------------------------------


def test_a_cursor_over_the_outbox_loses_what_commits_late(book: Book) -> None:
    last, by_cursor, publisher = 0, [], Ledger()
    relay = Relay(book.engine, publisher, lambda: NOW)

    def poll(connection: Connection, epoch: int) -> None:
        nonlocal last
        behind = text("SELECT id, key FROM outbox WHERE id > :last ORDER BY id")
        for row in connection.execute(behind, {"last": last}).all():
            by_cursor.append(row.key)
            last = row.id
        relay.publish_once(connection, epoch)

    with autocommit_connection(book.engine) as connection, book.engine.connect() as late:
        epoch = connection.execute(NEW_EPOCH).scalar_one()
        add_outbox(late, [book.row("late", "1")])
        book.write("early")
        poll(connection, epoch)
        late.commit()
        poll(connection, epoch)
    assert by_cursor == ["early"], "the trap: the lower id became visible behind the cursor"
    assert [key for key, _ in publisher.log] == ["early", "late"]


def test_two_relays_that_share_rows_turn_a_key_round(book: Book) -> None:
    book.write("a", 2)
    share = text("SELECT id, value FROM outbox ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
    log = []
    with book.engine.connect() as one, book.engine.connect() as two:
        first, second = one.execute(share).one(), two.execute(share).one()
        log += [bytes(second.value), bytes(first.value)]  # the second is quicker
        one.rollback()
        two.rollback()
        assert log == [b"2", b"1"], "the trap"
        assert one.execute(LEAD, {"lock": LEADER_LOCK}).scalar() is True
        assert two.execute(LEAD, {"lock": LEADER_LOCK}).scalar() is False, "one leader"


def lagging_rows(topic: str) -> list[OutboxRow]:
    """The second is refused by a narrow topic; the rest is more than one request holds."""
    large = random.Random(1).randbytes(50_000)
    values = [b"1", large, *(str(n).encode() + bytes(800) for n in range(3, 3000))]
    return [OutboxRow(topic, "a", (), value, n) for n, value in enumerate(values, 1)]


def test_going_on_after_a_failed_delivery_turns_a_key_round(
    infra: TestInfra, topic_prefix: str
) -> None:
    servers, config = infra.bootstrap_servers, {"max.message.bytes": "20000"}
    naive = create_topic(servers, f"{topic_prefix}naive", 1, config)
    ours = create_topic(servers, f"{topic_prefix}ours", 1, config)
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 60_000,  # the first two go together, also where this process is slow
        }
    )
    for row in lagging_rows(naive):
        producer.produce(row.topic, key=row.key, value=row.value)
    producer.flush(PATIENCE_S)
    publisher = Publisher(servers, "ours")
    with pytest.raises(PublishFailed):
        publisher.publish(lagging_rows(ours))
    numbers = [int((r.value or b"").rstrip(b"\0")) for r in read(servers, naive)]
    assert min(numbers) > 2, "the trap: what came later is in the log, the first two are not"
    assert read(servers, ours) == []


def test_an_event_over_the_brokers_limit_jams_no_relay(
    infra: TestInfra, book: Book, topic_prefix: str
) -> None:
    book.topic = create_topic(infra.bootstrap_servers, f"{topic_prefix}events", 1)
    relay = Relay(book.engine, Publisher(infra.bootstrap_servers, "jammed"), lambda: NOW)
    codec = Codec(CONTRACT)
    noise = random.Random(1).randbytes(MAX_EVENT_BYTES).hex()
    with autocommit_connection(book.engine) as connection:
        epoch = connection.execute(NEW_EPOCH).scalar_one()
        add_outbox(connection, [book.row("a", noise * 2), book.row("b", "behind")])

        def is_empty() -> bool:
            relay.publish_once(connection, epoch)
            return book.waiting() == []

        until(is_empty, "the relay goes on: a batch that is refused is halved")
        refused = connection.execute(text("SELECT key FROM outbox_refused")).scalars().all()
        assert list(refused) == ["a"], "set aside: it would jam for ever"
        assert [r.key for r in read(infra.bootstrap_servers, book.topic)] == [b"b"]
        with pytest.raises(EventTooLarge):
            codec.body(Ticked("a", noise))
        largest = codec.body(Ticked("a", noise[: MAX_EVENT_BYTES - 100]))
        assert len(largest) > MAX_EVENT_BYTES - 100
        add_outbox(connection, [OutboxRow(book.topic, "a", (), largest)])
        assert relay.publish_once(connection, epoch), "what the codec lets pass, the broker takes"
    assert book.waiting() == []


# --- Kafka --------------------------------------------------------------------------------------


def test_default_partitioners_disagree(infra: TestInfra, topic_prefix: str) -> None:
    servers, keys = infra.bootstrap_servers, [f"order-{n}" for n in range(60)]
    naive = create_topic(servers, f"{topic_prefix}naive", 6)
    ours = create_topic(servers, f"{topic_prefix}ours", 6)
    producer = Producer({"bootstrap.servers": servers})
    for key in keys:
        producer.produce(naive, key=key, value=b"")
    producer.flush(PATIENCE_S)
    Publisher(servers, "ours").publish([OutboxRow(ours, k, (), b"", n) for n, k in enumerate(keys)])

    def astray(topic: str) -> int:
        records = read(servers, topic)
        assert len(records) == len(keys)
        return sum(r.partition != murmur2_partition(r.key or b"", 6) for r in records)

    assert astray(naive) > 30, "the trap: Java and Faust would look elsewhere"
    assert astray(ours) == 0


def test_a_producers_clock_ahead_jams_the_outbox(infra: TestInfra, topic_prefix: str) -> None:
    servers, ahead_ms = infra.bootstrap_servers, int(time.time() * 1000) + 2 * 3_600_000
    naive = create_topic(
        servers, f"{topic_prefix}naive", 1, {"message.timestamp.type": "CreateTime"}
    )
    ours = f"{topic_prefix}ours"
    create_topics(servers, [Topic(ours, 1, 3_600_000)])
    errors: list[Any] = []
    producer = Producer({"bootstrap.servers": servers})
    for topic in (naive, ours):
        producer.produce(
            topic, b"", timestamp=ahead_ms, on_delivery=lambda error, _: errors.append(error)
        )
        producer.flush(PATIENCE_S)
    assert errors[0].name() == "INVALID_TIMESTAMP", "the trap"
    assert errors[1] is None
    (record,) = read(servers, ours)
    assert record.timestamp_ms < ahead_ms - 3_600_000, "the broker's time"


# --- hostile bytes ------------------------------------------------------------------------------

RECURSIVE = schema_of(
    "Ticked", fields=[{"name": "next", "type": ["null", "Ticked"], "default": None}]
)
NULLS = {"name": "nulls", "type": {"type": "array", "items": "null"}}
MILLION = b"\x80\x89\x7a\0"
READ = "import fastavro, io; r = fastavro.schemaless_reader(io.BytesIO({!r}), {!r})"


def test_a_recursive_schema_lets_bytes_kill_the_process() -> None:
    naive = READ.format(b"BODY", RECURSIVE).replace("b'BODY'", "b'\\x02' * 200_000")
    found = subprocess.run([sys.executable, "-c", naive], capture_output=True, check=False)
    assert found.returncode != 0, "the trap"
    refused(RECURSIVE, b"\2" * 200_000)


def test_items_without_width_make_a_million_values_of_four_bytes() -> None:
    nulls = {"type": "record", "name": "Ticked", "fields": [NULLS]}
    naive = READ.format(MILLION, nulls) + "; print(len(r['nulls']))"
    found = subprocess.run([sys.executable, "-c", naive], capture_output=True, check=True)
    assert found.stdout.strip() == b"1000000", "the trap"
    refused(nulls, MILLION)


def refused(schema: dict[str, Any], body: bytes) -> None:
    """Even where somebody has put the schema into the registry."""

    ids = count(1)

    class Registry:
        def register(self, subject: str, schema: Any) -> int:
            return next(ids)

        def current_id(self, subject: str, schema: Any) -> None:
            return None

        def lookup(self, schema_id: SchemaId) -> list[Any]:
            return [schema]

    codec = Codec(CONTRACT, Registry())
    record = Record("left.events", 0, 0, 0, b"a", b"\0\0\0\0\x63" + body)
    with pytest.raises(Undecodable, match="as an event of this contract"):
        codec.decode(record)
    with pytest.raises(Undecodable, match="not of this contract"):
        codec.decode(Record("left.events", 0, 0, 0, b"a", SINGLE_OBJECT + bytes(8) + body))


# --- the database -------------------------------------------------------------------------------


def test_read_modify_write_on_stock_sells_it_twice(database_url: str) -> None:
    engine = engine_for(database_url)
    migrate(engine, Path(services.inventory.__file__).parent / "migrations")
    run(engine, restock("tea", 100), restock("cup", 100))
    see = text("SELECT on_hand FROM stock WHERE sku = 'cup'")
    take = text("UPDATE stock SET on_hand = :left, reserved = 100 - :left WHERE sku = 'cup'")
    with engine.connect() as one, engine.connect() as two:
        left = [c.execute(see).scalar_one() - 60 for c in (one, two)]
        for connection, units_left in zip((one, two), left, strict=True):
            connection.execute(take, {"left": units_left})
            connection.commit()
    assert units(engine, "cup")[1] == 60, "the trap: 120 are promised, 60 are booked"

    with ThreadPoolExecutor(1) as pool, engine.connect() as holder:
        holder.execute(text("SELECT * FROM stock WHERE sku = 'tea' FOR UPDATE"))
        first = pool.submit(run, engine, order("o1", tea=60))
        until(lambda: waits(engine), "the first waits for the row")
        holder.commit()
        first.result(PATIENCE_S)
    events = run(engine, order("o2", tea=60))
    assert [e.type for e in events] == ["InventoryRejected"]
    assert units(engine, "tea") == (40, 60, 0, 100)
    engine.dispose()


def lock_row(connection: Connection, key: str) -> None:
    connection.execute(text("SELECT 1 FROM inbox WHERE key = :key FOR UPDATE"), {"key": key})


def test_row_locks_in_any_order_cause_a_deadlock(engine: Engine) -> None:
    database = PostgresDatabase(engine, table_store(), lambda: NOW)
    with database.transaction() as tx:
        tx.lock(["a", "b"])
    with engine.connect() as one, engine.connect() as two, ThreadPoolExecutor(1) as pool:
        lock_row(one, "a")
        lock_row(two, "b")
        crossing = pool.submit(lock_row, one, "b")
        until(lambda: waits(engine), "one waits for two")
        with pytest.raises((exc.OperationalError, psycopg.Error), match="deadlock"):  # noqa: PT012
            lock_row(two, "a")
            crossing.result(PATIENCE_S)
        one.rollback()
        two.rollback()


@pytest.mark.parametrize("known", [True, False], ids=["orders known", "orders new"])
def test_the_store_locks_rows_in_one_order_and_holds_no_later_one(
    engine: Engine, known: bool
) -> None:
    """While it waits for `a` it does not yet hold `b`, however the keys were given."""
    database = PostgresDatabase(engine, table_store(), lambda: NOW)
    if known:
        with database.transaction() as tx:
            tx.lock(["a", "b"])

    def both() -> None:
        with database.transaction() as tx:
            tx.lock(["b", "a"])

    with engine.connect() as holder, engine.connect() as other, ThreadPoolExecutor(1) as pool:
        make = text("INSERT INTO inbox (key) VALUES (:key) ON CONFLICT DO NOTHING")
        holder.execute(make, {"key": "a"})
        lock_row(holder, "a")
        waiting = pool.submit(both)
        until(lambda: waits(engine), "it waits for a")
        other.execute(text("SET LOCAL lock_timeout = '2s'"))
        other.execute(make, {"key": "b"})
        lock_row(other, "b")
        other.commit()
        holder.commit()
        waiting.result(PATIENCE_S)


def test_a_dead_lock_is_tried_again_as_a_whole() -> None:
    tries = []

    def work() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise exc.OperationalError("x", None, psycopg.errors.DeadlockDetected("deadlock"))
        return "stored"

    assert retry_transaction(work, threading.Event()) == "stored"
    assert len(tries) == 3


def test_one_batch_in_two_processes_is_handled_once(engine: Engine) -> None:
    """SIGSTOP past the session timeout, then SIGCONT: the frozen process goes on with its batch
    while another has read the same records. It is the inbox row with its version that decides."""
    wire = Wire(Codec(CONTRACT))
    records = [wire.record(Ticked(f"o{n}", "call"), 1) for n in range(20)]
    reached, go_on = threading.Event(), threading.Event()

    def freeze(point: str) -> None:
        if point == "before-commit":
            reached.set()
            go_on.wait(PATIENCE_S)

    def process(**options: Any) -> list[Disposition]:
        store = table_store()
        database = PostgresDatabase(engine, store, lambda: NOW)
        handler = handler_on(database, store, **options)
        return [
            h.disposition for h in handler.handle([decode_message(wire.codec, r) for r in records])
        ]

    with ThreadPoolExecutor(2) as pool:
        frozen = pool.submit(process, faults=freeze)
        assert reached.wait(PATIENCE_S)
        other = pool.submit(process)
        assert other.result(PATIENCE_S) == [Disposition.HANDLED] * 20
        go_on.set()
        assert frozen.result(PATIENCE_S) == [Disposition.REPEAT] * 20
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM effects")).scalar() == 20
        assert connection.execute(text("SELECT count(*) FROM outbox")).scalar() == 20


# --- processes ----------------------------------------------------------------------------------


def test_the_monitors_web_server_is_off() -> None:
    """Faust's own binds all interfaces, without authentication, and serves tables."""
    from saga_monitor.ingest.faust_stream import StreamReader
    from sagakit.service.settings import ServiceSettings

    async def ours() -> faust.App:
        settings = ServiceSettings(
            bootstrap_servers="localhost:1", database_url="postgresql://h/d", contract="schemas"
        )
        return StreamReader(settings, ["t"], None, None, None)._app(None)  # type: ignore[arg-type]

    app = asyncio.run(ours())
    assert faust.App("naive").conf.web_enabled is True, "the trap"
    assert app.conf.web_enabled is False
    assert app.conf.consumer_auto_offset_reset == "earliest"


def test_the_kit_reads_no_clock_but_the_injected_one() -> None:
    """`ServiceSettings.now` is the one clock; libfaketime would hang librdkafka."""
    for path in sorted(Path(sagakit.__file__).parent.rglob("*.py")):
        asked = [
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("datetime.now", "datetime.utcnow", "time.time")
        ]
        assert asked == (["datetime.now(UTC)"] if path.name == "settings.py" else []), path.name
