"""Queries for sagas against real rows."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, insert

from saga_cli.monitor.sagas import ls
from saga_monitor.saga.search import parse_query
from saga_monitor.storage.search import Place, search
from saga_monitor.storage.tables import balance, intervention, saga, timeline
from tests.monitor import EventPublisher, MonitorProcess, placed
from tests.stack import PATIENCE_S, until

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
FLOWS = ("errand", "order")


def hours(ago: float) -> datetime:
    return NOW - timedelta(hours=ago)


def row(key: str, status: str, started: float, updated: float, **more: Any) -> dict[str, Any]:
    usual = {
        "saga": key,
        "flow": key.partition("/")[0],
        "version": 1,
        "status": status,
        "facts": {},
        "awaited": None,
        "next_deadline": None,
        "started_at": hours(started),
        "ended_at": hours(updated) if status in ("completed", "cancelled") else None,
        "updated_at": hours(updated),
        "partition": 0,
        "pinned": False,
    }
    return {**usual, **more}


ROWS = [
    row("order/a-1", "completed", 5, 4),
    row("order/a-2", "completed", 4, 3, version=2),
    row("order/b-1", "waiting", 3, 2.5, awaited="payment: PaymentCaptured", pinned=True),
    row("order/b-2", "running", 2, 1.5, awaited="fraud: X; inventory: Y", next_deadline=hours(1)),
    row("errand/a-1", "undoing", 1, 0.5, awaited="pay: Z", next_deadline=hours(-1)),
    row("order/c%_1", "intervention", 0.5, 0.1),
    row("order/z", "unplaced", 0, 0, updated_at=None, started_at=None),
]


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        connection.execute(insert(saga), ROWS)
        connection.execute(
            insert(balance),
            [
                {"saga": "order/a-1", "name": "m", "kind": "EUR", "added": 500, "removed": 500},
                {"saga": "order/b-1", "name": "m", "kind": "EUR", "added": 80, "removed": 0},
            ],
        )
        case = {"status": "open", "reason": "r", "holder": None, "entries": 1, "closed_at": None}
        connection.execute(
            insert(intervention),
            [
                {"saga": "order/a-2", "code": "manual", "opened_at": NOW, **case},
                {"saga": "order/c%_1", "code": "refund_failed", "opened_at": NOW, **case},
                {
                    **case,
                    "saga": "order/a-1",
                    "code": "manual",
                    "opened_at": NOW,
                    "status": "resolved",
                },
            ],
        )
        connection.execute(
            insert(timeline),
            [
                {
                    "saga": "order/b-1",
                    "event_id": "e",
                    "type": "VerdictGiven",
                    "source": "saga",
                    "at": NOW,
                    "partition": 0,
                    "offset": 1,
                    "detail": {},
                }
            ],
        )
        yield connection


def found(
    connection: Connection, written: str, limit: int = 100, after: Place | None = None
) -> tuple[list[str], int]:
    rows, count = search(
        connection,
        parse_query(written, FLOWS),
        flows=FLOWS,
        now=NOW,
        log_time=NOW,
        limit=limit,
        after=after,
    )
    return [one["saga"] for one in rows], count


NEWEST_FIRST = [
    "order/c%_1",
    "errand/a-1",
    "order/b-2",
    "order/b-1",
    "order/a-2",
    "order/a-1",
    "order/z",
]


@pytest.mark.parametrize(
    ("written", "sagas"),
    [
        ("", NEWEST_FIRST),
        ("flow:errand", ["errand/a-1"]),
        ("flow:order/2", ["order/a-2"]),
        ("-flow:order", ["errand/a-1"]),
        ("status:completed", ["order/a-2", "order/a-1"]),
        ("status:waiting,running", ["order/b-2", "order/b-1"]),
        ("-status:completed -is:stuck", ["errand/a-1", "order/b-1"]),
        ("is:stuck", ["order/c%_1", "order/b-2", "order/a-2", "order/z"]),
        ("is:overdue", ["order/b-2"]),
        ("is:pinned", ["order/b-1"]),
        ("is:open", ["order/c%_1", "errand/a-1", "order/b-2", "order/b-1", "order/z"]),
        ("is:ended", ["order/a-2", "order/a-1"]),
        ("step:payment", ["order/b-1"]),
        ("step:inventory", ["order/b-2"]),
        ("step:pay", ["errand/a-1"]),
        ("age>2h", ["order/b-1", "order/a-2", "order/a-1"]),
        ("age<1h", ["order/c%_1"]),
        ("quiet>3h", ["order/a-1"]),
        ("started>=2026-01-02T11:00Z", ["order/c%_1", "errand/a-1"]),
        ("ended<2026-01-02T09:00Z", ["order/a-1"]),
        ("amount>100", ["order/a-1"]),
        ("held>0", ["order/b-1"]),
        ("event:VerdictGiven", ["order/b-1"]),
        ("intervention:manual", ["order/a-2"]),
        ("a-", ["errand/a-1", "order/a-2", "order/a-1"]),
        ("a-1", ["errand/a-1", "order/a-1"]),
        ("order/a-1", ["order/a-1"]),
        ("c%_", ["order/c%_1"]),
        ("c_", []),
        ("'; DROP TABLE saga; --", []),
        ("status:completed is:open", []),
    ],
)
def test_a_query_finds_its_sagas_and_the_count_agrees(
    connection: Connection, written: str, sagas: list[str]
) -> None:
    assert found(connection, written) == (sagas, len(sagas))


@pytest.mark.parametrize("written", ["", "a-", "is:stuck"])
def test_pages_together_are_the_whole_list(connection: Connection, written: str) -> None:
    # Given all that fit
    every, count = found(connection, written)
    updated = {one["saga"]: one["updated_at"] for one in ROWS}
    # When they are read a saga at a time
    pages, after = [], None
    while (page := found(connection, written, 1, after))[0]:
        assert page[1] == count
        pages += page[0]
        after = (updated[page[0][0]], page[0][0])
    # Then each comes once, in the same order
    assert pages == every


def test_a_text_that_no_database_holds_finds_nothing(connection: Connection) -> None:
    assert found(connection, "a\x00b") == ([], 0)


def test_programs_and_the_command_line_find_what_the_page_finds(
    running: MonitorProcess, publisher: EventPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two orders whose ids begin alike
    begin = f"o-{uuid.uuid4().hex[:8]}"
    for order in (f"{begin}-1", f"{begin}-2"):
        publisher.publish_events(placed(order))
    until(lambda: running.get("/search", q=begin)["count"] == 2, "both are read")
    # When one is asked for at a time
    first = running.get("/search", q=begin, limit=1)
    second = running.get("/search", q=begin, limit=1, after=first["next"])
    # Then each comes once
    found = [row["saga"] for page in (first, second) for row in page["sagas"]]
    assert sorted(found) == [f"order/{begin}-1", f"order/{begin}-2"]
    assert running.get("/search", q=begin, limit=1, after=second["next"])["sagas"] == []
    # And a fault is told with its place
    wrong = httpx2.get(f"{running.url}/search", params={"q": "is:odd"}, timeout=PATIENCE_S)
    assert (wrong.status_code, wrong.json()["start"], wrong.json()["end"]) == (422, 3, 6)
    # And the command line says the same
    monkeypatch.setenv("SAGA_MONITOR_URL", running.url)
    runner = CliRunner()
    listed = runner.invoke(ls, ["-q", begin, "--limit", "1"])
    assert f"order/{begin}-2" in listed.output
    assert "2 sagas match" in listed.output
    assert "expected one of stuck" in runner.invoke(ls, ["-q", "is:odd"]).output
    assert runner.invoke(ls, ["-q", begin, "--stuck"]).exit_code == 2
