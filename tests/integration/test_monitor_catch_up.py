"""A monitor that was stopped finds a long log when it is back: how fast it reads that, and that it
does not take for overdue what only it had not read."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.monitor import EventPublisher, keys_of, monitor, placed, reserved, whole
from tests.stack import TestInfra, live_infra, until

ORDERS, CHUNK, OVERDUE = 8_000, 400, 20
DEADLINE_MS = 2_000
SHORT = '{"payment": "2s", "shipping": "2s", "notification": "2s", "inventory": "2s"}'


@pytest.fixture
def infra(tmp_path: Path) -> Iterator[TestInfra]:
    """Of its own: every later monitor reads the topics of the session from their beginning."""
    with live_infra(tmp_path / "infra") as found:
        yield found


def count(url: str, query: str, orders: list[str]) -> int:
    """Of a query over these orders."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query, [keys_of(orders)]).fetchone()
    return int(row[0]) if row else 0


def test_a_long_backlog_is_read_and_nobody_healthy_is_undone(
    publisher: EventPublisher,
    infra: TestInfra,
    database_url: str,
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    tag = uuid.uuid4().hex[:6]
    first, *healthy = [f"b-{tag}-{n:05d}" for n in range(ORDERS)]
    overdue = [f"b-{tag}-late-{n:02d}" for n in range(OVERDUE)]
    options = {"group": f"saga-monitor-{tag}", "deadlines": SHORT}
    with monitor(infra, database_url, tmp_path / "monitor.log", **options) as process:
        process.start()
        publisher.publish_events(*whole(first))
        until(lambda: process.status(first) == "completed", "the first order is read")
        process.kill()
        publisher.publish_events(
            *(e for order in overdue for e in (placed(order), reserved(order)))
        )
        for n in range(0, len(healthy), CHUNK):
            publisher.publish_events(*(e for order in healthy[n : n + CHUNK] for e in whole(order)))
        passed_ms = publisher.log_time_ms() + DEADLINE_MS
        until(lambda: publisher.log_time_ms() > passed_ms, "every deadline has passed")
        process.start(wait=False)
        events = len(healthy) * len(whole(first))
        read = "SELECT count(*) FROM timeline WHERE saga = ANY(%s)"
        until(lambda: count(database_url, read, healthy) > 0, "reading begins")
        began, already = time.monotonic(), count(database_url, read, healthy)
        until(lambda: count(database_url, read, healthy) == events, "all is read")
        took_s = time.monotonic() - began
        asked = f"{read} AND type = 'CompensationRequested'"
        until(lambda: count(database_url, asked, overdue) >= OVERDUE, "overdue ones asked")
        assert count(database_url, asked, healthy) == 0
        done = "SELECT count(*) FROM saga WHERE saga = ANY(%s) AND status = 'completed'"
        assert count(database_url, done, healthy) == len(healthy)
    tell(f"{events} events of backlog read at {(events - already) / took_s:,.0f} events/s")
