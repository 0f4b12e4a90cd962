"""Topics of a test's own on the session's Kafka, and what stands in them."""

from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from confluent_kafka.cimpl import NewTopic

from sagakit.kafka.client import topic_ids
from sagakit.kafka.inspector import read_log
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.envelope import OutboxRow, Record
from tests.stack import PATIENCE_S, until


def create_topic(
    bootstrap_servers: str, name: str, partitions: int = 3, config: Mapping[str, str] | None = None
) -> str:
    """A new topic, with LogAppendTime as all of ours; returns its name."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    settings = {"message.timestamp.type": "LogAppendTime", **(config or {})}
    for future in admin.create_topics([NewTopic(name, partitions, 1, config=settings)]).values():
        future.result(timeout=PATIENCE_S)
    # The controller answers before the broker knows: a consumer would take it for recreated.
    until(lambda: name in topic_ids(admin, [name]), f"the broker knows {name}")
    return name


def alter_topic(bootstrap_servers: str, topic: str, settings: Mapping[str, str]) -> None:
    """Change settings of a topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    changes = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    changed = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=changes)
    for future in admin.incremental_alter_configs([changed]).values():
        future.result(timeout=PATIENCE_S)


def delete_records(bootstrap_servers: str, before: Mapping[tuple[str, int], int]) -> None:
    """Delete the records of each partition before an offset, as retention does."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    ends = [TopicPartition(*place, offset) for place, offset in before.items()]
    for deleted in admin.delete_records(ends).values():
        deleted.result(PATIENCE_S)


def delete_topics(bootstrap_servers: str, topics: Sequence[str]) -> None:
    """Delete topics, and return once the broker has."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for deleted in admin.delete_topics([*topics]).values():
        deleted.result(PATIENCE_S)


def publish_until_taken(publish: Callable[[], object], what: str) -> None:
    """Publish again until no broker and no missing topic refuses it."""

    def taken() -> bool:
        try:
            publish()
        except PublishFailed:
            return False
        return True

    until(taken, what)


def read(bootstrap_servers: str, *topics: str) -> list[Record]:
    """All records, in the order of each partition."""
    return list(read_log(bootstrap_servers, topics))


def values_by_key(records: list[Record]) -> dict[str, list[str]]:
    """The values of each key, in log order."""
    found: dict[str, list[str]] = {}
    for record in records:
        found.setdefault((record.key or b"").decode(), []).append((record.value or b"").decode())
    return found


class TransactionalProducer:
    """A publisher that is none of ours and writes in transactions."""

    def __init__(self, bootstrap_servers: str, name: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "transactional.id": name,
                "partitioner": "murmur2_random",
            }
        )
        self._producer.init_transactions(PATIENCE_S)

    def begin(self, *rows: OutboxRow) -> None:
        """Open a transaction and write records; return once they are in the log."""
        self._producer.begin_transaction()
        for row in rows:
            self._producer.produce(row.topic, row.value, row.key, headers=list(row.headers))
        assert self._producer.flush(PATIENCE_S) == 0

    def commit(self) -> None:
        """End the transaction; readers see its records."""
        self._producer.commit_transaction(PATIENCE_S)

    def abort(self) -> None:
        """End the transaction; nobody sees its records."""
        self._producer.abort_transaction(PATIENCE_S)
