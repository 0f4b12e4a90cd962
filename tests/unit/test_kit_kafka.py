"""What Kafka's client tells by the way, and what must not be overheard in it."""

from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from sagakit.kafka.consumer import BusConsumer

NOWHERE = "127.0.0.1:1"


class Told:
    """A message that is an error, as the client hands it out."""

    def __init__(self, error: KafkaError) -> None:
        self._error = error

    def error(self) -> KafkaError:
        """What is wrong."""
        return self._error


class Client:
    """A client that has one error to tell, and afterwards nothing for ever."""

    def __init__(self, error: KafkaError) -> None:
        self._told: list[Any] = [Told(error)]

    def consume(self, _limit: int, _timeout_s: float) -> list[Any]:
        """The error, once."""
        told, self._told = self._told, []
        return told


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


def test_what_goes_away_by_itself_ends_nobody() -> None:
    assert polled(KafkaError(KafkaError._TRANSPORT, "nobody there")) == []
