"""A saga of the past on a real monitor: as the log knew it, and as the monitor had read it."""

import uuid
from typing import Any

import httpx2
from click.testing import CliRunner

from saga_cli.monitor.sagas import show
from tests.monitor import (
    EventPublisher,
    MonitorProcess,
    captured,
    money_in,
    placed,
    reserved,
    whole,
)
from tests.stack import PATIENCE_S, until


def types(seen: dict[str, Any]) -> list[str]:
    return [event["type"] for event in seen["timeline"]]


def outage(process: MonitorProcess, publisher: EventPublisher, order: str) -> dict[str, Any]:
    """An order of which the monitor read the start, then stood still, and later read the rest."""
    publisher.publish_events(placed(order))
    until(lambda: process.types(order), "the start is read")
    process.kill()
    publisher.publish_events(reserved(order))
    publisher.log_time_ms()
    publisher.publish_events(captured(order))
    process.start()
    until(lambda: "PaymentCaptured" in process.types(order), "the rest is read")
    found = process.saga(order)
    assert found is not None
    return found


def test_an_outage_shows_in_what_was_read_and_not_in_the_log(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given an order of which two events came while the monitor stood still
    order = f"o-{uuid.uuid4().hex[:8]}"
    today = outage(running, publisher, order)
    path, (_, _, last) = f"/sagas/order/{order}", today["timeline"]
    # When it is asked for the moment of the last of them
    as_of = running.get(path, at=last["at"])
    as_known = running.get(path, at=last["at"], basis="read")
    # Then the log had all three and the monitor one; both say that two were not read
    assert types(as_of) == ["OrderPlaced", "InventoryReserved", "PaymentCaptured"]
    assert types(as_known) == ["OrderPlaced"]
    assert (money_in(as_of)["held"], money_in(as_known)["held"]) == (500, 0)
    assert [a["step"] for a in as_of["awaited"]] == ["shipping"]
    assert [a["step"] for a in as_known["awaited"]] == ["inventory"]
    counts = [(s["point"]["events"], s["point"]["unread"]) for s in (as_of, as_known)]
    assert counts == [(3, 2), (1, 2)]
    # And once all was read, what was known is what the log had
    known = running.get(path, at=last["read_at"], basis="read")
    assert types(known) == types(today)


def test_as_of_now_the_answer_is_that_of_today(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    # Given an order that has ended, and one in flight
    order, child = (f"o-{uuid.uuid4().hex[:8]}" for _ in range(2))
    publisher.publish_events(*whole(order))
    until(lambda: running.status(order) == "completed", "order completed")
    publisher.publish_events(placed(child))
    until(lambda: running.status(child) == "running", "the other is read")
    for asked in (order, child):
        today = running.get(f"/sagas/order/{asked}")
        last = max(event["read_at"] for event in today["timeline"])
        for basis in ("log", "read"):
            # When it is asked for the time at which its last event was read
            then = running.get(f"/sagas/order/{asked}", at=last, basis=basis)
            # Then only the live parts differ: what blocks it, and how far the log is read
            assert then.pop("point")["later"] == 0
            live = ("blocked_by", "read_through")
            assert {k: v for k, v in then.items() if k not in live} == {
                k: v for k, v in today.items() if k not in live
            }


def test_the_command_shows_the_past(running: MonitorProcess, publisher: EventPublisher) -> None:
    order = f"o-{uuid.uuid4().hex[:8]}"
    publisher.publish_events(*whole(order))
    until(lambda: running.status(order) == "completed", "order completed")
    start = running.get(f"/sagas/order/{order}")["timeline"][0]["at"]

    def shown(*options: str) -> str:
        env = {"SAGA_MONITOR_URL": running.url, "COLUMNS": "200"}
        return CliRunner().invoke(show, [order, *options], env=env).output

    assert f"as the log knew it at {start.replace('+00:00', 'Z')}: " in shown("--at", start)
    assert "completed" not in shown("--at", start)
    assert "the monitor had read no event" in shown("--at", start, "--as-known")
    assert "completed" in shown()
    missing = httpx2.get(
        f"{running.url}/sagas/order/{order}?at=1999-01-01T00:00:00Z", timeout=PATIENCE_S
    )
    assert missing.status_code == 404
    assert "is in the future" in shown("--at", "2999-01-01T00:00:00Z")
