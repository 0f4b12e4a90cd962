"""A rolling deploy under new names: a replica that stops leaves its group at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient

from sagakit.kafka.consumer import BusConsumer
from tests.kafka import create_topic
from tests.stack import PATIENCE_S, TestInfra, until

PARTITIONS = 6


class Polling:
    """A replica's consumer, which polls in a thread until it is told to stop."""

    def __init__(self, infra: TestInfra, topic: str, name: str, *, static: bool) -> None:
        self._stop = threading.Event()
        self.bus = BusConsumer(
            infra.bootstrap_servers, f"{topic}.group", name, [topic], static=static
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.bus.poll(10, 0.1)
        self.bus.close()

    def stop(self) -> None:
        """Stop in good order."""
        self._stop.set()
        self._thread.join(PATIENCE_S)

    @property
    def partitions(self) -> int:
        return len(self.bus.assigned)


@contextmanager
def two_replicas(infra: TestInfra, topic: str, *, static: bool) -> Iterator[list[Polling]]:
    """Two replicas that share the partitions."""
    replicas = [Polling(infra, topic, name, static=static) for name in ("old-1", "old-2")]
    try:
        until(lambda: [r.partitions for r in replicas] == [3, 3], "the partitions are shared")
        yield replicas
    finally:
        for replica in replicas:
            replica.stop()


def members(infra: TestInfra, topic: str) -> int:
    """How many members the broker counts in the group."""
    group = f"{topic}.group"
    admin = AdminClient({"bootstrap.servers": infra.bootstrap_servers})
    (answer,) = admin.describe_consumer_groups([group]).values()
    return len(answer.result(PATIENCE_S).members)


@pytest.fixture
def topic(infra: TestInfra, topic_prefix: str) -> str:
    """A topic that the broker knows."""
    return create_topic(infra.bootstrap_servers, f"{topic_prefix}deploy", PARTITIONS)


@pytest.mark.parametrize("static", [False, True], ids=["by default", "static"])
def test_a_replica_that_stops_is_no_member_any_more_unless_it_is_static(
    infra: TestInfra, topic: str, static: bool
) -> None:
    with two_replicas(infra, topic, static=static) as (old, kept):
        old.stop()
        assert members(infra, topic) == (2 if static else 1), "a static one is waited for"
        until(lambda: kept.partitions == PARTITIONS, "the other replica has all partitions")
