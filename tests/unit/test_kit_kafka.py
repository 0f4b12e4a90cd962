"""What Kafka's client tells by the way, and what must not be overheard in it."""

from contextlib import closing

import pytest
from confluent_kafka import KafkaError, KafkaException

from sagakit.kafka import BusConsumer

NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize(
    "error",
    [
        KafkaError(KafkaError._FATAL, "fenced by other consumer, OffsetCommit failed"),
        KafkaError(KafkaError.FENCED_INSTANCE_ID, "fenced", fatal=True),
    ],
)
def test_a_consumer_that_will_never_read_again_ends(error: KafkaError) -> None:
    """Where the commit in the background meets the fence, it is told to the callback alone."""
    with closing(BusConsumer(NOWHERE, "group", "instance", ["topic"])) as consumer:
        consumer._told(KafkaError(KafkaError._TRANSPORT, "nobody there"))
        assert consumer.poll(1, 0.01) == []
        consumer._told(error)
        with pytest.raises(KafkaException):
            consumer.poll(1, 0.01)
