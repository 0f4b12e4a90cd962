"""Versions in flight on a real monitor: counted, and not to be retired while orders need them."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.monitor import MonitorProcess, Voice, monitor, placed, whole
from tests.stack import TestInfra, until


@pytest.fixture
def voice(infra: TestInfra) -> Iterator[Voice]:
    said = Voice(infra)
    yield said
    said.close()


@pytest.fixture
def running(infra: TestInfra, database_url: str, tmp_path: Path) -> Iterator[MonitorProcess]:
    group = f"saga-monitor-{uuid.uuid4().hex[:8]}"
    with monitor(infra, database_url, tmp_path / "monitor.log", group=group) as process:
        yield process.start()


def count(process: MonitorProcess, flow: str) -> dict[str, Any]:
    (row,) = [row for row in process.get("/flows") if row["flow"] == flow]
    found: dict[str, Any] = row
    return found


def test_a_version_is_needed_until_its_last_order_has_ended(
    running: MonitorProcess, voice: Voice
) -> None:
    def retirement() -> httpx.Response:
        return httpx.get(f"{running.url}/flows/retirement", params={"flow": "order/2"}, timeout=30)

    order = f"o-{uuid.uuid4().hex[:8]}"
    until(lambda: "cannot tell yet" not in retirement().text, "the log is read")
    before = count(running, "order/2")
    start, *rest = whole(order)
    voice.say(start, flow="order/2")
    until(lambda: running.status(order) == "running", "order running")
    now = count(running, "order/2")
    assert now["in_flight"] == before["in_flight"] + 1
    assert retirement().status_code == 409
    assert f"order/2 has {now['in_flight']} orders in flight" in retirement().json()["detail"]
    voice.say(*rest, flow="order/2")
    until(lambda: running.status(order) == "completed", "order completed")
    assert count(running, "order/2")["ended"] == before["ended"] + 1
    assert (retirement().status_code == 200) == (before["in_flight"] == 0)


def test_without_a_version_that_has_orders_the_monitor_does_not_start(
    running: MonitorProcess, voice: Voice, database_url: str, tmp_path: Path
) -> None:
    order = f"o-{uuid.uuid4().hex[:8]}"
    voice.say(placed(order))
    until(lambda: running.status(order) == "running", "order running")
    running.kill()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE saga SET version = 99 WHERE order_id = %s", [order])
        running.start(wait=False)
        assert running.exit_status() == 2
        told = f"missing: order/99 (1 orders, such as {order}); put them back"
        assert told in (tmp_path / "monitor.log").read_text()
        connection.execute("UPDATE saga SET version = 1 WHERE order_id = %s", [order])
    running.start()
    assert running.status(order) == "running"
