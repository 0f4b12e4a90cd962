"""A consumer whose place in its group was taken ends, instead of looking alive for ever."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from confluent_kafka import KafkaException

from sagakit.kafka.consumer import BusConsumer
from tests.kafka import create_topic
from tests.stack import TestInfra, until


@contextmanager
def consumer(infra: TestInfra, prefix: str, topic: str) -> Iterator[BusConsumer]:
    """A consumer that has its partitions, always under the same instance id."""
    bus = BusConsumer(
        infra.bootstrap_servers, f"{prefix}group", f"{prefix}one", [topic], static=True
    )

    def reads() -> bool:
        bus.poll(1, 0.1)
        return bool(bus.assigned)

    with closing(bus):
        until(reads, "partitions are assigned")
        yield bus


def test_a_fenced_consumer_raises(infra: TestInfra, topic_prefix: str) -> None:
    topic = create_topic(infra.bootstrap_servers, f"{topic_prefix}fence", 2)

    def ended(bus: BusConsumer) -> bool:
        try:
            bus.poll(1, 0.1)
        except KafkaException:
            return True
        return False

    with consumer(infra, topic_prefix, topic) as first, consumer(infra, topic_prefix, topic):
        until(lambda: ended(first), "the first consumer says that it is fenced")
