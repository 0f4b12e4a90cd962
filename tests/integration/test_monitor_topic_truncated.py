"""A topic that ends before what was read of it: the monitor reads it from its start again."""

import asyncio
import threading
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import Engine, select

from saga_monitor.ingest.faust_stream import StreamReader, start_at
from saga_monitor.ingest.projection import Projection
from saga_monitor.saga.facts import log_time
from saga_monitor.storage import store
from saga_monitor.storage.tables import metadata, monitor_unreadable, saga, timeline
from saga_monitor.supervision import deadline_watch
from saga_monitor.supervision.deadline_watch import DeadlineWatch
from saga_monitor.supervision.emitter import Emitter
from sagakit.errors import TopicRecreated
from sagakit.messages.envelope import LOGGED_AT, Envelope, Record, TopicPartitionKey
from sagakit.service.settings import ServiceSettings
from sagakit.store.postgres import engine_for
from sagakit.store.schema import skipped_record
from schemas import FLOWS
from tests.monitor import CODEC, captured

PAYMENT, ORDER = ("payment.events", 0), ("order.events", 0)


class Topics:
    """A log whose ends are told in turn, the last one again and again."""

    def __init__(self, *ends: int) -> None:
        self.ends_of_payment = list(ends)
        self.id_of_payment = "first"

    def append_clock_record(self, topic: str) -> int:
        return round(datetime.now(UTC).timestamp() * 1000)

    def ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        more = len(self.ends_of_payment) > 1
        end = self.ends_of_payment.pop(0) if more else self.ends_of_payment[0]
        return {PAYMENT: end, ORDER: 7}

    def readable_ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        return self.ends(topics)

    def ids(self, topics: Sequence[str]) -> dict[str, str]:
        return {"payment.events": self.id_of_payment, "order.events": "one"}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    metadata.create_all(engine)
    skipped_record.create(engine)
    with engine.begin() as connection:
        store.reset(connection, {PAYMENT: 100, ORDER: 7})
    yield engine
    engine.dispose()


def watch_of(engine: Engine, log: Topics, started: Set[TopicPartitionKey]) -> DeadlineWatch:
    projection = Projection(engine, CODEC, FLOWS)
    topics = ["payment.events"]
    return DeadlineWatch(
        engine, projection, Emitter(CODEC), log, log, topics, lambda: None, lambda: started
    )


def look(engine: Engine, *ends: int, log: Topics | None = None) -> None:
    watch_of(engine, log or Topics(*ends), {PAYMENT}).check(threading.Event())


def rows_of(engine: Engine) -> list[list[dict[str, Any]]]:
    """Timeline, unreadable records, sagas."""
    with engine.connect() as connection:
        tables = (timeline, monitor_unreadable, saga)
        return [[dict(row) for row in connection.execute(select(t)).mappings()] for t in tables]


def stored(engine: Engine) -> dict[tuple[str, int], int]:
    with engine.connect() as connection:
        return store.offsets(connection)


def test_a_topic_that_was_recreated_ends_the_process_which_then_reads_from_its_start(
    engine: Engine,
) -> None:
    with pytest.raises(TopicRecreated, match=r"payment\.events was recreated"):
        look(engine, 0)
    assert stored(engine) == {PAYMENT: 0, ORDER: 7}
    assert start_at(stored(engine)[PAYMENT], first=0, end=120) == 0, "though it is longer by then"


def test_a_recreated_topic_that_no_replica_is_given_is_counted_and_ends_the_process(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Topics(100)
    look(engine, log=log)
    log.id_of_payment, watch = "second", watch_of(engine, log, set())
    assert watch.check(threading.Event()) == 0
    assert watch.unread == 100
    monkeypatch.setattr(deadline_watch, "NOBODY_S", -1.0)
    with pytest.raises(TopicRecreated, match="no replica of the monitor was given it to read"):
        watch.check(threading.Event())


def test_republished_events_keep_their_times_and_unreadable_ones_go_with_their_topic(
    engine: Engine,
) -> None:
    """So the tables are what they would be if they were made from the topics of now."""
    projection = Projection(engine, CODEC, FLOWS)
    row = CODEC.encode(Envelope(UUID(int=1), "order/a", "payment", 1, log_time(0), captured("a")))
    event = Record(row.topic, 0, 3, 1_767_000_000_000, row.key.encode(), row.value, row.headers)
    projection.apply([event, replace(event, offset=4, value=b"no event")])
    live = rows_of(engine)
    with engine.begin() as connection:
        store.reset(connection, {PAYMENT: 0})
    recreated = replace(
        event,
        offset=0,
        timestamp_ms=event.timestamp_ms + 60_000,
        headers=(*event.headers, (LOGGED_AT, str(event.timestamp_ms).encode())),
    )
    projection.apply([recreated, replace(recreated, offset=1)])
    timeline, unreadable, sagas = rows_of(engine)
    assert (len(live[1]), unreadable) == (1, [])
    assert [(r["at"], r["offset"]) for r in timeline] == [(log_time(event.timestamp_ms), 1)]
    assert sagas == live[2]


def test_what_is_read_between_two_looks_at_the_log_is_no_topic_recreated(engine: Engine) -> None:
    look(engine, 99, 100)
    assert stored(engine) == {PAYMENT: 100, ORDER: 7}


class Partition(NamedTuple):
    """As Faust names a partition."""

    topic: str
    partition: int


def starts(engine: Engine, log: Topics) -> dict[tuple[str, int], int]:
    settings = ServiceSettings(
        bootstrap_servers="127.0.0.1:1", database_url="postgresql://h/d", contract="schemas"
    )
    projection = Projection(engine, CODEC, FLOWS)
    reader = StreamReader(settings, ["payment.events", "order.events"], engine, projection, log)
    places = {Partition(*PAYMENT): (0, 300), Partition(*ORDER): (0, 7)}
    return {
        (p.topic, p.partition): at for p, at in asyncio.run(reader.start_offsets(places)).items()
    }


def test_a_recreated_topic_that_is_longer_already_is_known_by_its_id(engine: Engine) -> None:
    """Filled again while the monitor was stopped, or within the second between two looks."""
    log = Topics(100)
    look(engine, log=log)
    log.id_of_payment, log.ends_of_payment = "second", [300]
    with pytest.raises(TopicRecreated, match=r"payment\.events was recreated"):
        look(engine, log=log)
    assert stored(engine) == {PAYMENT: 100, ORDER: 7}, "what is in hand may still be written"
    assert starts(engine, log) == {PAYMENT: 0, ORDER: 7}
    assert stored(engine) == {PAYMENT: 0, ORDER: 7}
    look(engine, log=log)
    assert starts(engine, log) == {PAYMENT: 0, ORDER: 7}, "and it is known from now on"
