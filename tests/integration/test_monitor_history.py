"""History on a real monitor: what has long ended moves away, is found there, and comes back."""

import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from saga_cli.monitor.sagas import ls, show
from saga_monitor.reconciliation.sources import sagas
from saga_monitor.saga.facts import Fact
from saga_monitor.storage import store
from saga_monitor.storage.archiver import Archiver
from saga_monitor.storage.stored_saga import StoredSaga, dump_facts
from saga_monitor.storage.tables import HISTORY, intervention, saga, timeline
from sagakit.contract.platform import InterventionOpened
from sagakit.store.postgres import engine_for
from sagakit.store.rebuild import differences
from schemas.events import InventoryReleased, PaymentRefunded, ShipmentCancelled
from tests.monitor import (
    UNITS,
    EventPublisher,
    MonitorProcess,
    captured,
    keys_of,
    money_in,
    monitor,
    placed,
    reserved,
    whole,
)
from tests.stack import PATIENCE_S, TestInfra, fresh_database, until

ADA = {"actor": "ada", "reason": "the auditors ask for it"}
BOB = {"actor": "bob", "reason": "the auditors have gone"}


@pytest.fixture
def monitor_settings() -> Mapping[str, str]:
    """Finished orders are kept at hand for a second."""
    return {"SAGA_HISTORY_AFTER_S": "1"}


def order_id() -> str:
    return f"o-{uuid.uuid4().hex[:8]}"


def is_history(process: MonitorProcess, order: str) -> bool:
    found = process.saga(order)
    return found is not None and bool(found["history"])


def listed(process: MonitorProcess, **wanted: Any) -> set[str]:
    return {row["id"] for row in process.get("/sagas", limit=10_000, **wanted)}


def undone(order: str) -> tuple[Any, ...]:
    """All events of an order that was undone before it was paid."""
    return (
        placed(order),
        reserved(order),
        ShipmentCancelled(order_id=order, reason="asked"),
        PaymentRefunded(order_id=order, amount_minor=0, reason="asked"),
        InventoryReleased(order_id=order, lines=UNITS, reason="asked"),
    )


def test_a_finished_order_moves_and_is_found(
    running: MonitorProcess, publisher: EventPublisher, database_url: str, engine: Engine
) -> None:
    done, gone, flying, asked = (order_id() for _ in range(4))
    publisher.publish_events(*whole(done))
    publisher.publish_events(*undone(gone))
    publisher.publish_events(placed(flying), reserved(flying))
    publisher.publish_events(*whole(asked))
    publisher.publish_events(
        InterventionOpened(saga_id=asked, code="manual", reason="look", actor="ada")
    )
    until(lambda: is_history(running, done) and is_history(running, gone), "two are history")
    assert not is_history(running, flying), "it is in flight"
    assert not is_history(running, asked), "a case is open"
    assert listed(running) & {done, gone, flying, asked} == {flying, asked}
    assert {done, gone} <= listed(running, history=True)
    assert listed(running, history=True, status="cancelled") & {done, gone} == {gone}
    found = running.saga(done)
    assert found is not None
    assert sorted(running.types(done)) == sorted(e.type for e in whole(done))
    assert (found["status"], money_in(found)["held"]) == ("completed", 500)
    assert running.get(f"/evidence/order/{done}")["view"]["status"] == "completed"
    env = {"SAGA_MONITOR_URL": running.url}
    output = CliRunner().invoke(show, [done], env=env).output
    assert "ShippedMailSent" in output
    assert "history" in output
    assert done in CliRunner().invoke(ls, ["--history", "--limit", "10000"], env=env).output
    kept = sagas(engine, datetime.now(UTC) + timedelta(minutes=1))
    row = kept[f"order/{done}"]
    assert (row.status, row.balances["money"]) == ("completed", (500, 0))
    assert {*keys_of((gone, flying, asked))} <= kept.keys(), "a reconciliation knows all"
    with psycopg.connect(database_url) as connection:
        for table in ("saga", "balance", "timeline", "intervention"):
            query = f"SELECT count(*) FROM {table} WHERE saga = ANY(%s)"
            assert connection.execute(query, [keys_of((done, gone))]).fetchall() == [(0,)], table


def test_a_late_event_brings_an_order_back_from_the_history_with_all_its_events(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    order = order_id()
    publisher.publish_events(*undone(order))
    until(lambda: is_history(running, order), "it is history")
    publisher.publish_events(captured(order))
    until(lambda: running.status(order) == "undoing", "the late capture is to be undone")
    found = running.saga(order)
    assert found is not None
    assert not found["history"]
    assert money_in(found)["held"] == 500
    rows = [*undone(order), captured(order)]
    assert sorted(running.types(order)) == sorted(event.type for event in rows)
    assert order in listed(running, status="undoing")
    publisher.publish_events(
        PaymentRefunded(order_id=order, refund_id="re-1", amount_minor=500, reason="late")
    )
    until(lambda: is_history(running, order), "it is history again")
    assert running.status(order) == "cancelled"


def test_a_pinned_order_stays_until_it_is_unpinned(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    pinned, other, third = (order_id() for _ in range(3))

    def do(command: str, who: dict[str, str]) -> int:
        return running.post(f"/pins/{command}", {"saga": f"order/{pinned}", **who}).status_code

    publisher.publish_events(placed(pinned))
    until(lambda: running.status(pinned) == "running", "order running")
    assert do("unpin", ADA) == 409
    assert [do("pin", ADA), do("pin", ADA), do("pin", BOB)] == [202, 202, 409]
    until(lambda: "SagaPinned" in running.types(pinned), "the pin is read back")
    assert [do("pin", ADA), do("pin", BOB)] == [202, 409]
    publisher.publish_events(*whole(pinned)[1:])
    until(lambda: running.status(pinned) == "completed", "order completed")
    publisher.publish_events(*whole(other))
    until(lambda: is_history(running, other), "one that ended later is history")
    assert not is_history(running, pinned)
    assert do("unpin", BOB) == 202
    until(lambda: is_history(running, pinned), "the unpinned one is history")
    assert do("pin", ADA) == 202, "also from the history"
    until(lambda: running.types(pinned).count("SagaPinned") == 2, "it is pinned again")
    publisher.publish_events(*whole(third))
    until(lambda: is_history(running, third), "one that ended later is history")
    found = running.saga(pinned)
    assert found is not None
    assert (found["history"], found["pin"]["actor"]) == (False, "ada")


def test_a_rebuilt_monitor_has_the_same_rows_in_each_store(
    running: MonitorProcess,
    publisher: EventPublisher,
    infra: TestInfra,
    database_url: str,
    tmp_path: Path,
) -> None:
    orders = [order_id() for _ in range(8)]
    for order in orders:
        publisher.publish_events(*whole(order))
    publisher.publish_events(
        InterventionOpened(saga_id=orders[0], code="manual", reason="look", actor="ada")
    )
    publisher.publish_events(placed(last := order_id()))
    until(lambda: all(is_history(running, order) for order in orders[1:]), "they are history")
    until(lambda: running.status(last) == "running", "the last is read")
    empty = fresh_database(infra)
    with monitor(infra, empty, tmp_path / "second.log", group=f"g-{last}") as second:
        second.start()
        until(lambda: second.status(last) == "running", "all is read again")
        until(lambda: all(second.status(o) == running.status(o) for o in orders), "the rest too")
    live, fresh = engine_for(database_url), engine_for(empty)
    mine = [*orders, last]
    for url in (database_url, empty):
        with psycopg.connect(url) as connection:  # other tests talk on the same topics
            for table in [*HISTORY, *HISTORY.values()]:
                query = f"DELETE FROM {table.name} WHERE NOT saga = ANY(%s)"
                connection.execute(query, [keys_of(mine)])
            for name in ("saga", "saga_history"):
                connection.execute(f"UPDATE {name} SET quiet_until = NULL")
            for name in ("timeline", "timeline_history"):  # each monitor reads at a time of its own
                connection.execute(f"UPDATE {name} SET read_at = 'epoch'")
    for table, there in HISTORY.items():
        assert differences(table, live, fresh, also_in=[there]) == [], table.name
    assert differences(saga, live, fresh), "some have moved in one of them alone"
    live.dispose()
    fresh.dispose()


def test_old_recorded_commands_are_deleted_unless_they_pin_an_order(
    running: MonitorProcess, publisher: EventPublisher, database_url: str
) -> None:
    order, pinned = order_id(), order_id()
    publisher.publish_events(placed(order), placed(pinned))
    for wanted in (order, pinned):
        until(lambda o=wanted: running.status(o) == "running", "order running")  # type: ignore[misc]
        assert running.post("/pins/pin", {"saga": f"order/{wanted}", **ADA}).status_code == 202
        until(lambda o=wanted: "SagaPinned" in running.types(o), "pinned")  # type: ignore[misc]
    assert running.post("/pins/unpin", {"saga": f"order/{order}", **BOB}).status_code == 202
    until(lambda: "SagaUnpinned" in running.types(order), "unpinned")

    def words() -> list[tuple[str, str]]:
        with psycopg.connect(database_url) as connection:
            query = "SELECT saga, type FROM recorded_command WHERE saga = ANY(%s)"
            return connection.execute(query, [keys_of((order, pinned))]).fetchall()

    assert len(words()) == 3
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE recorded_command SET at = at - interval '32 days' WHERE type = 'SagaPinned'"
        )
    until(lambda: len(words()) == 2, "what is old is forgotten")
    assert sorted(words()) == sorted(
        [(f"order/{order}", "SagaUnpinned"), (f"order/{pinned}", "SagaPinned")]
    )


# --- without a monitor --------------------------------------------------------------------------


def put(engine: Engine, order: str, at: datetime) -> None:
    """A completed order of one event."""
    fact = Fact("f1", "OrderPlaced", at, detail={"note": "kept"})
    row = store.SagaRow(
        order, "order", 1, "completed", dump_facts([fact]),
        None, None, at, at, at, 3, pinned=False,
    )  # fmt: skip
    entry = store.TimelineRow(order, "f1", "OrderPlaced", "order", 1, at, None, 3, 7, fact.detail)
    case = store.InterventionRow(order, "manual", "resolved", "look", "ada", at, at, 2)
    with engine.begin() as connection:
        store.write(
            connection, store.WriteBatch(sagas=[row], timeline=[entry], interventions=[case])
        )


def rows(engine: Engine, order: str) -> dict[str, list[tuple[Any, ...]]]:
    with engine.connect() as connection:
        found = {}
        for table in (*HISTORY, *HISTORY.values()):
            query = text(f"SELECT * FROM {table.name} WHERE saga = :o")
            found[table.name] = [tuple(row) for row in connection.execute(query, {"o": order})]
    return found


def test_an_order_loses_no_column_on_its_way_to_the_history_and_back(engine: Engine) -> None:
    now = datetime.now(UTC)
    put(engine, "order/o-1", now - timedelta(days=40))
    before = rows(engine, "order/o-1")
    history = Archiver(engine, lambda: now, timedelta(days=30))
    assert history.archive_due(now, threading.Event()) == 1
    moved = rows(engine, "order/o-1")
    for table in (saga, timeline, intervention):
        assert moved[table.name] == []
        assert moved[f"{table.name}_history"] == before[table.name] != []
    with engine.begin() as connection:
        found = store.lock(connection, {"order/o-1": 3, "o-new": 5})
    assert rows(engine, "order/o-1") == before
    known, partition, status = found["order/o-1"]
    assert (known.load().facts["f1 OrderPlaced"].detail, partition, status) == (
        {"note": "kept"},
        3,
        "completed",
    )
    assert (found["o-new"][0].load().facts, found["o-new"][2]) == ({}, "unplaced")


def test_what_is_too_young_stays(engine: Engine) -> None:
    now = datetime.now(UTC)
    for n in range(450):
        put(engine, f"o-{n:03}", now - timedelta(days=40 if n % 9 else 20))
    history = Archiver(engine, lambda: now, timedelta(days=30))
    assert history.archive_due(now, threading.Event()) == 400, "more than two batches"
    with engine.connect() as connection:
        left = connection.execute(text("SELECT saga FROM saga")).scalars().all()
    assert sorted(left) == [f"o-{n:03}" for n in range(0, 450, 9)]


def test_an_event_read_while_its_order_moves_to_the_history_finds_the_order(engine: Engine) -> None:
    now = datetime.now(UTC)
    put(engine, "order/o-1", now - timedelta(days=40))
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    def locked() -> tuple[StoredSaga, int, str]:
        with engine.begin() as connection:
            return store.lock(connection, {"o-0": 3, "order/o-1": 3})["order/o-1"]

    def somebody_waits() -> bool:
        with engine.connect() as connection:
            return bool(connection.execute(waiting).scalar_one())

    with ThreadPoolExecutor(1) as threads:
        with engine.begin() as mover:
            mover.execute(text("SELECT FROM saga WHERE saga = 'order/o-1' FOR UPDATE"))
            reader = threads.submit(locked)
            until(somebody_waits, "the reader waits for the row")
            store.archive(mover, ["order/o-1"])
        known, _, status = reader.result(PATIENCE_S)
    assert (list(known.load().facts), status) == (["f1 OrderPlaced"], "completed")
    assert len(rows(engine, "order/o-1")["saga"]) == 1
    assert rows(engine, "order/o-1")["saga_history"] == []
