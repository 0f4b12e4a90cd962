"""A topic that is deleted, recreated and filled at once is read from its first record by a real
monitor, whatever that was doing meanwhile."""

import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from saga_lab.devstack.topics import event_topic, recreate_topic
from sagakit.kafka.consumer import TOPICS_S
from sagakit.kafka.inspector import LogEnds
from tests.kafka import publish_until_taken
from tests.monitor import EventPublisher, MonitorProcess, monitor, whole
from tests.stack import PATIENCE_S, TestInfra, live_infra, until

TOPIC = "payment.events"


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: nobody else's topic is deleted."""
    with live_infra(tmp_path_factory.mktemp("infra")) as found:
        yield found


def say(infra: TestInfra, orders: list[str]) -> None:
    """Their whole stories, as soon as every topic takes them."""
    publisher = EventPublisher(infra)
    rows = publisher.rows(*(event for order in orders for event in whole(order)))
    publish_until_taken(lambda: publisher.publish(rows), "the events are published")
    publisher.close()


def read_to_the_end(infra: TestInfra, url: str) -> bool:
    found = LogEnds(infra.bootstrap_servers).ends([TOPIC])
    ends = {partition: end for (_, partition), end in found.items() if end}
    with psycopg.connect(url) as connection:
        query = 'SELECT partition, "offset" FROM stream_offset WHERE topic = %s'
        return dict(connection.execute(query, [TOPIC]).fetchall()) == ends


def all_completed(process: MonitorProcess, orders: list[str]) -> bool:
    """It may have ended itself to start over, as a supervisor would have it."""
    process.revive()
    if not process.is_ready():
        return False
    try:
        rows = process.get("/sagas", status="completed", limit=10_000)
    except httpx2.HTTPError:  # it ended between the two requests: refused, or 503 while it starts
        return False
    return set(orders) <= {row["id"] for row in rows}


@pytest.mark.parametrize("meanwhile", ["it reads", "it stands still", "it is gone"])
def test_a_topic_recreated_is_read_from_its_first_record(
    infra: TestInfra, database_url: str, tmp_path: Path, meanwhile: str
) -> None:
    tag = uuid.uuid4().hex[:6]
    before = [f"n-{tag}-{n:03d}" for n in range(30)]
    since = [f"n-{tag}-since-{n:03d}" for n in range(150)]  # each partition is longer than it was
    options = {"group": f"saga-monitor-{tag}"}
    with monitor(infra, database_url, tmp_path / "monitor.log", **options) as process:
        process.start()
        say(infra, before)
        until(lambda: all_completed(process, before), "the first orders are read")
        until(lambda: read_to_the_end(infra, database_url), "and their offsets stored")
        until(lambda: identified(database_url), "and of which topic they are")
        if meanwhile == "it stands still":
            process.signal(signal.SIGSTOP)
        elif meanwhile == "it is gone":
            process.kill()
        recreate_topic(infra.bootstrap_servers, event_topic(TOPIC), lambda: None)
        say(infra, since)
        if meanwhile == "it stands still":
            process.signal(signal.SIGCONT)
        until(lambda: all_completed(process, since), "nothing of the new topic is passed over")
        until(lambda: read_to_the_end(infra, database_url), "the offsets are those of now")


def test_a_replica_that_was_given_its_partitions_while_a_topic_was_away_asks_for_all_of_them(
    infra: TestInfra, database_url: str, tmp_path: Path
) -> None:
    """Given a static member that lost a topic, and is killed before the topic is back; when it
    returns within its session; then Kafka would hand it what it had, without the topic."""
    tag = uuid.uuid4().hex[:6]
    before, since = ([f"s-{tag}-{part}{n:02d}" for n in range(20)] for part in "ab")
    group = f"saga-monitor-{tag}"
    with monitor(infra, database_url, tmp_path / "monitor.log", group=group) as process:
        process.start()
        say(infra, before)
        until(lambda: all_completed(process, before), "the first orders are read")

        def killed_without_it() -> None:
            until(lambda: TOPIC not in given(infra, group), "the topic is taken from the monitor")
            process.kill()

        recreate_topic(infra.bootstrap_servers, event_topic(TOPIC), killed_without_it)
        process.start(wait=False)
        say(infra, since)
        until(lambda: all_completed(process, since), "nothing of the new topic is passed over")


def given(infra: TestInfra, group: str) -> set[str]:
    """The topics that the group's members are to read; all while it is being decided."""
    described = AdminClient({"bootstrap.servers": infra.bootstrap_servers}).describe_consumer_groups
    members = described([group])[group].result(PATIENCE_S).members
    found = {tp.topic for member in members for tp in member.assignment.topic_partitions}
    return found or {TOPIC}


def test_a_topic_of_which_nothing_was_read_is_read_when_it_is_back(
    infra: TestInfra, database_url: str, tmp_path: Path
) -> None:
    """It is away for longer than clients keep what they know of topics, and no offset is stored
    that could tell of it (docs/reports/reliability.md, Y)."""
    tag = uuid.uuid4().hex[:6]
    orders = [f"a-{tag}-{n:02d}" for n in range(20)]
    with monitor(infra, database_url, tmp_path / "monitor.log", group=f"m-{tag}") as process:
        process.start()
        recreate_topic(
            infra.bootstrap_servers, event_topic(TOPIC), lambda: time.sleep(1.5 * TOPICS_S)
        )
        say(infra, orders)
        until(lambda: all_completed(process, orders), "everything is read")


def identified(url: str) -> bool:
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM stream_offset WHERE topic_id IS NULL"
        return connection.execute(query).fetchone() == (0,)
