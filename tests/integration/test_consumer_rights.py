"""A right to read is revoked and given back: not ready with the reason, then on by itself."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from sagakit.kafka.consumer import BusConsumer
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow
from tests.kafka import create_topic
from tests.kafka_rights import Right
from tests.stack import TestInfra, until


@pytest.fixture
def topic(infra: TestInfra, topic_prefix: str) -> str:
    return create_topic(infra.bootstrap_servers, f"{topic_prefix}events", 1)


@pytest.fixture
def bus(infra: TestInfra, topic: str) -> Iterator[BusConsumer]:
    with closing(BusConsumer(infra.bootstrap_servers, f"{topic}-group", "one", [topic])) as bus:
        yield bus


def test_a_revoked_right_is_told_until_it_is_given_back(
    infra: TestInfra, topic: str, bus: BusConsumer
) -> None:
    publisher, right = (
        Publisher(infra.bootstrap_servers, "test"),
        Right(infra.bootstrap_servers, topic),
    )
    publisher.publish([OutboxRow(topic, "key", (), b"before", 1)])
    assert [r.value for r in until(lambda: bus.poll(10, 0.5), "a record")] == [b"before"]
    assert bus.problem() is None
    right.revoke()
    until(lambda: bus.poll(10, 0.5) or bus.problem(), "the refusal")
    assert topic in (bus.problem() or "")
    publisher.publish([OutboxRow(topic, "key", (), b"meanwhile", 2)])
    right.give_back()
    assert [r.value for r in until(lambda: bus.poll(10, 0.5), "the next")] == [b"meanwhile"]
    assert bus.problem() is None
    publisher.discard()
