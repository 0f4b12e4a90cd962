"""A row of one saga in the monitor's database that cannot be read ends nothing."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from saga_monitor.api.routes import routers
from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.unknown_records import UnknownRecords
from saga_monitor.ingest.watermark import Watermark
from saga_monitor.operations.backtest import Backtester, BacktestRequest
from saga_monitor.operations.blocker_probe import BlockerProbe
from saga_monitor.operations.case_watch import Case, CaseWatch
from saga_monitor.operations.commands import CommandHandler
from saga_monitor.operations.reads import SagaReader
from saga_monitor.storage import queries, store
from saga_monitor.storage.tables import metadata
from saga_monitor.supervision.deadline_watch import DeadlineWatch
from saga_monitor.supervision.emitter import Emitter
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.store.postgres import engine_for
from sagakit.store.schema import KIT
from sagakit.web.app import make_app
from tests.in_memory_app import ask
from tests.toy_saga import CONTRACT, FLOW, FLOWS, NOW, Counted, Started, Ticked, Wire

CODEC = Codec(CONTRACT)
GARBAGE = [
    "[]",
    "7",
    '{"x": 5}',
    '{"e Started": "text"}',
    '{"e Started": [1767323045000, "left", null, null, "toy/1", []]}',
    '{"e Started": [1767323045000, "left", null, null, "toy/1", {"starts": "one"}]}',
    '{"e Started": [1e300, "left", null, null, "toy/1", {}]}',
    '{"e Started": [1767323045000, "left", "one", null, "toy/1", {}]}',
    '{"e Started": [1767323045000, "left", null, null, {"flow": "toy/1"}, {}]}',
]
REASON = "the row of toy/a in the table saga of the monitor cannot be read"


class Watching:
    """A monitor's parts around one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.wire = engine, Wire(CODEC)
        self.projection = Projection(engine, CODEC, FLOWS)
        self.again = UnknownRecords(engine, self.projection)
        log: Any = None
        positions: Any = {}
        emitter = Emitter(CODEC)
        nothing = lambda: None  # noqa: E731
        self.watch = DeadlineWatch(
            engine, self.projection, emitter, log, log, [], nothing, lambda: frozenset()
        )
        probe = BlockerProbe(engine, {}, FLOWS, lambda _: positions)
        self.reader = SagaReader(engine, self.projection, lambda: self.watch.watermark, probe)
        self.commands = CommandHandler(self.reader, emitter, nothing, lambda: NOW)
        self.backtester = Backtester(self.reader, CONTRACT)
        self.app = make_app("monitor", {}, *routers(self.reader, self.commands, self.backtester))

    def reads(self, *events: Any) -> list[Record]:
        records = [self.wire.record(event, flow="toy/1") for event in events]
        self.projection.apply(records)
        return records

    def execute(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def column(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query)).scalars())

    def facts(self) -> str:
        found: str = self.column("SELECT facts::text FROM saga WHERE saga = 'toy/a'")[0]
        return found

    def put(self, facts: str) -> None:
        statement = "UPDATE saga SET facts = CAST(:facts AS jsonb) WHERE saga = 'toy/a'"
        self.execute(statement, facts=facts)


@pytest.fixture
def monitor(database_url: str) -> Iterator[Watching]:
    """A monitor that has read the start of the sagas `a` and `b`."""
    engine = engine_for(database_url)
    KIT.create_all(engine)
    metadata.create_all(engine)
    watching = Watching(engine)
    watching.reads(Started("a"), Started("b"))
    yield watching
    engine.dispose()


@pytest.mark.parametrize("garbage", GARBAGE)
def test_its_records_are_set_aside_and_all_other_sagas_go_on(
    monitor: Watching, garbage: str
) -> None:
    correct = monitor.facts()
    monitor.put(garbage)
    # When records of it and of another saga come in one batch
    *_, last = monitor.reads(Ticked("a", "one"), Counted("b"))
    # Then its own is set aside with saga, reason and remedy, the other saga ends
    with monitor.engine.connect() as connection:
        [row] = queries.unreadable(connection, 10)
        assert store.offsets(connection)[last.topic, 0] == last.offset + 1
    assert (row["saga"], row["code"]) == ("toy/a", "unreadable_state")
    assert row["error"].startswith(REASON)
    assert "rebuild the monitor from the topics" in row["error"]
    ended = "SELECT saga FROM saga WHERE status = 'completed'"
    assert monitor.column(ended) == ["toy/b"]
    assert monitor.column("SELECT saga FROM timeline WHERE type = 'Ticked'") == []
    # And it is read once the row is correct
    assert monitor.again.read_known() == 0
    monitor.put(correct)
    assert [monitor.again.read_known() for _ in range(4)].count(1) == 1
    assert monitor.column("SELECT saga FROM timeline WHERE type = 'Ticked'") == ["toy/a"]
    assert monitor.column("SELECT code FROM monitor_unreadable") == []


def test_a_status_that_is_none_is_replaced_at_the_next_event(monitor: Watching) -> None:
    monitor.execute("UPDATE saga SET status = 'garbage' WHERE saga = 'toy/a'")
    monitor.reads(Counted("a"))
    assert monitor.column("SELECT status FROM saga WHERE saga = 'toy/a'") == ["completed"]


@pytest.mark.parametrize("garbage", [*GARBAGE[::4], None])
def test_deadlines_of_other_sagas_are_judged(monitor: Watching, garbage: str | None) -> None:
    # Given two sagas that are late, of which one cannot be read, or has an unknown flow
    monitor.put(garbage or monitor.facts().replace("toy/1", "toy/99"))
    [start, _] = monitor.column("SELECT at FROM timeline ORDER BY saga")
    through = start + timedelta(hours=1)
    monitor.watch.watermark = Watermark({0: through})
    # When deadlines are judged, then the other one has its event, and the rest is quiet
    assert monitor.watch.emit_due(threading.Event()) == 1
    assert monitor.column("SELECT key FROM outbox") == ["b"]
    assert monitor.watch.emit_due(threading.Event()) == 0
    quiet = monitor.column("SELECT quiet_until FROM saga WHERE saga = 'toy/a'")
    assert quiet[0] > through


@pytest.mark.parametrize("garbage", GARBAGE[::4])
def test_requests_for_it_are_refused_by_name_and_lists_work(
    monitor: Watching, garbage: str
) -> None:
    monitor.put(garbage)
    cancel = {"saga": "toy/a", "actor": "me", "reason": "look"}
    for method, path, body in (
        ("GET", "/sagas/toy/a", None),
        ("GET", "/evidence/toy/a", None),
        ("GET", "/links/toy/a", None),
        ("POST", "/cancellations", cancel),
    ):
        answer = ask(monitor.app, method, path, json=body)
        assert answer.status_code == 503, path
        assert answer.json()["title"] == "unreadable state"
        assert answer.json()["detail"].startswith(REASON)
    for path in ("/sagas", "/sagas?stuck=true", "/candidates?name=a", "/blocked", "/flows"):
        assert ask(monitor.app, "GET", path).status_code == 200, path
    blocked = {row["saga"]: row["blocked_by"] for row in monitor.reader.blocked_sagas(False, 9)}
    assert REASON in str(blocked["toy/a"])
    assert REASON not in str(blocked["toy/b"])


def test_a_backtest_counts_it_as_not_judged(monitor: Watching) -> None:
    monitor.put("[]")
    [start, _] = monitor.column("SELECT at FROM timeline ORDER BY saga")
    monitor.watch.watermark = Watermark({0: start + timedelta(hours=1)})
    request = BacktestRequest(flow=FLOW, last_s=86_400)
    page = monitor.backtester.page(request)
    assert page.judged == 1
    [(reason, number)] = page.unjudged.items()
    assert (reason.startswith(REASON), number) == (True, 1)


def test_a_case_of_it_is_opened_once_its_row_is_correct(monitor: Watching) -> None:
    correct, cases = monitor.facts(), CaseWatch(monitor.commands, {})
    case = Case(id="1", saga="toy/a", code="outcome_untold", reason="too large")
    monitor.put("[]")
    cases._open("counter", case, number := uuid4())
    assert number not in cases._opened
    monitor.put(correct)
    cases._open("counter", case, number)
    assert number in cases._opened
    assert monitor.column("SELECT key FROM outbox") == ["a"]


@pytest.mark.parametrize("headers", ["garbage", "7", '[["flow", 1]]', '{"flow": "toy/1"}'])
def test_headers_of_a_kept_record_that_cannot_be_read_end_nothing(
    monitor: Watching, headers: str
) -> None:
    # Given two kept records of a saga whose row is correct again, one with such headers
    correct = monitor.facts()
    monitor.put("[]")
    first, _ = monitor.reads(Ticked("a", "one"), Ticked("a", "two"))
    monitor.put(correct)
    change = 'UPDATE monitor_unreadable SET headers = :headers WHERE "offset" = :offset'
    monitor.execute(change, headers=headers, offset=first.offset)
    # When they are tried, then the other one is read
    assert monitor.again.read_known() == 1
    assert monitor.column('SELECT "offset" FROM monitor_unreadable') == [first.offset]
    # And a monitor that starts leaves it
    monitor.execute("UPDATE monitor_unreadable SET code = 'unknown_flow'")
    with monitor.engine.connect() as connection:
        [kept] = store.unknown_schema_records(connection)
    assert not monitor.projection.understands(kept)


@pytest.mark.parametrize("fields", ["[]", "7", "null", "{}"])
def test_a_recorded_command_that_cannot_be_read_refuses_the_same_one_by_name(
    monitor: Watching, fields: str
) -> None:
    pause = {"saga": "toy/a", "actor": "me", "reason": "look"}
    assert ask(monitor.app, "POST", "/pauses", json=pause).status_code == 202
    monitor.execute("UPDATE recorded_command SET fields = CAST(:f AS jsonb)", f=fields)
    answer = ask(monitor.app, "POST", "/pauses", json=pause)
    assert answer.status_code == 503
    assert "on toy/a in the table recorded_command cannot be read" in answer.json()["detail"]
