"""A right to read is revoked under load: the monitor says so, and goes on once it has it again."""

import itertools
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.kafka_rights import Right
from tests.monitor import EventPublisher, MonitorProcess, monitor, whole
from tests.stack import PATIENCE_S, TestInfra, fresh_database, live_infra, until

TOPIC = "payment.events"


@pytest.fixture(scope="module")
def own_infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: nobody else may read the topic meanwhile."""
    with live_infra(tmp_path_factory.mktemp("rights")) as found:
        yield found


def missing(process: MonitorProcess) -> str:
    """What the monitor lacks to be ready."""
    answer = httpx2.get(f"{process.url}/health/ready", timeout=PATIENCE_S)
    return "" if answer.status_code == 200 else answer.text


def test_a_revoked_right_is_told_until_it_is_given_back(
    own_infra: TestInfra, group: str, tmp_path: Path
) -> None:
    ids = (f"a-{uuid.uuid4().hex[:8]}-{n}" for n in itertools.count())
    right, stop, published = Right(own_infra.bootstrap_servers, TOPIC), threading.Event(), []
    with (
        closing(EventPublisher(own_infra)) as publisher,
        monitor(
            own_infra, fresh_database(own_infra), tmp_path / "monitor.log", group=group
        ) as process,
    ):
        # Given a monitor under load
        process.start()

        def load() -> None:
            while not stop.wait(0.05):
                published.append(next(ids))
                publisher.publish_events(*whole(published[-1]))

        sender = threading.Thread(target=load)
        sender.start()
        try:
            until(lambda: published and process.status(published[0]) == "completed", "it reads")
            # When the right to read a topic is revoked
            right.revoke()
            # Then it is not ready, and names the topic
            reason = until(lambda: missing(process), "the monitor is not ready")
            assert f"the broker refuses reads, {TOPIC}" in reason
            # And other topics are read on
            later = until(lambda: published[-1], "another order")
            until(lambda: "OrderPlaced" in process.types(later), "other topics are read")
            assert "PaymentCaptured" not in process.types(later)
        finally:
            stop.set()
            sender.join()
        # When it is given back
        right.give_back()
        # Then the same process goes on by itself, and has all
        until(lambda: process.status(published[-1]) == "completed", "all is read")
        until(process.is_ready, "the monitor is ready")
        assert process.runs()
        assert {process.status(one) for one in published} == {"completed"}
