"""Orders that wait cost rows and nothing else: neither the look for what is overdue, nor lists and
counts for people and Prometheus, read the rows of those they do not show."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from saga_monitor import metrics
from saga_monitor.service import MIGRATIONS
from saga_monitor.storage import queries, store
from saga_monitor.storage.archiver import DELETE_COMMANDS, FINISHED
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from tests.stack import TestInfra, fresh_database

WAITING, PARTITIONS, SHOWN = 20_000, 6, 20
NOW = datetime.now(UTC)
# Of this connection, since it last told; so it is asked before and after.
READ = text(
    "select coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0) "
    "from pg_stat_xact_user_tables where relname in ('saga', 'saga_history', 'recorded_command', "
    "'intervention')"
)
# As wide as real ones: it is their rows that are not to be read.
FACTS = (
    "jsonb_build_object('f Spoken', jsonb_build_array("
    "0, repeat(md5(n::text), 50), null, null, 'order/1', '{}'::jsonb))"
)
FILL = [
    "insert into saga (saga, flow, version, status, next_deadline, partition, facts, "
    "started_at, updated_at) select 'order/o-' || n, 'order', 1, 'waiting', "
    f"cast(:now as timestamptz) + n * interval '1 minute', n % {PARTITIONS}, {FACTS}, "
    "cast(:now as timestamptz) + n * interval '1 s', cast(:now as timestamptz) + n * interval "
    f"'1 s' from generate_series(1, {WAITING}) n",
    "insert into saga_history (saga, flow, version, status, partition, facts, updated_at) "
    f"select 'order/h-' || n, 'order', 1, 'completed', 0, {FACTS}, "
    f"cast(:now as timestamptz) - n * interval '1 s' from generate_series(1, {WAITING}) n",
    "insert into recorded_command (id, saga, type, fields, at) "
    f"select gen_random_uuid(), 'order/o-' || n, 'VerdictGiven', '{{}}', :now "
    f"from generate_series(1, {WAITING}) n",
]


JUST_ENDED = [
    "alter table saga set (autovacuum_enabled = false)",
    "insert into saga (saga, flow, version, status, partition, updated_at) "
    "select 'order/e-' || n, 'order', 1, 'completed', 0, "
    f"cast(:now as timestamptz) - n * interval '1 s' from generate_series(1, {WAITING}) n",
]


CASES_OF_ENDED = [
    "alter table intervention set (autovacuum_enabled = false)",
    "insert into intervention (saga, code, status, reason, opened_at, entries) "
    "select 'order/e-' || n, 'conservation', case when n <= 2 then 'open' else 'resolved' end, "
    f"'units lost', :now, 1 from generate_series(1, {WAITING}) n",
]


@contextmanager
def filled(infra: TestInfra, *then: str) -> Iterator[Engine]:
    """With WAITING orders in flight and as many in the history, as autovacuum leaves them; and what
    came then."""
    engine = engine_for(fresh_database(infra))
    migrate(engine, MIGRATIONS)
    with engine.begin() as connection:
        for statement in FILL:
            connection.execute(text(statement), {"now": NOW})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
        for statement in then:
            connection.execute(text(statement), {"now": NOW})
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def engine(infra: TestInfra) -> Iterator[Engine]:
    with filled(infra) as found:
        yield found


def test_the_query_for_finished_orders_reads_no_younger_rows_even_before_the_table_is_analysed(
    infra: TestInfra,
) -> None:
    ended = {"ended": ["cancelled", "completed"], "limit": 200}
    with filled(infra, *JUST_ENDED) as engine, engine.begin() as connection:
        before = connection.execute(READ).scalar_one()
        month_ago = {**ended, "before": NOW - timedelta(days=30)}
        assert connection.execute(FINISHED, month_ago).all() == []
        rows_read = connection.execute(READ).scalar_one() - before
        hours_ago = {**ended, "before": NOW - timedelta(seconds=WAITING - 5)}
        assert len(connection.execute(FINISHED, hours_ago).all()) == 5
    assert rows_read <= 3 * SHOWN, f"{rows_read} rows read of {WAITING} that have just ended"


def test_the_query_for_overdue_sagas_reads_only_rows_that_are_due(engine: Engine) -> None:
    for minutes in (0, 3):
        # Not all partitions are read equally far, as it is when some lag behind.
        through = {p: NOW + timedelta(minutes=minutes, seconds=p + 1) for p in range(PARTITIONS)}
        with engine.begin() as connection:
            before = connection.execute(READ).scalar_one()
            found = store.overdue(connection, through, 200)
            rows_read = connection.execute(READ).scalar_one() - before
        assert [saga.id for saga, _ in found] == [f"o-{n + 1}" for n in range(minutes)]
        assert rows_read <= 10 * (minutes + 1), f"{rows_read} rows read for {minutes} that are due"


def first(connection: Connection) -> object:
    found = queries.flows(connection)
    return [(c.label, c.in_flight, c.ended, c.oldest) for c in found]


def in_flight(connection: Connection) -> object:
    return [tuple(row) for row in connection.execute(metrics.IN_FLIGHT)]


def summary(connection: Connection) -> object:
    return [(row["status"], row["sagas"]) for row in queries.summary(connection)]


def ids(rows: list[queries.Row]) -> object:
    return [row["id"] for row in rows]


DUE = NOW + timedelta(minutes=3, seconds=1)
NEWEST = [f"o-{WAITING - n}" for n in range(SHOWN)]
QUESTIONS: dict[str, tuple[Callable[[Connection], object], object]] = {
    "newest": (lambda c: ids(queries.sagas(c, None, False, DUE, SHOWN)), NEWEST),
    "newest waiting": (lambda c: ids(queries.sagas(c, "waiting", False, DUE, SHOWN)), NEWEST),
    "none of a status": (lambda c: ids(queries.sagas(c, "undoing", False, DUE, SHOWN)), []),
    "stuck": (
        lambda c: ids(queries.sagas(c, None, True, DUE, SHOWN)),
        ["o-3", "o-2", "o-1"],
    ),
    "newest of the history": (
        lambda c: ids(queries.sagas(c, None, False, DUE, SHOWN, history=True)),
        [f"h-{n + 1}" for n in range(SHOWN)],
    ),
    "most overdue": (
        lambda c: ids([row for row, _ in queries.blocked(c, False, DUE, SHOWN)]),
        [f"o-{n + 1}" for n in range(SHOWN)],
    ),
    "overdue": (
        lambda c: ids([row for row, _ in queries.blocked(c, True, DUE, SHOWN)]),
        ["o-1", "o-2", "o-3"],
    ),
    "flows": (first, [("order/1", WAITING, 0, "order/o-1")]),
    "summary": (summary, [("waiting", WAITING)]),
    "metrics": (in_flight, [("order", 1, "waiting", WAITING)]),
    "words to forget": (
        lambda c: c.execute(DELETE_COMMANDS, {"before": NOW - timedelta(days=1)}).rowcount,
        0,
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_query_of_the_api_reads_hardly_more_rows_than_it_shows(
    engine: Engine, question: str
) -> None:
    ask, answer = QUESTIONS[question]
    with engine.begin() as connection:
        before = connection.execute(READ).scalar_one()
        assert ask(connection) == answer
        rows_read = connection.execute(READ).scalar_one() - before
    assert rows_read <= 3 * SHOWN, f"{rows_read} rows read of {2 * WAITING}"


@pytest.mark.parametrize("analysed", [False, True])
def test_ended_orders_with_an_open_case_are_stuck_and_the_other_ended_ones_are_not_read(
    infra: TestInfra, analysed: bool
) -> None:
    then = [*JUST_ENDED, *CASES_OF_ENDED, *(["vacuum analyze"] if analysed else [])]
    questions: list[tuple[Callable[[Connection], list[queries.Row]], str]] = [
        (lambda c: queries.sagas(c, None, True, DUE, SHOWN), "o-3 o-2 o-1 e-1 e-2"),
        (lambda c: queries.sagas(c, "completed", True, DUE, SHOWN), "e-1 e-2"),
        (lambda c: [r for r, _ in queries.blocked(c, True, DUE, SHOWN)], "e-1 e-2 o-1 o-2 o-3"),
        (lambda c: [r for r, _ in queries.blocked(c, False, DUE, 4)], "e-1 e-2 o-1 o-2"),
    ]
    with filled(infra, *then) as engine:
        for ask, answer in questions:
            with engine.begin() as connection:
                before = connection.execute(READ).scalar_one()
                assert ids(ask(connection)) == answer.split()
                rows_read = connection.execute(READ).scalar_one() - before
            assert rows_read <= 3 * SHOWN, f"{rows_read} rows read of {4 * WAITING}"
