"""Settings of topics that must not be: refused at the start, noticed while running."""

from collections.abc import Mapping

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from saga_lab.devstack.topics import event_topic, recreate_topic
from sagakit.errors import ConfigurationError
from sagakit.kafka.topic_guard import TopicGuard
from tests.kafka import alter_topic, create_topic
from tests.stack import TestInfra, until

CREATE_TIME = {"message.timestamp.type": "CreateTime"}


def guard_of(infra: TestInfra, *topics: str) -> TopicGuard:
    return TopicGuard(infra.bootstrap_servers, "counter", topics)


def found_by(guard: TopicGuard) -> int:
    guard.check()
    return len(guard.faults)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (CREATE_TIME, "message.timestamp.type=CreateTime"),
        ({"cleanup.policy": "compact"}, "cleanup.policy=compact"),
        ({"cleanup.policy": "compact,delete"}, "cleanup.policy=compact,delete"),
    ],
)
def test_a_setting_that_must_not_be_is_refused_with_the_command_that_mends_it(
    infra: TestInfra, topic_prefix: str, settings: Mapping[str, str], expected: str
) -> None:
    servers = infra.bootstrap_servers
    bad = create_topic(servers, f"{topic_prefix}bad", config=settings)
    good = create_topic(servers, f"{topic_prefix}good")
    guard = guard_of(infra, good, bad)
    until(lambda: found_by(guard), "the broker tells of the new topic")
    with pytest.raises(ConfigurationError) as refused:
        guard.refuse()
    [line] = str(refused.value).splitlines()
    assert line.startswith(f"topic {bad} has {expected}, so ")
    assert f"--entity-name {bad} --add-config {expected.partition('=')[0]}=" in line


def test_a_topic_that_is_missing_is_reported_and_refuses_nothing(
    infra: TestInfra, topic_prefix: str
) -> None:
    """Given a good topic; when it is deleted while others are there; then it is reported with what
    to do, and no more once it exists again."""
    servers = infra.bootstrap_servers
    good, other = (create_topic(servers, f"{topic_prefix}{name}") for name in ("good", "other"))
    guard = guard_of(infra, good, other)
    guard.refuse()
    assert not found_by(guard)
    admin = AdminClient({"bootstrap.servers": servers})
    admin.delete_topics([good])[good].result()
    until(lambda: found_by(guard), "the broker tells that it is gone")
    guard.refuse()
    [fault] = guard.faults
    assert fault.text.startswith(f"topic {good} does not exist, so what is published to it waits")
    assert f"--create --topic {good} --partitions " in fault.text
    assert ("saga_topic_faults", {"participant": "counter", "topic": good}, 1) in guard.read()
    recreate_topic(servers, event_topic(good, 3), lambda: None)
    until(lambda: not found_by(guard), "the broker tells that it is there again")


def test_a_setting_changed_while_running_is_noticed_and_so_is_its_mending(
    infra: TestInfra, topic_prefix: str
) -> None:
    topic = create_topic(infra.bootstrap_servers, f"{topic_prefix}events")
    guard = guard_of(infra, topic)
    guard.refuse()
    alter_topic(infra.bootstrap_servers, topic, CREATE_TIME)
    until(lambda: found_by(guard), "the broker tells of the new setting")
    assert list(guard.read()) == [
        ("saga_topic_faults", {"participant": "counter", "topic": topic}, 1)
    ]
    alter_topic(infra.bootstrap_servers, topic, {"message.timestamp.type": "LogAppendTime"})
    until(lambda: not found_by(guard), "the broker tells that it is mended")
    assert [value for _, _, value in guard.read()] == [0]


def test_partitions_added_to_one_topic_are_reported_with_what_to_do_but_not_refused(
    infra: TestInfra, topic_prefix: str
) -> None:
    servers = infra.bootstrap_servers
    grown, other = (create_topic(servers, f"{topic_prefix}{name}") for name in ("grown", "other"))
    admin = AdminClient({"bootstrap.servers": servers})
    for added in admin.create_partitions([NewPartitions(grown, 6)]).values():
        added.result()
    guard = guard_of(infra, grown, other)

    until(lambda: found_by(guard), "the broker tells of the new partitions")
    guard.refuse()
    [fault] = guard.faults
    assert fault.topic == other
    assert fault.text.endswith(f"--alter --topic {other} --partitions 6")
