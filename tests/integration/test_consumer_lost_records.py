"""Records that a topic lost, to retention or with its end: reading goes on, and says which."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from sagakit.kafka.consumer import BusConsumer
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow, Record
from tests.kafka import create_topic
from tests.stack import PATIENCE_S, TestInfra, until


class Place:
    """A topic with one partition, its publisher, and what consumers report as lost."""

    def __init__(self, infra: TestInfra, topic: str) -> None:
        self.servers = infra.bootstrap_servers
        self.topic = create_topic(self.servers, topic, 1)
        self.publisher = Publisher(self.servers, "test")
        self.lost: list[tuple[str, int]] = []

    def publish(self, *numbers: int) -> None:
        rows = [OutboxRow(self.topic, "key", (), str(n).encode(), n) for n in numbers]
        self.publisher.publish(rows)

    def remove_before(self, offset: int) -> None:
        """Remove the first records, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        removed = admin.delete_records([TopicPartition(self.topic, 0, offset)])
        for future in removed.values():
            future.result(PATIENCE_S)

    @contextmanager
    def consumer(self) -> Iterator[BusConsumer]:
        group = f"{self.topic}-group"

        def lost(topic: str, records: int) -> None:
            self.lost.append((topic, records))

        topics = [self.topic]
        with closing(BusConsumer(self.servers, group, "one", topics, on_lost=lost)) as consumer:
            yield consumer


@pytest.fixture
def place(infra: TestInfra, topic_prefix: str) -> Iterator[Place]:
    place = Place(infra, f"{topic_prefix}events")
    yield place
    place.publisher.discard()


def values(records: list[Record]) -> list[int]:
    return [int(record.value or b"") for record in records]


def reader(bus: BusConsumer) -> Callable[[], list[Record]]:
    return lambda: bus.poll(10, 0.5)


def read(bus: BusConsumer, number: int) -> None:
    """Read so many records and store their offsets."""
    found: list[Record] = []

    def all_found() -> bool:
        found.extend(bus.poll(10, 0.5))
        return len(found) == number

    until(all_found, f"{number} records")
    bus.store(found)


def test_records_removed_while_the_group_was_away_are_told(place: Place) -> None:
    place.publish(1, 2)
    with place.consumer() as bus:
        read(bus, 2)
    place.publish(3, 4, 5, 6)
    place.remove_before(5)
    with place.consumer() as bus:
        assert values(until(reader(bus), "what is left")) == [6]
        assert place.lost == [(place.topic, 3)]


def test_records_removed_while_it_stands_are_told_and_it_reads_on(place: Place) -> None:
    place.publish(1)
    with place.consumer() as bus:
        bus.store(until(reader(bus), "the first record"))
        here = [TopicPartition(place.topic, 0)]
        bus._consumer.pause(here)
        place.publish(2, 3, 4, 5)
        place.remove_before(4)
        bus._consumer.resume(here)
        assert values(until(reader(bus), "what is left")) == [5]
        assert place.lost == [(place.topic, 3)]


def test_removed_records_that_were_read_are_no_loss(place: Place) -> None:
    place.publish(1, 2, 3)
    with place.consumer() as bus:
        read(bus, 3)
    place.remove_before(3)
    place.publish(4)
    with place.consumer() as bus:
        assert values(until(reader(bus), "what follows")) == [4]
    assert place.lost == []


def test_a_log_that_ends_before_what_was_read_is_told_and_read_again(place: Place) -> None:
    """Given a group that has read further than the log ends, as after a broker lost its last
    writes; when it reads; then the loss is told, and what is left is read again."""
    place.publish(1, 2)
    with place.consumer() as bus:
        read(bus, 2)
        bus._store({(place.topic, 0): 7})
    with place.consumer() as bus:
        assert values(until(reader(bus), "what is left")) == [1, 2]
    assert place.lost == [(place.topic, 5)]
