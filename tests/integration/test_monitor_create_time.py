"""A topic that lets publishers date their records: refused at the start, and nothing is judged by
their clocks while a real monitor runs."""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.kafka import alter_topic
from tests.monitor import EventPublisher, MonitorProcess, monitor, placed
from tests.stack import PATIENCE_S, TestInfra, live_infra, until

TOPIC = "order.events"
STAMPS_MS: dict[str, Callable[[], int]] = {
    "two hours ago": lambda: round(1000 * (time.time() - 7200)),
    "in fifty minutes": lambda: round(1000 * (time.time() + 3000)),
    "at the beginning of time": lambda: 1,
}


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: a topic that others use is set wrong."""
    with live_infra(tmp_path_factory.mktemp("infra")) as found:
        yield found


@pytest.fixture
def create_time(infra: TestInfra) -> Iterator[None]:
    """What sets the topic right again."""
    yield
    alter_topic(infra.bootstrap_servers, TOPIC, {"message.timestamp.type": "LogAppendTime"})


@pytest.mark.usefixtures("create_time")
def test_a_monitor_does_not_start_on_it(
    infra: TestInfra, database_url: str, group: str, tmp_path: Path
) -> None:
    alter_topic(infra.bootstrap_servers, TOPIC, {"message.timestamp.type": "CreateTime"})
    log = tmp_path / "monitor.log"
    with monitor(infra, database_url, log, group=group) as process:
        assert process.start(wait=False).exit_status() == 2
    assert f"monitor: topic {TOPIC} has message.timestamp.type=CreateTime" in log.read_text()


@pytest.mark.usefixtures("create_time")
def test_no_deadline_is_judged_by_a_publishers_clock(
    infra: TestInfra, running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given a topic set wrong while the monitor runs, and orders with stamps of their publisher
    alter_topic(infra.bootstrap_servers, TOPIC, {"message.timestamp.type": "CreateTime"})
    tag = uuid.uuid4().hex[:8]
    stamps = {f"ct-{tag}-{n}": stamp() for n, stamp in enumerate(STAMPS_MS.values())}
    producer = Producer({"bootstrap.servers": infra.bootstrap_servers})
    before_ms = publisher.log_time_ms()
    for order, stamp in stamps.items():
        [row] = publisher.rows(placed(order))
        headers: list[tuple[str, str | bytes | None]] = list(row.headers)
        producer.produce(row.topic, row.value, row.key, headers=headers, timestamp=stamp)
    assert producer.flush(PATIENCE_S) == 0
    # When the monitor has read them
    until(lambda: all(running.status(order) for order in stamps), "the orders are read")
    # Then each counts as appended now, by the broker's clock
    for order in stamps:
        saga = running.saga(order)
        assert saga is not None
        at_ms = 1000 * datetime.fromisoformat(saga["timeline"][0]["at"]).timestamp()
        assert before_ms <= at_ms <= publisher.log_time_ms()
        assert running.types(order) == ["OrderPlaced"]
