"""The consumer loop on real Kafka and PostgreSQL: batches, crashes, records that kill, refusals."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy import text

from saga_lab.chaos.raw_batches import ZSTD, publish_raw, with_raw_header
from sagakit.faults import NO_FAULTS, Crash, CrashAt, Faults
from sagakit.handling.attempts import PARK_AFTER
from sagakit.handling.consumer_loop import ConsumerLoop
from sagakit.handling.handler import HandlingResult
from sagakit.identity import split_key
from sagakit.kafka.consumer import BusConsumer
from sagakit.kafka.inspector import lag
from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, OutboxRow, Record, SkippedRecords
from sagakit.store.postgres import PostgresDatabase, engine_for
from tests.kafka import create_topic
from tests.stack import PATIENCE_S, TestInfra, until
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

CUT = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
KEYS = [f"o{n}" for n in range(12)]


class Prefixed:
    """A bus whose topics carry the test's prefix, which the participant does not see."""

    def __init__(self, bus: BusConsumer, prefix: str) -> None:
        self.bus, self._prefix = bus, prefix

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        found = self.bus.poll(limit, timeout_s)
        return [replace(r, topic=r.topic.removeprefix(self._prefix)) for r in found]

    def store(self, records: Sequence[Record]) -> None:
        self.bus.store([replace(r, topic=self._prefix + r.topic) for r in records])

    def commit(self) -> None:
        self.bus.commit()


class Deadly(Codec):
    """Decoding a record that holds these bytes kills the process."""

    deadly = b"kills"

    def decode(self, record: Record) -> Any:
        if self.deadly in (record.value or b""):
            raise Crash("decode")
        return super().decode(record)


class Place:
    """The counter with a database and a topic of its own."""

    def __init__(self, infra: TestInfra, url: str, prefix: str) -> None:
        self.infra, self.url, self.prefix = infra, url, prefix
        self.engine = engine_for(url)
        create_tables(self.engine)
        self.topic = create_topic(infra.bootstrap_servers, f"{prefix}left.events", 3)
        self.wire = Wire(Codec(CONTRACT))
        self.publisher = Publisher(infra.bootstrap_servers, "test")
        self.seqs: dict[str, int] = {}

    def publish(self, *records: Record) -> None:
        rows = [
            OutboxRow(self.prefix + r.topic, (r.key or b"").decode(), r.headers, r.value or b"", n)
            for n, r in enumerate(records, 1)
        ]
        self.publisher.publish(rows)

    def tick(self, key: str, word: str) -> Record:
        self.seqs[key] = self.seqs.get(key, 0) + 1
        return self.wire.record(Ticked(key, word), self.seqs[key])

    def ticks(self, count: int, word: str = "w") -> list[Record]:
        return [self.tick(KEYS[n % len(KEYS)], f"{word}{n}") for n in range(count)]

    def rows(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(r) for r in connection.execute(text(query))]

    def words(self) -> dict[str, list[str]]:
        return {
            split_key(saga)[1]: words for saga, words in self.rows("SELECT saga, words FROM counts")
        }

    def counted(self) -> int:
        return sum(len(words) for words in self.words().values())

    def parked(self) -> list[tuple[str, str, str]]:
        rows = self.rows("SELECT key, code, error FROM parked ORDER BY id")
        return [(split_key(key)[1], code, error) for key, code, error in rows]

    def left_to_read(self) -> int:
        return lag(self.infra.bootstrap_servers, f"{self.prefix}counter", [self.topic])


class Replica:
    """One process' consumer loop, in a thread; it dies of what the loop raises."""

    def __init__(
        self,
        place: Place,
        instance: str = "one",
        *,
        faults: Faults = NO_FAULTS,
        in_handler: Faults = NO_FAULTS,
        codec: Codec | None = None,
        skipped: SkippedRecords = MappingProxyType({}),
    ) -> None:
        self.place, self.stop = place, threading.Event()
        self.error: BaseException | None = None
        self.batches: list[int] = []
        self.engine = engine_for(place.url)
        store = table_store()
        database = PostgresDatabase(self.engine, store, lambda: NOW)
        self._handler = handler_on(database, store, faults=in_handler)
        self.bus = BusConsumer(
            place.infra.bootstrap_servers,
            f"{place.prefix}counter",
            instance,
            [place.topic],
            self._assigned,
            skipped=lambda: skipped,
        )
        prefixed = Prefixed(self.bus, place.prefix)
        codec = codec or place.wire.codec
        self.loop = ConsumerLoop(prefixed, codec, self, self.engine, self.stop, faults=faults)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _assigned(self, partitions: Sequence[tuple[str, int]]) -> None:
        self.loop.assigned([(t.removeprefix(self.place.prefix), p) for t, p in partitions])

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[Count]]:
        self.batches.append(len(messages))
        return self._handler.handle(messages)

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as error:
            self.error = error
        finally:
            self.bus.close()
            self.engine.dispose()

    def dies(self) -> None:
        """Wait for its death."""
        self._thread.join(PATIENCE_S)
        assert isinstance(self.error, Crash)

    def ends(self) -> None:
        """Stop it in good order."""
        self.stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        assert self.error is None, self.error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def until(self, look: Callable[[], Any], what: str) -> None:
        """Wait for something while it lives."""
        until(lambda: not self.alive or look(), what)
        assert self.alive, repr(self.error)


@pytest.fixture
def place(infra: TestInfra, database_url: str, topic_prefix: str) -> Iterator[Place]:
    place = Place(infra, database_url, topic_prefix)
    yield place
    place.engine.dispose()


Start = Callable[..., Replica]


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    started: list[Replica] = []

    def begin(instance: str = "one", **options: Any) -> Replica:
        started.append(Replica(place, instance, **options))
        return started[-1]

    yield begin
    for replica in started:
        replica.stop.set()
        replica._thread.join(PATIENCE_S)


# --- batches ------------------------------------------------------------------------------------


def test_what_waits_is_taken_in_few_transactions(place: Place, start: Start) -> None:
    place.publish(*place.ticks(900))
    replica = start()
    until(lambda: place.counted() == 900, "all counted")
    assert len(replica.batches) < 90, "one transaction a micro-batch, not a message"
    assert max(replica.batches) <= 500
    for key, words in place.words().items():
        numbers = [int(w[1:]) for w in words]
        assert numbers == sorted(numbers), key
    replica.ends()
    assert place.left_to_read() == 0


def test_a_lone_message_does_not_wait_for_others(place: Place) -> None:
    """One record that is there comes before the time to wait for 500 is over."""
    bus = BusConsumer(place.infra.bootstrap_servers, f"{place.prefix}g", "one", [place.topic])
    until(lambda: bus.poll(500, 0.1) == [] and len(bus.assigned) == 3, "partitions")
    place.publish(place.tick("o1", "alone"))
    began = time.monotonic()
    found = bus.poll(500, PATIENCE_S)
    assert len(found) == 1
    assert time.monotonic() - began < PATIENCE_S
    bus.close()


def test_two_replicas_share_the_partitions_and_count_once(place: Place, start: Start) -> None:
    first = start("one")
    place.publish(*place.ticks(60))
    until(lambda: len(first.bus.assigned) == 3, "the first has all")
    second = start("two")
    until(lambda: 0 < len(second.bus.assigned) < 3, "the second has a share")
    place.publish(*place.ticks(240, "more"))
    until(lambda: place.counted() == 300, "all counted")
    assert place.parked() == []
    assert second.batches
    first.ends()
    second.ends()


# --- crashes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["after-poll", "after-inbox", "before-commit", "after-commit"])
def test_a_crash_anywhere_leaves_effects_and_events_exactly_once(
    place: Place, start: Start, point: str
) -> None:
    records = [place.tick(key, "call") for key in KEYS] + place.ticks(48)
    place.publish(*records)
    crash = CrashAt(point)
    in_loop = crash if point == "after-poll" else NO_FAULTS
    start(faults=in_loop, in_handler=NO_FAULTS if in_loop is crash else crash).dies()
    start()
    until(lambda: place.counted() == len(records), "all counted")
    assert place.rows("SELECT count(*) FROM effects") == [(len(KEYS),)]
    own = place.rows("SELECT key, headers FROM outbox")
    assert len(own) == len(set(own)) == len(records)
    assert place.parked() == []


def test_offsets_are_committed_only_for_what_is_in_the_database(place: Place, start: Start) -> None:
    place.publish(*place.ticks(30))
    start(in_handler=CrashAt("before-commit")).dies()
    assert place.left_to_read() == 30
    assert place.counted() == 0


# --- records that kill --------------------------------------------------------------------------


def test_a_record_that_kills_the_process_is_given_up_and_its_neighbours_are_not(
    place: Place, start: Start
) -> None:
    killer = place.tick("o1", Deadly.deadly.decode())
    before, after = place.ticks(36), [place.tick("o1", "behind it"), *place.ticks(36, "x")]
    behind = sum(r.key == b"o1" for r in before) + 1 + sum(r.key == b"o1" for r in after[1:])
    place.publish(killer, *before, *after)
    deaths = 0
    while (replica := start(codec=Deadly(CONTRACT))) and deaths < 20:
        until(lambda r=replica: not r.alive or place.left_to_read() == 0, "a death or the end")  # type: ignore[misc]
        if replica.alive:
            break
        deaths += 1
    assert deaths == PARK_AFTER - 2
    parked = place.parked()
    assert parked[0][:2] == ("o1", "undecodable")
    assert "the process stopped each time it handled this record" in parked[0][2]
    assert [(key, code) for key, code, _ in parked[1:]] == [("o1", "queued")] * behind
    counted = place.words()
    assert set(counted) == set(KEYS) - {"o1"}, "all other orders went on"
    assert sum(map(len, counted.values())) == len(before) + len(after) - behind
    (dead_letter,) = place.rows("SELECT topic, value FROM outbox WHERE topic LIKE '%.dlt'")
    assert dead_letter == ("counter.dlt", killer.value)


def test_headers_that_the_client_cannot_read_cost_their_own_record_only(
    place: Place, start: Start
) -> None:
    # Given a record with a header name that is no UTF-8, among good ones
    before, bad, behind = (place.tick(key, "word") for key in ("o1", "o2", "o3"))
    rows = [
        OutboxRow(place.topic, (r.key or b"").decode(), r.headers, r.value or b"")
        for r in (before, bad, behind)
    ]
    rows[1] = with_raw_header(rows[1])
    publish_raw(place.infra.bootstrap_servers, rows)
    # When they are consumed
    replica = start()
    replica.until(
        lambda: place.counted() == 2 and place.parked() != [], "the good ones are counted"
    )
    # Then it is parked with its reason and has a dead letter, and the partition flows
    [(_, code, error)] = place.parked()
    assert code == "undecodable"
    assert "header names must be UTF-8" in error
    assert place.rows("SELECT value FROM outbox WHERE topic LIKE '%.dlt'") == [(bad.value,)]
    until(lambda: place.left_to_read() == 0, "all is read")
    replica.ends()


def test_a_batch_that_cannot_be_unpacked_costs_its_own_records_only(
    place: Place, start: Start
) -> None:
    # Given small batches that unpack to very large records, and a good record behind each
    ticks = [place.tick(f"o{n}", "word") for n in range(3)]
    good = [
        OutboxRow(place.topic, (r.key or b"").decode(), r.headers, r.value or b"") for r in ticks
    ]
    for tick, records, size in zip(good, (1, 40, 1), (150, 4, 40), strict=True):
        bomb = OutboxRow(place.topic, "bomb", (), bytes(size * 2**20))
        publish_raw(place.infra.bootstrap_servers, [bomb] * records, compression=ZSTD)
        publish_raw(place.infra.bootstrap_servers, [tick])
    # When they are consumed
    replica = start()
    replica.until(lambda: place.counted() == 3, "the good ones are counted")
    # Then one parked record says for each batch which offsets were given up
    found = place.rows('SELECT "offset", code, error FROM parked ORDER BY id')
    assert [(offset, code) for offset, code, _ in found] == [
        (0, "undecodable"),
        (41, "undecodable"),
        (43, "undecodable"),
    ]
    assert all("cannot be unpacked" in error for *_, error in found)
    until(lambda: place.left_to_read() == 0, "all is read")
    replica.ends()


def test_a_skipped_record_is_passed_over_unread_and_parked_with_the_reason(
    place: Place, start: Start
) -> None:
    # Given two records that kill the process, noted to be skipped: the first, and one behind it
    killers = [place.tick("o1", Deadly.deadly.decode()) for _ in range(2)]
    good = [place.tick(key, "word") for key in ("o2", "o3")]
    rows = [
        OutboxRow(place.topic, (r.key or b"").decode(), r.headers, r.value or b"")
        for r in (killers[0], good[0], killers[1], good[1])
    ]
    publish_raw(place.infra.bootstrap_servers, rows)
    why = {(place.topic, 0, offset): f"skipped by ops: {offset}" for offset in (0, 2)}
    # When the process starts
    replica = start(codec=Deadly(CONTRACT), skipped=why)
    replica.until(
        lambda: place.counted() == 2 and len(place.parked()) == 2, "the others are counted"
    )
    # Then both are parked with the reason, without being read
    assert [error for *_, error in place.parked()] == ["skipped by ops: 0", "skipped by ops: 2"]
    until(lambda: place.left_to_read() == 0, "all is read")
    replica.ends()


# --- what the database refuses ------------------------------------------------------------------


def test_a_record_that_the_database_refuses_is_found_and_parked(place: Place, start: Start) -> None:
    """A zero character is text for Avro and none for PostgreSQL."""
    place.publish(*place.ticks(48), place.tick("o3", "n\0l"), *place.ticks(48, "x"))
    start()
    refused = sum(1 for n in range(48) if KEYS[n % 12] == "o3")
    until(lambda: place.counted() == 96 - refused, "all others counted")
    (first, *queued) = place.parked()
    assert first[:2] == ("o3", "undecodable")
    assert "the database rejects the record" in first[2]
    assert [(key, code) for key, code, _ in queued] == [("o3", "queued")] * refused


def test_a_text_too_long_for_an_index_is_refused_too(place: Place, start: Start) -> None:
    """psycopg calls it an OperationalError; tried again it would fail for ever."""
    with place.engine.begin() as connection:
        connection.execute(text("CREATE INDEX ON counts ((words[array_length(words, 1)]))"))
    rng = random.Random(1)
    long = "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(20_000))
    place.publish(place.tick("o1", "good"), place.tick("o2", long), place.tick("o3", "good"))
    start()
    until(lambda: len(place.parked()) == 1, "parked")
    assert place.parked()[0][:2] == ("o2", "undecodable")
    until(lambda: set(place.words()) == {"o1", "o3"}, "the others")


def test_a_redrive_goes_on_to_what_the_database_refuses_and_says_so(
    place: Place, start: Start
) -> None:
    missing = place.tick("o1", "first")
    place.publish(place.tick("o1", "second"), place.tick("o1", "n\0l"), place.tick("o1", "last"))
    start()
    until(lambda: len(place.parked()) == 3, "parked")
    place.publish(missing)
    until(lambda: len(place.parked()) == 2 and place.words() != {}, "redriven to the refusal")
    assert place.words() == {"o1": ["first", "second"]}
    until(lambda: place.parked()[0][1] == "undecodable", "the reason is told")
    assert "the database rejects the record" in place.parked()[0][2]
    assert place.parked()[1][1] == "queued"
    place.publish(place.tick("o2", "still consuming"))
    until(lambda: "o2" in place.words(), "the partition flows on")


# --- a database that goes away ------------------------------------------------------------------


def test_a_database_that_restarts_in_the_middle_of_a_batch_loses_and_doubles_nothing(
    place: Place, start: Start
) -> None:
    """All connections are cut between writing and committing, three times."""
    admin = engine_for(place.infra.database_url)
    name = place.url.rpartition("/")[2]
    cuts: list[str] = []

    def cut(point: str) -> None:
        if point == "before-commit" and len(cuts) < 3:
            cuts.append(point)
            with admin.begin() as connection:
                connection.execute(CUT, {"name": name})

    records = [place.tick(key, "call") for key in KEYS] + place.ticks(60)
    place.publish(*records)
    replica = start(in_handler=cut)

    def all_counted() -> bool:
        with suppress(Exception):  # our own look at it is cut off as well
            return place.counted() == len(records)
        return False

    until(all_counted, "all counted")
    assert len(cuts) == 3
    assert replica.alive
    assert place.rows("SELECT count(*) FROM outbox") == [(len(records),)]
    assert place.rows("SELECT count(*) FROM effects") == [(len(KEYS),)]
    replica.ends()
    admin.dispose()


def test_a_stop_finishes_the_batch_in_hand(place: Place, start: Start) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(point: str) -> None:
        entered.set()
        go_on.wait(PATIENCE_S)

    place.publish(*place.ticks(20))
    replica = start(faults=hold)
    assert entered.wait(PATIENCE_S)
    replica.stop.set()
    go_on.set()
    replica.ends()
    assert place.counted() > 0
    assert place.left_to_read() == 20 - place.counted(), "and its offsets are committed"
