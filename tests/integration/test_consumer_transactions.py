"""Markers of transactions take offsets and carry no record: a consumer group counts past them."""

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from sagakit.kafka.consumer import BusConsumer
from sagakit.kafka.inspector import LogEnds, lag, positions, read_log
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow, Record
from sagakit.outbox.already_published import find_published
from tests.kafka import TransactionalProducer, create_topic
from tests.stack import TestInfra, until


@pytest.fixture
def topic(infra: TestInfra, topic_prefix: str) -> str:
    return create_topic(infra.bootstrap_servers, f"{topic_prefix}events", 1)


@pytest.fixture
def foreign(infra: TestInfra) -> TransactionalProducer:
    return TransactionalProducer(infra.bootstrap_servers, f"foreign-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def bus(infra: TestInfra, topic: str) -> Iterator[BusConsumer]:
    with closing(BusConsumer(infra.bootstrap_servers, f"{topic}-group", "one", [topic])) as bus:
        yield bus


def row(topic: str, value: bytes) -> OutboxRow:
    return OutboxRow(topic, "key", (), value, 1)


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_group_that_has_read_a_transaction_has_no_lag(
    infra: TestInfra, topic: str, bus: BusConsumer, foreign: TransactionalProducer, end: str
) -> None:
    servers, group = infra.bootstrap_servers, f"{topic}-group"
    foreign.begin(row(topic, b"theirs"))
    assert lag(servers, group, [topic]) == 0, "nobody can read it yet"
    getattr(foreign, end)()
    found: list[Record] = []

    def past_the_marker() -> bool:
        if records := bus.poll(10, 0.5):
            found.extend(records)
            bus.store(records)
        return positions(servers, group, [topic]) == {(topic, 0): (2, 2)}

    until(past_the_marker, "the marker is behind it")
    assert [r.value for r in found] == ([b"theirs"] if end == "commit" else [])


def test_the_offset_past_a_marker_is_stored_once_its_records_are_handled(
    infra: TestInfra, topic: str, bus: BusConsumer, foreign: TransactionalProducer
) -> None:
    servers, group = infra.bootstrap_servers, f"{topic}-group"
    foreign.begin(row(topic, b"theirs"))
    foreign.commit()
    records = until(lambda: bus.poll(10, 0.5), "the record")
    until(lambda: bus.poll(10, 0.5) or bus._ends, "the end is known")
    bus.commit()
    assert positions(servers, group, [topic]) == {(topic, 0): (0, 2)}
    bus.store(records)
    bus.commit()
    assert positions(servers, group, [topic]) == {(topic, 0): (2, 2)}


def test_own_records_behind_an_open_transaction_are_not_published_twice(
    infra: TestInfra, topic: str, foreign: TransactionalProducer
) -> None:
    mine = row(topic, b"mine")
    foreign.begin(row(topic, b"theirs"))
    publisher = Publisher(infra.bootstrap_servers, "mine")
    published = publisher.publish([mine])
    assert list(read_log(infra.bootstrap_servers, [topic])) == []
    assert find_published(infra.bootstrap_servers, [mine]) == published
    foreign.abort()
    assert [r.value for r in read_log(infra.bootstrap_servers, [topic])] == [b"mine"]
    publisher.discard()


def test_the_end_that_can_be_read_is_the_first_record_of_an_open_transaction(
    infra: TestInfra, topic: str, foreign: TransactionalProducer
) -> None:
    inspector = LogEnds(infra.bootstrap_servers)
    foreign.begin(row(topic, b"theirs"))
    assert inspector.ends([topic]) == {(topic, 0): 1}
    assert inspector.readable_ends([topic]) == {(topic, 0): 0}
    foreign.commit()
    until(lambda: inspector.readable_ends([topic]) == {(topic, 0): 2}, "the marker is written")
