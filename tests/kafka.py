"""Topics of a test's own on the session's Kafka, and what stands in them."""

from collections.abc import Callable, Mapping, Sequence

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sagakit.kafka.client import topic_ids
from sagakit.kafka.inspector import read_log
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.envelope import Record
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
