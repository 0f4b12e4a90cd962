"""Recorded orders judged by an edited flow on a real monitor, those in the history among them."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from saga_cli.monitor.backtest import backtest
from saga_monitor.operations.backtest import Backtester, BacktestRequest
from saga_monitor.operations.reads import SagaReader
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.storage import store
from saga_monitor.storage.store import SagaRow, WriteBatch
from saga_monitor.storage.stored_saga import dump_facts
from sagakit.contract.files import files_of
from schemas import CONTRACT, FLOWS
from tests.monitor import EventPublisher, MonitorProcess, whole
from tests.stack import until

FLOW = files_of("schemas").folder / "flows" / "order.toml"
SLOW_MS = 3000
START = datetime(2026, 1, 2, 3, tzinfo=UTC)


@pytest.fixture
def monitor_settings() -> Mapping[str, str]:
    """Finished orders are kept at hand for a second."""
    return {"SAGA_HISTORY_AFTER_S": "1"}


def payment_took(process: MonitorProcess, order: str) -> timedelta:
    """The time from reserved to captured, in log time."""
    timeline = process.get(f"/sagas/order/{order}")["timeline"]
    at = {event["type"]: datetime.fromisoformat(event["at"]) for event in timeline}
    return at["PaymentCaptured"] - at["InventoryReserved"]


def trade(process: MonitorProcess, publisher: EventPublisher) -> tuple[set[str], set[str]]:
    """Orders that completed at once, and some of which the payment was slow."""
    tag = uuid.uuid4().hex[:8]
    fast, slow = ({f"o-{tag}-{kind}-{n}" for n in range(4)} for kind in ("fast", "slow"))
    for order in slow:
        publisher.publish_events(*whole(order)[:2])
    before = publisher.log_time_ms()
    for order in fast:
        publisher.publish_events(*whole(order))
    until(lambda: publisher.log_time_ms() > before + SLOW_MS, "time passes at the broker")
    for order in slow:
        publisher.publish_events(*whole(order)[2:])
    orders = fast | slow
    until(lambda: all(process.status(o) == "completed" for o in orders), "all are completed")
    return fast, slow


def test_exactly_the_orders_that_were_made_slow_are_found(
    running: MonitorProcess,
    publisher: EventPublisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given orders that all completed, some with a slow payment; the first have gone to the history
    fast, slow = trade(running, publisher)
    path = "/sagas/order/{}".format
    until(lambda: all(running.get(path(o))["history"] for o in fast), "they are history")
    times = {order: payment_took(running, order) for order in fast | slow}
    limit = (max(times[o] for o in fast) + min(times[o] for o in slow)) / 2
    # When payment has a deadline between the two
    edited = tmp_path / "edited.toml"
    wanted = f'deadline = "{limit // timedelta(milliseconds=1)}ms"'
    edited.write_text(FLOW.read_text().replace('deadline = "5m"', wanted))
    monkeypatch.setenv("SAGA_MONITOR_URL", running.url)
    monkeypatch.setenv("COLUMNS", "200")
    command = ["--flow", str(edited), "--last", "1h"]

    def judge() -> dict[str, Any] | None:
        done = CliRunner().invoke(backtest, [*command, "--json"])
        return json.loads(done.stdout) if done.exit_code == 0 else None

    report = until(judge, "the log is read")
    # Then of these exactly the slow ones would have been undone, and all completed by themselves
    mine = [row for row in report["sagas"] if row["saga"].partition("/")[2] in fast | slow]
    assert {row["saga"] for row in mine} == {f"order/{order}" for order in slow}
    assert {row["status"] for row in mine} == {"completed"}
    for row in mine:
        (difference,) = row["differences"]
        assert (difference["act"], difference["change"]) == ("compensated", "new")
        money = {b["name"]: (b["held"], b["held_at_end"]) for b in difference["balances"]}
        assert money["money"] == (0, 500)
    # And nothing was emitted
    assert all("CompensationRequested" not in running.types(order) for order in fast | slow)
    # And the table names them, and what was edited
    output = CliRunner().invoke(backtest, [*command, "--limit", "10000"]).output
    assert all(f"order/{order} " in output for order in slow)
    assert "steps.payment.deadline" in output


def test_the_present_flow_changes_nothing(
    running: MonitorProcess, publisher: EventPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_MONITOR_URL", running.url)
    order = f"o-{uuid.uuid4().hex[:8]}"
    publisher.publish_events(*whole(order))
    until(lambda: running.status(order) == "completed", "order completed")
    command = ["--flow", str(FLOW), "--last", "1h"]
    until(lambda: CliRunner().invoke(backtest, command).exit_code == 0, "the log is read")
    output = CliRunner().invoke(backtest, command).output
    assert "no saga would have been treated otherwise" in output
    assert not output.startswith("0 sagas")


def row(key: str, started_at: datetime, status: str) -> SagaRow:
    fact = Fact(str(uuid.uuid4()), "OrderPlaced", started_at, flow="order/1")
    facts = dump_facts(fold(Saga(key), fact).facts.values())
    nothing = (None, None)
    return SagaRow(key, "order", 1, status, facts, *nothing, started_at, None, started_at, 0, False)


def test_pages_have_every_saga_once_in_the_order_of_the_starts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given sagas in all statuses, live and archived, some that started at the same time
    statuses = ("running", "completed", "undoing", "cancelled")
    keys = [f"order/s-{n:02}" for n in range(20)]
    rows = [
        row(key, START + timedelta(seconds=n // 3), statuses[n % 4]) for n, key in enumerate(keys)
    ]
    others = [row("order/too-old", START - timedelta(hours=2), "running")]
    others.append(row("order/too-new", START + timedelta(hours=1), "running"))
    with engine.begin() as connection:
        store.write(connection, WriteBatch(sagas=[*rows, *others]))
        store.archive(connection, [r.saga for r in rows if r.status == "completed"])
    # When they are judged in pages of 4 by a deadline that all of them have passed earlier
    monkeypatch.setattr("saga_monitor.operations.backtest.PAGE", 4)
    now = START + timedelta(hours=1)
    reader = SimpleNamespace(
        engine=engine, projection=SimpleNamespace(flows=FLOWS), log_time=lambda: now
    )
    tester = Backtester(cast(SagaReader, reader), CONTRACT)
    edited = FLOW.read_text().replace('deadline = "1m"', 'deadline = "30s"')
    request = BacktestRequest(flow=edited, last_s=7200)
    pages = [tester.page(request)]
    while (behind := pages[-1].next) is not None:
        pages.append(tester.page(request.model_copy(update={"after": behind})))
    # Then each is there once, in order
    assert [saga.saga for page in pages for saga in page.sagas] == keys
    assert [page.judged for page in pages] == [4, 4, 4, 4, 4, 0]
    assert {page.until for page in pages} == {now}
