"""The monitor's metrics as Prometheus reads them off a real monitor."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.monitor import EventPublisher, MonitorProcess, monitor, placed, reserved, whole
from tests.stack import TestInfra, until

FLOW = {"flow": "order", "version": "1"}


@pytest.fixture
def running(infra: TestInfra, database_url: str, tmp_path: Path) -> Iterator[MonitorProcess]:
    """It reads from the first record of the topics."""
    group = f"saga-monitor-{uuid.uuid4().hex[:8]}"
    options = {"deadlines": '{"inventory": "1s"}'}
    with monitor(infra, database_url, tmp_path / "monitor.log", group=group, **options) as process:
        yield process.start()


TABLES = {
    "saga_sagas_total": (
        {**FLOW, "became": "completed"},
        "SELECT count(*) FROM saga WHERE status = 'completed' AND version = 1",
    ),
    "saga_balance_moved_total": (
        {"flow": "order", "balance": "money", "kind": "EUR", "moved": "added"},
        "SELECT sum(added) FROM balance WHERE name = 'money' AND kind = 'EUR'",
    ),
    "saga_timeouts_total": (
        {**FLOW, "step": "inventory"},
        "SELECT count(*) FROM timeline t JOIN saga s ON s.saga = t.saga "
        "WHERE type = 'CompensationRequested' AND source = 'saga_monitor' AND s.version = 1 "
        'AND detail @> \'{"code": "deadline", "step": "inventory", "attempt": 1}\'',
    ),
}
"""Metric -> its labels, and what the tables say: a monitor that began on an empty database has
counted everything in them, the orders of other tests as well."""


def test_what_becomes_of_orders_is_counted_and_timed(
    running: MonitorProcess, publisher: EventPublisher, database_url: str
) -> None:
    done, late = f"o-{uuid.uuid4().hex[:8]}", f"o-{uuid.uuid4().hex[:8]}"
    in_stock, later = whole(done)[:2], whole(done)[2:]
    publisher.publish_events(*in_stock)  # both at once: this step alone has a deadline of a second
    for event in (*later, placed(late)):  # one after the other, as in life
        publisher.publish_events(event)
    until(lambda: "CompensationRequested" in running.types(late), "request to undo")
    until(lambda: running.status(done) == "completed", "order completed")

    def agrees(name: str) -> bool:
        labels, query = TABLES[name]
        with psycopg.connect(database_url) as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return bool(row[0]) and running.metric(name, **labels) == float(row[0])

    for name in TABLES:
        until(lambda n=name: agrees(n), f"{name} as in the tables")  # type: ignore[misc]
    steps = {**FLOW, "step": "payment", "outcome": "done"}
    assert running.metric("saga_step_seconds_count", **steps) >= 1
    assert running.metric("saga_deadline_late_seconds_count", step="inventory") >= 1
    assert running.metric("saga_queue_wait_seconds_count", topic="order.events") >= 2


def test_what_is_in_flight_waits_for_people_or_is_unread_is_shown(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    order = f"o-{uuid.uuid4().hex[:8]}"
    until(lambda: running.metric("saga_read_through_age_s") > 0, "all is read")
    with_people = {**FLOW, "status": "intervention"}
    in_flight = running.metric("saga_in_flight", **with_people)
    cases = running.metric("saga_interventions", code="manual", status="open", up_to="1h")
    publisher.publish_events(placed(order), reserved(order))
    until(lambda: running.status(order) is not None, "order read")
    who = {"saga": f"order/{order}", "actor": "ada", "reason": "strange"}
    assert running.post("/interventions/open", who).status_code == 202
    until(lambda: running.status(order) == "intervention", "case read back")
    assert running.metric("saga_in_flight", **with_people) == in_flight + 1
    assert (
        running.metric("saga_interventions", code="manual", status="open", up_to="1h") == cases + 1
    )
    until(lambda: running.metric("saga_unread") == 0, "nothing is unread")
    assert running.metric("saga_unreadable") == len(running.get("/unreadable", limit=10_000))
    assert running.metric("saga_read_through_age_s") < 60
