"""The topics the services share, created before any of them starts."""

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sandbox.stack.errors import StackError

OWNERS = ("order", "inventory", "payment", "shipping", "notification", "saga")
CONSUMERS = ("order", "inventory", "payment", "shipping", "notification", "monitor")
DEFAULT_PARTITIONS = 6

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_TIMEOUT_S = 10


@dataclass(frozen=True)
class Topic:
    """A topic's name, number of partitions and how long it keeps records."""

    name: str
    partitions: int
    retention_ms: int


def shared_topics(partitions: int = DEFAULT_PARTITIONS) -> list[Topic]:
    """Every topic of the saga. Event topics are co-partitioned: one count for all of them."""
    return [
        *(Topic(f"{owner}.events", partitions, 30 * _DAY_MS) for owner in OWNERS),
        *(Topic(f"{consumer}.dlt", 1, 30 * _DAY_MS) for consumer in CONSUMERS),
        Topic("saga.clock", 1, _HOUR_MS),
    ]


def create_topics(bootstrap_servers: str, topics: list[Topic]) -> None:
    """Create the missing ones.

    Raises `StackError` when an existing topic has another number of partitions: keys would
    then sit on different partitions of different topics.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        existing = admin.list_topics(timeout=_TIMEOUT_S).topics
        for topic in topics:
            there = existing.get(topic.name)
            if there is not None and len(there.partitions) != topic.partitions:
                raise StackError(
                    f"topic {topic.name} at {bootstrap_servers} has {len(there.partitions)} "
                    f"partitions, this stack needs {topic.partitions}. Delete it if its events "
                    "are no longer needed, or use another Kafka cluster."
                )
        missing = [_new_topic(topic) for topic in topics if topic.name not in existing]
        if missing:
            for future in admin.create_topics(missing, operation_timeout=_TIMEOUT_S).values():
                future.result(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise StackError(
            f"cannot create topics at {bootstrap_servers}: {error}. Check that the broker "
            "answers there and lets this client create topics."
        ) from error


def kafka_ready(bootstrap_servers: str) -> Callable[[], str | None]:
    """A probe: ready when the broker answers a metadata request."""

    def probe() -> str | None:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        try:
            admin.list_topics(timeout=1)
        except KafkaException as error:
            return f"{bootstrap_servers}: {error}"
        return None

    return probe


def _new_topic(topic: Topic) -> NewTopic:
    return NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=-1,  # the broker's default
        config={
            "retention.ms": str(topic.retention_ms),
            # A producer's clock must not decide how old a record is.
            "message.timestamp.type": "LogAppendTime",
        },
    )
