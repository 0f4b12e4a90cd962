"""Creates the topics that the services share, and administers topics and consumer groups."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_END,
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from confluent_kafka.cimpl import NewTopic

from saga_lab.application import Application, contract_of
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.ports import HOST

DEFAULT_PARTITIONS = 6

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_TIMEOUT_S = 10
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class Topic:
    """A topic: name, number of partitions and retention."""

    name: str
    partitions: int
    retention_ms: int


def event_topic(name: str, partitions: int = DEFAULT_PARTITIONS) -> Topic:
    """Return a topic of events by its name."""
    return Topic(name, partitions, 30 * _DAY_MS)


def event_topics(application: Application) -> list[str]:
    """Return the names of all topics of events."""
    return [f"{owner}.events" for owner in contract_of(application).topic_owners]


def shared_topics(application: Application, partitions: int = DEFAULT_PARTITIONS) -> list[Topic]:
    """Return every topic that the stack needs.

    Event topics are co-partitioned: all have one count.
    """
    return [
        *(event_topic(name, partitions) for name in event_topics(application)),
        *(Topic(f"{consumer}.dlt", 1, 30 * _DAY_MS) for consumer in application.databases),
        Topic("saga.clock", 1, _HOUR_MS),
    ]


def republishers(application: Application) -> tuple[str, ...]:
    """Return the participants whose topics hold only what their outboxes have published.

    Start events may come straight from outside, and no outbox could publish them again.
    """
    contract = contract_of(application)
    entered = {contract.owners[flow.start] for flow in contract.flows}
    return tuple(name for name in application.participants if name not in entered)


def create_topics(bootstrap_servers: str, topics: list[Topic]) -> None:
    """Create the missing topics.

    Raises `StackError` if an existing topic has another number of partitions: a key would then
    map to different partitions in different topics.
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


def recreate_topic(
    bootstrap_servers: str, topic: Topic, emptied: Callable[[], None], deadline_s: float = 60.0
) -> None:
    """Delete a topic with all its records and recreate it, calling `emptied` in between.

    While `emptied` runs the topic does not exist, so nobody can publish to it. Raises `StackError`
    if the broker still fails past the deadline.
    """
    deadline = time.monotonic() + deadline_s
    _settle(bootstrap_servers, topic, deadline, there=False)
    emptied()
    _settle(bootstrap_servers, topic, deadline, there=True)


def delete_topic(bootstrap_servers: str, topic: Topic, deadline_s: float = 60.0) -> None:
    """Delete a topic with all its records. Raises `StackError` past the deadline."""
    _settle(bootstrap_servers, topic, time.monotonic() + deadline_s, there=False)


def _settle(bootstrap_servers: str, topic: Topic, deadline: float, *, there: bool) -> None:
    """Create or delete a topic. A request that failed may have worked, so look before each."""
    name = topic.name
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    while True:
        try:
            if (name in admin.list_topics(timeout=_TIMEOUT_S).topics) is there:
                return
            asked = (
                admin.create_topics([_new_topic(topic)]) if there else admin.delete_topics([name])
            )
            asked[name].result(timeout=_TIMEOUT_S)
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise StackError(
                    f"topic {name} at {bootstrap_servers} cannot be "
                    f"{'created' if there else 'deleted'}: {error}. Check that the brokers answer; "
                    "if it is gone now, `saga up` creates it."
                ) from error
        time.sleep(_LOOK_AGAIN_S)


def delete_records(bootstrap_servers: str, topic: Topic) -> None:
    """Remove all records that a topic has now, as retention does. Raises `StackError`."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    ends = [TopicPartition(topic.name, p, OFFSET_END) for p in range(topic.partitions)]
    try:
        for deleted in admin.delete_records(ends).values():
            deleted.result(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise StackError(f"the records of {topic.name} cannot be removed: {error}") from error


def set_topic(bootstrap_servers: str, name: str, settings: Mapping[str, str]) -> None:
    """Change settings of a topic. Raises `StackError`."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    changes = [
        ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        for setting, value in settings.items()
    ]
    changed = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=changes)
    try:
        for answer in admin.incremental_alter_configs([changed]).values():
            answer.result(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise StackError(f"the settings of {name} cannot be changed: {error}") from error


def reset_offsets(
    bootstrap_servers: str, group: str, topics: Sequence[str], deadline_s: float = 60.0
) -> None:
    """Reset a group's offsets to the first record of these topics, as an operator may by mistake.

    The broker accepts that only for a group without members, and a killed or static member remains
    one until its session times out. Raises `StackError` past the deadline.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            known = admin.list_topics(timeout=_TIMEOUT_S).topics
            firsts = [TopicPartition(t, p, 0) for t in topics for p in known[t].partitions]
            asked = admin.alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, firsts)], request_timeout=_TIMEOUT_S
            )
            asked[group].result(timeout=_TIMEOUT_S)
            return
        except (KafkaException, KeyError) as error:  # a topic may be missing while it is recreated
            if time.monotonic() > deadline:
                raise StackError(
                    f"the offsets of group {group} at {bootstrap_servers} cannot be reset: {error}."
                    " Stop whatever reads with it."
                ) from error
        time.sleep(_LOOK_AGAIN_S)


def first_unhealthy_partition(bootstrap_servers: str, *, leaders: bool = False) -> str | None:
    """Return the first partition without a leader or with replicas not in sync; None if all are.

    With `leaders`, also one whose preferred broker does not lead it. The text names what it lacks.
    A cluster that does not answer is out of step too.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        topics = admin.list_topics(timeout=_TIMEOUT_S).topics
    except KafkaException as error:
        return f"{bootstrap_servers}: {error}"
    for name, topic in topics.items():
        for number, partition in topic.partitions.items():
            if missing := set(partition.replicas) - set(partition.isrs):
                return f"{name}/{number} is behind on brokers {sorted(missing)}"
            if partition.leader < 0 or (leaders and partition.leader != partition.replicas[0]):
                return f"{name}/{number} is led by {partition.leader} of {partition.replicas}"
    return None


def kafka_ready(bootstrap_servers: str) -> Callable[[], str | None]:
    """Return a probe that is ready when the broker answers a metadata request."""

    def probe() -> str | None:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        try:
            admin.list_topics(timeout=1)
        except KafkaException as error:
            return f"{bootstrap_servers}: {error}"
        return None

    return probe


def broker_ready(port: int) -> Callable[[], str | None]:
    """Return the probe of a broker on this machine; it does not wait while nothing listens there.

    Kafka's client would wait for its timeout, and nothing else could be started meanwhile.
    """
    address = f"{HOST}:{port}"
    answers = kafka_ready(address)

    def probe() -> str | None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError as error:
            return f"{address}: {error}"
        return answers()

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
