"""The relay on real Kafka and PostgreSQL: no row skipped, each key in order, one leader."""

import random
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from sagakit.faults import Crash, CrashAt
from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.envelope import OutboxRow
from sagakit.outbox.relay import KEEP_DAYS, NEW_EPOCH, LostLeadership, Relay
from sagakit.store.ports import Changes
from sagakit.store.postgres import engine_for
from tests.kafka import create_topic, read, values_by_key
from tests.outbox_rows import EPOCH, LEADERS, Book, Ledger, leading, relay_of, relaying, running
from tests.stack import PATIENCE_S, TestInfra, until
from tests.toy_saga import NOW


def test_rows_that_become_visible_out_of_id_order_are_all_published(book: Book) -> None:
    """Two transactions, the one with the lower id commits last: `id > cursor` would lose it."""
    publisher = Ledger()
    relay = relay_of(book, publisher)
    with leading(book) as (connection, epoch):
        slow = book.database.transaction()
        tx = slow.__enter__()
        inbox_row = tx.lock(["slow"])["slow"]
        tx.write(Changes([inbox_row], [book.row("slow", "1")]), tx.load({}))
        book.write("quick")
        assert relay.publish_once(connection, epoch)
        assert publisher.log == [("quick", "1")]
        slow.__exit__(None, None, None)
        assert relay.publish_once(connection, epoch)
        assert publisher.log == [("quick", "1"), ("slow", "1")]
        assert not relay.publish_once(connection, epoch)
    ids = [book.scalar("SELECT id FROM outbox_sent WHERE key = :k", k=k) for k in ("slow", "quick")]
    assert ids == sorted(ids), "the slow one had the lower id"
    assert book.empty()


def write_much(book: Book, writers: int, each: int, keys: int) -> list[str]:
    """Many writers at once on few keys; returns the keys in the order of their commits."""
    committed: list[str] = []
    barrier = threading.Barrier(writers)

    def work(number: int) -> None:
        rng = random.Random(number)
        barrier.wait()
        for _ in range(each):
            key = f"o{rng.randrange(keys)}"
            pause_s = rng.random() / 200  # makes room for others between insert and commit
            book.write(key, rng.randint(1, 3), partial(time.sleep, pause_s))
            committed.append(key)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(committed) == writers * each
    return committed


def expected(book: Book) -> dict[str, list[str]]:
    with book.engine.connect() as connection:
        rows = connection.execute(text("SELECT key, sent FROM inbox WHERE sent > 0"))
        return {r.key.removeprefix("toy/"): [str(n + 1) for n in range(r.sent)] for r in rows}


@pytest.mark.parametrize("relays", [1, 2])
def test_many_writers_at_once_everything_arrives_in_order_and_once(
    infra: TestInfra, book: Book, relays: int
) -> None:
    with running(infra, book, relays) as running_relays:
        write_much(book, writers=8, each=40, keys=10)
        until(book.empty, "the outbox empty")
        assert sum(relay.leading for relay in running_relays) == 1
    arrived = values_by_key(read(infra.bootstrap_servers, book.topic))
    assert arrived == expected(book), "nothing lost, nothing doubled, each key in order"
    assert len(arrived) == 10
    assert sorted(book.sent()) == sorted((k, v) for k, vs in arrived.items() for v in vs)


def test_one_key_is_on_one_partition_as_faust_and_java_would_have_it(
    infra: TestInfra, book: Book
) -> None:
    with running(infra, book, 1):
        for n in range(30):
            book.write(f"order-{n}", 2)
        until(book.empty, "the outbox empty")
    places: dict[str, set[int]] = {}
    for record in read(infra.bootstrap_servers, book.topic):
        places.setdefault((record.key or b"").decode(), set()).add(record.partition)
    assert places == {key: {murmur2_partition(key.encode(), 3)} for key in places}
    assert set.union(*places.values()) == {0, 1, 2}


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Java's default partitioner, from its definition (Utils.murmur2 of Apache Kafka)."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(key)) & mask
    for i in range(0, len(key) - len(key) % 4, 4):
        k = int.from_bytes(key[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = key[len(key) - len(key) % 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions


# --- one leader ---------------------------------------------------------------------------------


def test_when_the_leaders_connection_dies_the_other_takes_over_and_nothing_is_lost(
    infra: TestInfra, book: Book
) -> None:
    with running(infra, book, 2) as relays:
        until(lambda: any(r.leading for r in relays), "a leader")
        assert book.scalar(EPOCH) == 1
        writing = threading.Thread(target=write_much, args=(book, 6, 40, 8), daemon=True)
        writing.start()
        for epoch in (2, 3, 4):
            book.scalar("SELECT pg_terminate_backend(:pid)", pid=book.scalar(LEADERS))
            until(lambda e=epoch: book.scalar(EPOCH) == e, f"epoch {epoch}")  # type: ignore[misc]
        writing.join(PATIENCE_S)
        until(book.empty, "the outbox empty")
    arrived = values_by_key(read(infra.bootstrap_servers, book.topic))
    firsts = {key: list(dict.fromkeys(values)) for key, values in arrived.items()}
    assert firsts == expected(book), "what came twice came again in order, behind the first time"


def test_a_leader_at_rest_whose_connection_dies_leads_again(infra: TestInfra, book: Book) -> None:
    with running(infra, book, 1) as (relay,):
        for epoch in (2, 3):
            until(lambda: relay.leading, "it leads")
            book.scalar("SELECT pg_terminate_backend(:pid)", pid=book.scalar(LEADERS))
            until(lambda e=epoch: book.scalar(EPOCH) == e, f"epoch {epoch}")  # type: ignore[misc]
        book.write("a")
        until(book.empty, "published")


def test_a_stale_leader_removes_nothing(book: Book) -> None:
    """It was stopped while it published; meanwhile another one was elected."""
    book.write("a", 3)
    stale = Ledger()
    with leading(book) as (connection, old), leading(book) as (other, new):
        with pytest.raises(LostLeadership, match="3 rows were published in epoch"):
            relay_of(book, stale).publish_once(connection, old)
        assert book.waiting() == [("a", "1"), ("a", "2"), ("a", "3")]
        assert book.sent() == []
        assert stale.forgotten == 1, "what it still had in flight is dropped"
        assert relay_of(book, Ledger()).publish_once(other, new)
    assert book.empty()


def test_a_leader_that_lost_its_place_does_not_keep_the_lock(book: Book) -> None:
    """Else no relay of any replica would ever lead again."""
    publisher = Ledger()
    relay = relay_of(book, publisher, poll_s=0.02)
    with relaying(relay):
        until(lambda: relay.leading, "it leads")
        pid = book.scalar(LEADERS)
        with book.engine.begin() as connection:
            connection.execute(NEW_EPOCH)
        book.write("a")
        until(book.empty, "published under a new epoch")
        assert book.scalar(LEADERS) != pid
        assert book.scalar(f"SELECT count(*) FROM ({LEADERS}) AS leaders") == 1
    until(
        lambda: not book.scalar(f"SELECT count(*) FROM ({LEADERS}) AS leaders"), "the lock is free"
    )


def test_waking_never_makes_a_committed_handler_fail(book: Book) -> None:
    nowhere = engine_for("postgresql://nobody@127.0.0.1:1/nothing")
    Relay(nowhere, Ledger(), lambda: NOW).wake()
    nowhere.dispose()


def test_a_relay_elsewhere_is_woken_through_the_database(book: Book) -> None:
    """With a poll interval far longer than the test may take."""
    publisher = Ledger()
    relay = relay_of(book, publisher, poll_s=3600.0)
    with relaying(relay):
        until(lambda: relay.leading, "it leads")
        book.write("a")
        relay_of(book, Ledger()).wake()
        until(lambda: publisher.log == [("a", "1")], "woken from another replica")
        book.write("a")
        relay.wake()
        until(lambda: publisher.log == [("a", "1"), ("a", "2")], "woken from its own process")


def test_what_is_committed_before_the_end_is_published_at_the_end(book: Book) -> None:
    publisher = Ledger()
    relay = relay_of(book, publisher, poll_s=3600.0)
    with relaying(relay):
        until(lambda: relay.leading, "it leads")
        until(lambda: not relay._read.is_set(), "it rests")
        book.write("a", 2)
    assert publisher.log == [("a", "1"), ("a", "2")]


# --- failures -----------------------------------------------------------------------------------


def test_after_a_failed_delivery_it_goes_on_at_the_first_unacknowledged_row(book: Book) -> None:
    book.write("a", 2)
    book.write("b", 1)
    book.write("a", 2)
    publisher = Ledger()
    publisher.failures = [0, 2, 1]
    relay = relay_of(book, publisher)
    with leading(book) as (connection, epoch):
        assert not relay.publish_once(connection, epoch), "not one: rest, then try again"
        assert book.sent() == []
        assert relay.publish_once(connection, epoch)
        assert book.waiting() == [("b", "1"), ("a", "3"), ("a", "4")]
        while relay.publish_once(connection, epoch):
            pass
    assert publisher.log == [("a", "1"), ("a", "2"), ("b", "1"), ("a", "3"), ("a", "4")]
    assert book.sent() == publisher.log


NO_ROOM = """
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER no_room BEFORE INSERT ON outbox_sent FOR EACH ROW EXECUTE FUNCTION no_room();
"""


def test_while_the_database_has_no_room_nothing_is_published_again(book: Book) -> None:
    """A relay that started over would publish the batch again each time, and fill the topic."""
    publisher = Ledger()
    relay = relay_of(book, publisher, poll_s=0.02)
    with book.engine.begin() as connection:
        connection.execute(text(NO_ROOM))
    with capture_logs() as logs, relaying(relay):
        book.write("a", 2)
        until(lambda: sum("trying again" in line["event"] for line in logs) > 3, "it tries again")
        assert relay.leading
        with book.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER no_room ON outbox_sent"))
        until(book.empty, "published")
    assert publisher.log == [("a", "1"), ("a", "2")]
    assert book.scalar(EPOCH) == 1, "the same leader all the time"


def test_a_crash_between_publishing_and_removing_repeats_but_loses_nothing(book: Book) -> None:
    book.write("a", 3)
    publisher = Ledger()
    with leading(book) as (connection, epoch), pytest.raises(Crash):
        relay_of(book, publisher, faults=CrashAt("mid-relay")).publish_once(connection, epoch)
    with leading(book) as (connection, epoch):
        relay_of(book, publisher).publish_once(connection, epoch)
    assert [value for _, value in publisher.log] == ["1", "2", "3", "1", "2", "3"]
    assert book.empty()


def test_the_publisher_says_which_rows_a_dead_broker_never_took(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagakit.kafka.publisher.FLUSH_S", 0.5)
    publisher = Publisher("127.0.0.1:1", "nobody-there")
    rows = [OutboxRow(book.topic, "a", (), b"1", 1), OutboxRow(book.topic, "a", (), b"2", 2)]
    with pytest.raises(PublishFailed) as failed:
        publisher.publish(rows)
    assert failed.value.acknowledged == {}
    assert publisher._producer is None, "the next attempt begins with a new producer"


def test_nothing_overtakes_a_row_the_broker_refuses(
    infra: TestInfra, book: Book, topic_prefix: str
) -> None:
    """An idempotent producer alone goes on with its next batches; consumers would see a gap."""
    narrow = create_topic(
        infra.bootstrap_servers, f"{topic_prefix}narrow", 1, {"max.message.bytes": "20000"}
    )
    large = random.Random(1).randbytes(50_000)
    values = [b"1", large, *(str(n).encode() + bytes(800) for n in range(3, 4000))]
    rows = [OutboxRow(narrow, "a", (), value, n) for n, value in enumerate(values, 1)]
    publisher = Publisher(infra.bootstrap_servers, "narrow")
    with pytest.raises(PublishFailed) as failed:
        publisher.publish(rows)
    assert set(failed.value.acknowledged) <= {1}
    rows[1] = OutboxRow(narrow, "a", (), b"2", 2)
    publisher.publish([r for r in rows if r.id not in failed.value.acknowledged])
    log = [record.value for record in read(infra.bootstrap_servers, narrow)]
    assert list(dict.fromkeys(log)) == [row.value for row in rows]


# --- what was sent is kept ----------------------------------------------------------------------


def test_what_was_published_is_kept_by_the_day_and_old_days_are_dropped(book: Book) -> None:
    today = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    clock = [today]
    relay = Relay(book.engine, Ledger(), lambda: clock[0])

    def publish(key: str) -> list[str]:
        book.write(key)
        with leading(book) as (connection, epoch):
            relay.publish_once(connection, epoch)
        with book.engine.connect() as connection:
            names = text("SELECT DISTINCT tableoid::regclass::text FROM outbox_sent ORDER BY 1")
            return list(connection.execute(names).scalars())

    assert publish("a") == ["outbox_sent_20260301"]
    clock[0] = today + timedelta(seconds=2)
    assert publish("b") == ["outbox_sent_20260301", "outbox_sent_20260302"]
    clock[0] = today + timedelta(days=KEEP_DAYS, seconds=2)
    assert publish("c") == ["outbox_sent_20260302", "outbox_sent_20260402"]
    assert [key for key, _ in book.sent()] == ["b", "c"]
    row = book.scalar("SELECT (topic, headers, sent_at)::text FROM outbox_sent WHERE key = 'b'")
    assert book.topic in row
    clock[0] = today - timedelta(days=1)
    assert "outbox_sent_20260228" in publish("d"), "a clock set back does not jam it"


# --- rows that can never be published -------------------------------------------------------------


def test_a_batch_that_the_broker_refuses_is_halved_and_a_row_too_large_is_set_aside(
    infra: TestInfra, database_url: str, topic_prefix: str
) -> None:
    # Given a topic with a small limit, and rows that do not compress, one of them over the limit
    limit = {"max.message.bytes": "20000"}
    topic = create_topic(infra.bootstrap_servers, f"{topic_prefix}small", 1, limit)
    book, rng = Book(database_url, topic), random.Random(1)
    values = [rng.randbytes(30_000 if n == 20 else 4_000).hex() for n in range(40)]
    book.row = lambda key, value: OutboxRow(  # type: ignore[method-assign]
        topic, key, (("flow", b"toy/1"),), bytes.fromhex(values[int(value) - 1])
    )
    book.write("o1", len(values))
    # When a relay leads
    with running(infra, book, 1):
        until(lambda: book.empty() and len(book.sent()) == 39, lambda: f"{len(book.sent())} sent")
    # Then the others are in the log, once and in order, and the large one waits for a person
    logged = [r.value for r in read(infra.bootstrap_servers, topic)]
    assert logged == [bytes.fromhex(v) for n, v in enumerate(values) if n != 20]
    assert "MSG_SIZE_TOO_LARGE" in book.scalar("SELECT error FROM outbox_refused")
    assert book.scalar("SELECT count(*) FROM outbox_refused") == 1
    book.engine.dispose()


@pytest.mark.parametrize(
    "headers",
    [
        "not json",
        "1",
        '{"a":1}',
        '{"ab":1}',
        '["ab"]',
        '[["a"]]',
        '[["a",null]]',
        '[["a","\u20ac"]]',
    ],
)
def test_a_row_whose_headers_cannot_be_read_is_set_aside(book: Book, headers: str) -> None:
    publisher = Ledger()
    relay = relay_of(book, publisher)
    book.write("a")
    book.write("b")
    with book.engine.begin() as connection:
        connection.execute(text("UPDATE outbox SET headers = :h WHERE key = 'a'"), {"h": headers})
    with leading(book) as (connection, epoch):
        relay.publish_once(connection, epoch)
    assert publisher.log == [("b", "1")]
    assert book.empty()
    assert "headers cannot be read" in book.scalar("SELECT error FROM outbox_refused")
    assert book.scalar("SELECT key FROM outbox_refused") == "a"
