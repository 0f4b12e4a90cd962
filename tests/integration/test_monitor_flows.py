"""Versions in flight on a real monitor: counted, and not to be retired while orders need them."""

import uuid
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from click.testing import CliRunner, Result

from saga_cli.monitor.flows import flows
from schemas import FLOWS
from schemas.events import FraudCleared, PointsGranted
from tests.monitor import FACTS, EventPublisher, MonitorProcess, placed, whole
from tests.stack import PATIENCE_S, until


def count(process: MonitorProcess, flow: str) -> dict[str, Any]:
    (row,) = [row for row in process.get("/flows") if row["flow"] == flow]
    found: dict[str, Any] = row
    return found


def in_flight(row: dict[str, Any]) -> str:
    number = row["in_flight"]
    return f"{number} saga{'s' * (number != 1)} in flight"


def test_a_version_is_needed_until_its_last_order_has_ended(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    def retirement() -> httpx2.Response:
        return httpx2.get(
            f"{running.url}/flows/retirement", params={"flow": "order/2"}, timeout=PATIENCE_S
        )

    order = f"o-{uuid.uuid4().hex[:8]}"
    until(lambda: "cannot tell yet" not in retirement().text, "the log is read")
    before = count(running, "order/2")
    start, *rest = whole(order)
    publisher.publish_events(start, flow="order/2")
    until(lambda: running.status(order) == "running", "order running")
    now = count(running, "order/2")
    assert now["in_flight"] == before["in_flight"] + 1
    assert retirement().status_code == 409
    assert f"order/2 still has {in_flight(now)}" in retirement().json()["detail"]
    publisher.publish_events(*rest, flow="order/2")
    until(lambda: running.status(order) == "completed", "order completed")
    assert count(running, "order/2")["ended"] == before["ended"] + 1
    assert (retirement().status_code == 200) == (before["in_flight"] == 0)


def saga_row(order: str, label: str) -> tuple[Any, ...]:
    """All events of an order that goes well on this version, each step after those before it."""
    start, reserved, *rest = whole(order)
    if label == "order/2":
        captured, *rest = rest
        return (start, captured, reserved, *rest)
    cleared = FraudCleared(order_id=order, order=FACTS)
    granted = PointsGranted(order_id=order, loyalty_card="L-1", points=5)
    checked = (cleared, reserved) if label in ("order/3", "order/4") else (reserved,)
    return (start, *checked, *rest, *([granted] if label == "order/4" else ()))


def test_orders_on_every_version_are_in_flight_at_once_and_each_ends_on_its_own(
    running: MonitorProcess, publisher: EventPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(*words: str) -> Result:
        return CliRunner().invoke(flows, words)

    monkeypatch.setenv("SAGA_MONITOR_URL", running.url)
    monkeypatch.setenv("COLUMNS", "200")
    (flow,) = FLOWS
    labels = [flow.label(version) for version in flow.versions]
    orders = {label: f"o-{uuid.uuid4().hex[:8]}" for label in labels}
    until(lambda: "cannot tell yet" not in command("retire", labels[-1]).output, "read")
    before = {label: count(running, label) for label in labels}
    for label, order in orders.items():
        publisher.publish_events(*saga_row(order, label)[:-1], flow=label)
    for label, order in orders.items():
        until(lambda o=order: running.status(o) == "running", f"{label} runs")  # type: ignore[misc]
        now = count(running, label)
        assert now["in_flight"] == before[label]["in_flight"] + 1
        row = next(line for line in command().output.splitlines() if label in line)
        assert row.split()[:2] == [label, str(now["in_flight"])]
        refused = command("retire", label)
        assert refused.exit_code == 1
        why = "is the default version" if now["default"] else in_flight(now)
        assert why in refused.output
    for label, order in orders.items():
        publisher.publish_events(saga_row(order, label)[-1], flow=label)
        until(lambda o=order: running.status(o) == "completed", f"{label} ends")  # type: ignore[misc]
        assert count(running, label)["in_flight"] == before[label]["in_flight"]
        assert running.get(f"/sagas/order/{order}")["flow"] == label
        gone = not before[label]["in_flight"] and label != flow.label(flow.default_version)
        assert (command("retire", label).exit_code == 0) == gone


def test_without_a_version_that_has_orders_the_monitor_does_not_start(
    running: MonitorProcess, publisher: EventPublisher, database_url: str, tmp_path: Path
) -> None:
    order = f"o-{uuid.uuid4().hex[:8]}"
    publisher.publish_events(placed(order))
    until(lambda: running.status(order) == "running", "order running")
    running.kill()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE saga SET version = 99 WHERE saga = %s", [f"order/{order}"])
        running.start(wait=False)
        assert running.exit_status() == 2
        saga_row = f"flow files: order/99 (1 saga, such as order/{order}); put them back"
        assert saga_row in (tmp_path / "monitor.log").read_text()
        connection.execute("UPDATE saga SET version = 1 WHERE saga = %s", [f"order/{order}"])
    running.start()
    assert running.status(order) == "running"
