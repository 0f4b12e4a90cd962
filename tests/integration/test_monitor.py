"""The monitor on a real broker and database: nothing read is lost, nothing healthy undone."""

import json
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from saga_lab.chaos.raw_batches import ZSTD, publish_raw, with_raw_header
from saga_monitor.saga.facts import emission_id
from sagakit.messages.envelope import OutboxRow
from schemas.events import OrderCancelRequested, ShipmentCancelled
from tests.monitor import (
    EventPublisher,
    MonitorProcess,
    keys_of,
    money_in,
    monitor,
    placed,
    reserved,
    review,
    whole,
)
from tests.stack import TestInfra, fresh_database, until

SHORT = '{"payment": "2s", "shipping": "2s"}'
DEADLINES_S = (2, 10, 60, 300)
"""Deadlines of one attempt after another, in seconds, see `in_time`."""


def order_ids(count: int) -> list[str]:
    tag = uuid.uuid4().hex[:8]
    return [f"o-{tag}-{n}" for n in range(count)]


def ends(process: MonitorProcess, ids: list[str], status: str) -> None:
    """Wait until these orders have a status."""

    def all_have() -> bool:
        rows = process.get("/sagas", status=status, limit=10_000)
        return set(ids) <= {row["id"] for row in rows}

    until(all_have, f"{len(ids)} orders {status}")


def reads(process: MonitorProcess, ids: list[str]) -> None:
    """Wait until the monitor has read that stock is reserved for these orders."""
    until(lambda: all("InventoryReserved" in process.types(o) for o in ids), "orders are read")


def rows(database_url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(query, parameters).fetchall()


def test_an_order_is_read_folded_and_shown(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    [order] = order_ids(1)
    for event in whole(order):
        publisher.publish_events(event)
    until(lambda: running.status(order) == "completed", "order completed")
    saga = running.saga(order)
    assert saga is not None
    assert [e["type"] for e in saga["timeline"]] == [e.type for e in whole(order)]
    assert saga["timeline"][1]["caused_by"] == "OrderPlaced"
    assert money_in(saga)["held"] == 500
    assert {s["status"] for s in saga["steps"]} == {"done"}
    assert saga["awaited"] == []
    assert "example.org" not in str(saga)


def test_garbage_is_kept_with_its_reason_and_the_stream_flows_on(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    bad, good = order_ids(6), order_ids(24)
    [fine] = publisher.rows(placed(bad[0]))
    type_header = tuple((k, b"PaymentCaptured" if k == "ce_type" else v) for k, v in fine.headers)
    [cancel] = publisher.rows(
        OrderCancelRequested(order_id=bad[5], actor="a\0b", reason="nul \0 in text")
    )
    publisher.publish(
        [
            OutboxRow("order.events", bad[0], (), b"\x00garbage"),
            OutboxRow("order.events", bad[1], (), b""),
            OutboxRow("order.events", bad[2], fine.headers, fine.value[:40]),
            OutboxRow("order.events", bad[0], type_header, fine.value),
            OutboxRow("payment.events", bad[0], fine.headers, fine.value),
            OutboxRow("order.events", "x" * 500, fine.headers, fine.value),
            OutboxRow("order.events", bad[3], fine.headers, fine.value + bytes(600_000)),
            *publisher.rows(placed(bad[4]), flow="order/99"),
            cancel,
        ]
    )
    for order in good:  # on every partition, behind the garbage
        publisher.publish_events(*whole(order))
    ends(running, good, "completed")
    unreadable = running.get("/unreadable")
    codes = [row["code"] for row in unreadable if row["key"] in (*bad, "x" * 500)]
    assert sorted(codes) == [
        "bad_key",
        "oversized",
        "undecodable",
        "undecodable",
        "undecodable",
        "undecodable",
        "undecodable",
        "unknown_flow",
    ]
    assert running.types(bad[5]) == ["OrderCancelRequested"]
    assert running.is_ready()


def test_what_the_client_cannot_read_is_kept_with_its_reason_and_the_stream_flows_on(
    running: MonitorProcess, publisher: EventPublisher, infra: TestInfra
) -> None:
    # Given a header name that is no UTF-8, and a batch that unpacks to very much
    [order, bad] = order_ids(2)
    [first, second] = publisher.rows(placed(order)), publisher.rows(placed(bad))
    bomb = OutboxRow("order.events", bad, (), bytes(64 * 2**20))
    at = publish_raw(infra.bootstrap_servers, [*first, with_raw_header(second[0])])
    publish_raw(infra.bootstrap_servers, [bomb], compression=ZSTD)
    # When a good order stands before and behind them
    publisher.publish_events(*whole(order)[1:])
    # Then they are unreadable records, and the order is complete without a restart
    ends(running, [order], "completed")

    def reasons() -> dict[int, str]:
        rows = running.get("/unreadable")
        return {r["offset"]: r["error"] for r in rows if r["topic"] == "order.events"}

    found = until(lambda: reasons() if at + 2 in reasons() else None, "both are unreadable")
    assert "header names must be UTF-8" in found[at + 1]
    assert "cannot be unpacked" in found[at + 2]
    assert running.is_ready()


def test_killed_in_the_middle_it_goes_on_where_its_database_ends(
    running: MonitorProcess, publisher: EventPublisher, database_url: str
) -> None:
    orders = order_ids(300)
    sent: list[OutboxRow] = []
    for half in (orders[:150], orders[150:]):
        sent += publisher.publish_events(*(event for order in half for event in whole(order)))
        until(lambda: rows(database_url, "SELECT count(*) FROM timeline")[0][0] > 0, "first rows")
        running.kill()
        running.start(wait=False)
    publisher.publish(sent[:500])  # what an outbox publishes again after a crash
    until(running.is_ready, "monitor ready")
    ends(running, orders, "completed")
    [(events,)] = rows(
        database_url, "SELECT count(*) FROM timeline WHERE saga = ANY(%s)", keys_of(orders)
    )
    assert events == len(sent)


def test_a_new_database_is_filled_from_the_first_record_whatever_the_group_has_committed(
    running: MonitorProcess,
    publisher: EventPublisher,
    infra: TestInfra,
    group: str,
    tmp_path: Path,
) -> None:
    orders = order_ids(20)
    publisher.publish_events(*(event for order in orders for event in whole(order)))
    ends(running, orders, "completed")
    running.signal(signal.SIGTERM)
    assert running.exit_status() == 0
    empty = fresh_database(infra)
    with monitor(infra, empty, tmp_path / "second.log", group=group) as second:
        ends(second.start(), orders, "completed")


def test_a_batch_that_cannot_be_written_is_not_skipped(
    running: MonitorProcess, publisher: EventPublisher, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE timeline RENAME TO hidden")
        [order] = order_ids(1)
        publisher.publish_events(*whole(order))
        assert running.exit_status() == 1
        connection.execute("ALTER TABLE hidden RENAME TO timeline")
    running.start()
    until(lambda: running.status(order) == "completed", "order completed")


def test_a_step_overdue_in_log_time_is_undone_under_one_id_by_every_monitor(
    publisher: EventPublisher, infra: TestInfra, database_url: str, group: str, tmp_path: Path
) -> None:
    [order] = order_ids(1)
    options = {"deadlines": SHORT}
    with monitor(infra, database_url, tmp_path / "a.log", group=group, **options) as first:
        first.start()
        publisher.publish_events(placed(order), reserved(order))
        until(lambda: "CompensationRequested" in first.types(order), "request to undo")
    with monitor(
        infra, fresh_database(infra), tmp_path / "b.log", group=f"{group}-b", **options
    ) as second:
        second.start()
        until(lambda: "CompensationRequested" in second.types(order), "request read back")
        until(lambda: second.types(order).count("CompensationRequested") > 1, "second request")
        saga = second.saga(order)
    assert saga is not None
    asked = [e for e in saga["timeline"] if e["type"] == "CompensationRequested"]
    expected = [
        ("payment", str(emission_id(f"order/{order}", "deadline", "payment", 1))),
        ("shipping", str(emission_id(f"order/{order}", "deadline", "shipping", 1))),
    ]
    assert [(e["detail"]["step"], e["event_id"]) for e in asked[:2]] == expected
    (due_by,) = [e for e in saga["timeline"] if e["type"] == "InventoryReserved"]
    assert asked[0]["causation"] == due_by["event_id"]
    assert asked[0]["source"] == "saga_monitor"


def in_time(attempt: Callable[[int], bool]) -> None:
    """Play an attempt with longer deadlines until it halts the monitor before one has passed.

    What the machine needs to read some events decides how short a deadline can be, not the verdict.
    """
    assert any(map(attempt, DEADLINES_S)), f"nothing is read within {DEADLINES_S[-1]} s"


def short(group: str, deadline_s: int) -> dict[str, str]:
    """The group and the deadlines of the monitor of one attempt."""
    deadlines = json.dumps(dict.fromkeys(("payment", "shipping"), f"{deadline_s}s"))
    return {"group": f"{group}-{deadline_s}", "deadlines": deadlines}


def test_a_monitor_that_stood_still_undoes_nothing_that_went_on_meanwhile(
    publisher: EventPublisher, infra: TestInfra, group: str, tmp_path: Path
) -> None:
    def attempt(deadline_s: int) -> bool:
        healthy, overdue = order_ids(20), order_ids(1)
        everyone = [*healthy, *overdue]
        database_url, log = fresh_database(infra), tmp_path / f"{deadline_s}.log"
        with monitor(infra, database_url, log, **short(group, deadline_s)) as process:
            process.start()
            first_due_ms = publisher.log_time_ms() + deadline_s * 1000
            publisher.publish_events(
                *(e for order in everyone for e in (placed(order), reserved(order)))
            )
            reads(process, everyone)
            process.signal(signal.SIGSTOP)
            if publisher.log_time_ms() >= first_due_ms:
                process.signal(signal.SIGCONT)
                return False
            for order in healthy:
                publisher.publish_events(*whole(order)[2:])
            resume_at_ms = publisher.log_time_ms() + (deadline_s + 2) * 1000
            until(lambda: publisher.log_time_ms() > resume_at_ms, "log time passes the deadlines")
            process.signal(signal.SIGCONT)
            until(lambda: "CompensationRequested" in process.types(overdue[0]), "request to undo")
            ends(process, healthy, "completed")
            assert [o for o in healthy if "CompensationRequested" in process.types(o)] == []
        return True

    in_time(attempt)


def test_a_monitor_behind_in_reading_undoes_nothing(
    publisher: EventPublisher, infra: TestInfra, group: str, tmp_path: Path
) -> None:
    """The watch goes on ticking while the projection hangs with the answers still unread."""
    hangs = (
        "SELECT 1 FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def attempt(deadline_s: int) -> bool:
        [*healthy, overdue, other] = order_ids(22)
        database_url, log = fresh_database(infra), tmp_path / f"{deadline_s}.log"
        with (
            monitor(infra, database_url, log, **short(group, deadline_s)) as process,
            psycopg.connect(database_url) as holding,
            psycopg.connect(database_url, autocommit=True) as looking,
        ):
            process.start()
            first_due_ms = publisher.log_time_ms() + deadline_s * 1000
            for order in (*healthy, overdue):
                publisher.publish_events(placed(order), reserved(order))
            reads(process, [*healthy, overdue])
            holding.execute("LOCK TABLE timeline IN EXCLUSIVE MODE")
            publisher.publish_events(placed(other))
            until(lambda: looking.execute(hangs).fetchone() is not None, "the projection hangs")
            if publisher.log_time_ms() >= first_due_ms:
                holding.rollback()
                return False
            for order in healthy:
                publisher.publish_events(*whole(order)[2:])
            late_ms = publisher.log_time_ms() + (deadline_s + 4) * 1000  # and some ticks
            until(lambda: publisher.log_time_ms() > late_ms, "log time passes the deadlines")
            holding.rollback()
            until(lambda: "CompensationRequested" in process.types(overdue), "request to undo")
            ends(process, healthy, "completed")
            assert [o for o in healthy if "CompensationRequested" in process.types(o)] == []
        return True

    in_time(attempt)


def test_what_people_decide_becomes_an_event_and_too_late_is_refused(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    waiting, shipped, cancelled = order_ids(3)
    who = {"actor": "ada", "reason": "known customer"}
    yes = {"saga": f"order/{waiting}", "step": "payment", "verdict": "approve", **who}
    assert running.post("/verdicts", yes).status_code == 404
    publisher.publish_events(placed(waiting), reserved(waiting), review(waiting))
    publisher.publish_events(*whole(shipped))
    publisher.publish_events(placed(cancelled), reserved(cancelled))
    ends(running, [waiting], "waiting")
    ends(running, [shipped], "completed")
    assert running.post("/verdicts", {**yes, "step": "astrology"}).status_code == 422
    assert running.post("/verdicts", {**yes, "actor": ""}).status_code == 422
    first = running.post("/verdicts", yes)
    assert first.status_code == 202
    until(lambda: "VerdictGiven" in running.types(waiting), "verdict read back")
    saga = running.saga(waiting)
    assert saga is not None
    verdict = saga["timeline"][-1]
    assert verdict["event_id"] == first.json()["id"]
    assert verdict["detail"] == {"step": "payment", "verdict": "approve", **who}
    again = running.post("/verdicts", yes)
    assert again.status_code == 409
    assert "waits for no verdict" in again.json()["detail"]

    late = running.post("/cancellations", {"saga": f"order/{shipped}", **who})
    assert (late.status_code, "completed since" in late.json()["detail"]) == (409, True)
    assert running.post("/cancellations", {"saga": f"order/{cancelled}", **who}).status_code == 202
    until(lambda: running.status(cancelled) == "undoing", "cancellation read back")
    assert running.post("/cancellations", {"saga": f"order/{cancelled}", **who}).status_code == 409
    publisher.publish_events(ShipmentCancelled(order_id=cancelled, reason="asked"))
    until(lambda: len(running.types(cancelled)) == 4, "fence read")
    [row] = [r for r in running.get("/sagas", status="undoing") if r["id"] == cancelled]
    assert row["awaited"] == "payment: PaymentRefunded or PaymentDeclined"


def test_a_stop_in_good_order_ends_with_status_0(running: MonitorProcess) -> None:
    running.signal(signal.SIGTERM)
    assert running.exit_status() == 0


def test_a_deadline_for_a_step_that_no_flow_has_is_reported(
    infra: TestInfra, database_url: str, group: str, tmp_path: Path
) -> None:
    log = tmp_path / "monitor.log"
    with monitor(infra, database_url, log, group=group, deadlines='{"pay": "2s"}') as process:
        process.start(wait=False)
        assert process.exit_status() == 2
    assert "SAGA_DEADLINES: no flow has a step pay" in log.read_text()
