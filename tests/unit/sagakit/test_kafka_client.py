"""What Kafka's client tells by the way, and what must not be overheard in it."""

from contextlib import closing, nullcontext
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from sagakit.errors import TopicRecreated
from sagakit.kafka.consumer import BusConsumer, member_of

NOWHERE = "127.0.0.1:1"


class ErrorMessage:
    """A message that is an error, as the client hands it out."""

    def __init__(self, error: KafkaError) -> None:
        self._error = error

    def error(self) -> KafkaError:
        """What is wrong."""
        return self._error


class Client:
    """A client that has one error to tell, and afterwards nothing for ever."""

    def __init__(self, error: KafkaError) -> None:
        self._messages: list[Any] = [ErrorMessage(error)]

    def consume(self, _limit: int, _timeout_s: float) -> list[Any]:
        """The error, once."""
        messages, self._messages = self._messages, []
        return messages


def polled(error: KafkaError) -> list[Any]:
    with closing(BusConsumer(NOWHERE, "group", "instance", ["topic"])) as consumer:
        client, consumer._consumer = consumer._consumer, Client(error)  # type: ignore[assignment]
        try:
            return consumer.poll(1, 0.01)
        finally:
            consumer._consumer = client


@pytest.mark.parametrize(
    "error",
    [
        # What a commit in the background gets when it meets the fence: fatal by its code alone.
        KafkaError(KafkaError._FATAL, "Static consumer fenced: OffsetCommit failed"),
        KafkaError(KafkaError.FENCED_INSTANCE_ID, "fenced", fatal=True),
    ],
)
def test_a_consumer_that_will_never_read_again_ends(error: KafkaError) -> None:
    with pytest.raises(KafkaException):
        polled(error)


def test_a_transient_error_does_not_end_a_consumer() -> None:
    assert polled(KafkaError(KafkaError._TRANSPORT, "nobody there")) == []


GONE: dict[str, str] = {}


@pytest.mark.parametrize(
    ("looks", "ends"),
    [
        ([{"topic": "a"}, GONE, {"topic": "b"}], True),
        ([{"topic": "a"}, {"topic": "b"}], True),
        ([GONE, {"topic": "a"}], True),
        ([{"topic": "a"}, GONE, {"topic": "a"}, {"topic": "a"}], False),
    ],
    ids=["away, then another", "another at once", "first there later", "the same again"],
)
def test_a_topic_that_was_away_is_joined_again_though_no_partition_of_it_is_ours(
    monkeypatch: pytest.MonkeyPatch, looks: list[dict[str, str]], ends: bool
) -> None:
    """The client drops the partitions of a topic that does not exist, and may forget it."""
    answers = iter(looks)
    monkeypatch.setattr("sagakit.kafka.consumer.topic_ids", lambda *_: next(answers))
    with closing(BusConsumer(NOWHERE, "group", "instance", ["topic"])) as consumer:
        for _ in looks[:-1]:
            consumer._look()
        with pytest.raises(TopicRecreated) if ends else nullcontext():
            consumer._look()


def test_a_static_member_is_another_one_once_its_topics_are_others() -> None:
    """Kafka would hand it the partitions that it had, without those of a topic that was away."""
    topics, ids = ["order.events", "payment.events"], {"order.events": "x", "payment.events": "y"}
    others = [
        member_of("inventory-2", topics, ids),
        member_of("inventory-1", topics[:1], ids),
        member_of("inventory-1", topics, {**ids, "payment.events": "z"}),
        member_of("inventory-1", topics, {"order.events": "x"}),
    ]
    same = member_of("inventory-1", reversed(topics), {**ids, "fraud.events": "v"})
    assert same == member_of("inventory-1", topics, ids)
    assert len({same, *others}) == 5
