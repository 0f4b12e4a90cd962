"""Two deployments with the same groups on one cluster: the one whose database is younger ends."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sagakit.errors import ConfigurationError
from sagakit.kafka.consumer import BusConsumer
from sagakit.kafka.group_guard import GroupGuard, Identity, client_id, identity_in
from sagakit.kafka.inspector import LogEnds
from sagakit.stop_signal import StopSignal
from sagakit.store.database_identity import identity_of
from sagakit.store.postgres import engine_for
from tests.kafka import create_topic
from tests.monitor import monitor
from tests.stack import TestInfra, fresh_database, until

OLDER, YOUNGER = (7_000, 16_384), (7_001, 16_384)


@pytest.fixture
def topic(infra: TestInfra, topic_prefix: str) -> str:
    topic = create_topic(infra.bootstrap_servers, f"{topic_prefix}events", 1)
    inspector = LogEnds(infra.bootstrap_servers)
    until(lambda: inspector.ids([topic]), "the broker tells of the topic")
    return topic


@contextmanager
def member(infra: TestInfra, topic: str, database: Identity) -> Iterator[GroupGuard]:
    """A member of a deployment with that database, and the guard of another process."""
    group = f"{topic}-group"
    with closing(BusConsumer(infra.bootstrap_servers, group, "one", [topic])) as bus:
        bus.join_as(client_id("one", database))
        until(lambda: bus.poll(1, 0.1) == [] and bus.assigned, "it reads")
        yield GroupGuard(infra.bootstrap_servers, group, patience_s=0.0)


def test_a_deployment_with_a_younger_database_does_not_start_in_the_group(
    infra: TestInfra, topic: str
) -> None:
    with member(infra, topic, OLDER) as guard, pytest.raises(ConfigurationError, match="is shared"):
        guard.refuse(YOUNGER, StopSignal())


def test_replicas_of_one_database_and_the_older_deployment_start(
    infra: TestInfra, topic: str
) -> None:
    with member(infra, topic, YOUNGER) as guard:
        guard.refuse(YOUNGER, StopSignal())
        guard.refuse(OLDER, StopSignal())
    guard.refuse(YOUNGER, StopSignal())  # the group is empty


def test_a_younger_deployment_ends_when_the_older_one_comes(infra: TestInfra, topic: str) -> None:
    with member(infra, topic, OLDER) as guard, pytest.raises(ConfigurationError):
        guard.check(YOUNGER)


def test_a_second_monitor_with_a_database_of_its_own_is_refused_in_one_line(
    infra: TestInfra, database_url: str, group: str, tmp_path: Path
) -> None:
    log = tmp_path / "second.log"
    with monitor(infra, database_url, tmp_path / "first.log", group=group) as first:
        first.start()
        with monitor(infra, fresh_database(infra), log, group=group, name="monitor-2") as second:
            assert second.start(wait=False).exit_status() == 2
        assert first.runs()
    assert f"monitor: the consumer group {group} is shared with monitor-1" in log.read_text()


def test_databases_are_told_apart_and_a_younger_one_has_the_larger_identity(
    infra: TestInfra, database_url: str
) -> None:
    first, second = engine_for(database_url), engine_for(fresh_database(infra))
    assert identity_of(first) < identity_of(second)
    assert identity_of(first) == identity_of(first)
    first.dispose()
    second.dispose()


@pytest.mark.parametrize("client", ["rdkafka", "one@", "one@x-1", "one@1", "one@1-x", "1-2"])
def test_clients_of_others_hold_no_identity(client: str) -> None:
    assert identity_in(client) is None
    assert identity_in(client_id(client, OLDER)) == OLDER
