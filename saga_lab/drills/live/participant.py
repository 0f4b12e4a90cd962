"""Rebuilds a participant's database beside the live one, while its service runs, and compares both.

A snapshot of the live rows is taken in a moment in which the participant has read its topics to
the end and has published all that it decided. The rebuild reads up to exactly these ends, so both
stand at the same offsets, and every row has to be the same, whatever goes on meanwhile.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from sqlalchemy import Connection, Engine, event

from saga_lab.chaos.site import NotReached, until
from saga_lab.devstack.errors import StackError
from saga_lab.drills.live.comparison import LiveComparison
from saga_lab.invariants.gather import application_of, codec_of, contract_on
from saga_lab.invariants.interface import Stack
from saga_lab.invariants.rebuild import compare_rows
from sagakit.flow.routing import topic, topics_of
from sagakit.kafka.inspector import LogEnds, lag
from sagakit.messages.envelope import TopicPartitionKey
from sagakit.recovery.plan import losses
from sagakit.recovery.rebuild import ProgressNote, Rebuild, Rebuilt
from sagakit.recovery.target import RebuildReport, RebuildTarget
from sagakit.store.postgres import engine_for

SUFFIX = "_live_drill"
"""Ends the name of the database that a live drill makes beside the live one."""
PATIENCE_S = 120.0
"""How long a moment without work in flight is waited for."""
TAKE_SNAPSHOT = "SELECT pg_export_snapshot(), NOT EXISTS (SELECT FROM outbox)"
TellRebuild = Callable[[int], AbstractContextManager[ProgressNote]]
"""Type of what tells the progress of a rebuild that reads so many offsets."""


@dataclass(frozen=True, slots=True)
class IdleMoment:
    """A snapshot of a live database by its name, and the ends at which it stands."""

    snapshot: str
    ends: Mapping[TopicPartitionKey, int]


def rehearse_rebuild(stack: Stack, name: str, tell: TellRebuild) -> LiveComparison:
    """Rebuild a participant of a running stack beside it, and compare.

    Raises StackError if it never rests for a moment or no database can be made, and what a rebuild
    raises.
    """
    url = stack["databases"][name]
    with idle_moment(stack, name) as moment, _database_beside(url) as beside:
        live, fresh = _as_of(moment, url), engine_for(beside)
        try:
            began = time.monotonic()
            not_recovered, report = _rebuild(stack, name, beside, moment, tell)
            rebuilt_s = time.monotonic() - began
            service = import_module(f"{application_of(stack).participants[name].module}.service")
            tables = service.participant().store.metadata
            rows = compare_rows(name, tables, live, fresh)
            return LiveComparison(rows, report.sagas, rebuilt_s, 0.0, not_recovered)
        finally:
            live.dispose()
            fresh.dispose()


@contextmanager
def idle_moment(stack: Stack, name: str) -> Iterator[IdleMoment]:
    """Yield a moment in which nothing of a participant is under way. Raises StackError.

    Its snapshot is held until the end.
    """
    topics = topics_of(contract_on(stack).flows, name)
    with psycopg.connect(stack["databases"][name], connect_timeout=10) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        found: list[IdleMoment] = []

        def is_idle() -> bool:
            connection.rollback()
            if moment := _moment(connection, stack["bootstrap_servers"], name, topics):
                found.append(moment)
            return bool(found)

        try:
            until(is_idle, f"{name} has read and published everything", PATIENCE_S)
        except NotReached as error:
            raise StackError(
                f"{name} was never idle: for {PATIENCE_S:g} s it always had records to read or "
                "events to publish, so there was no moment to compare its rows in. Try again with "
                "less traffic; `saga ls --stuck` names what holds sagas up."
            ) from error
        yield found[0]


def _moment(
    connection: psycopg.Connection[TupleRow],
    servers: str,
    name: str,
    topics: Sequence[str],
) -> IdleMoment | None:
    """Return the present moment, None if the participant is at work.

    Offsets are committed after rows, so what was read before the snapshot is in its rows. As no
    topic has a new record afterwards, nothing else is.
    """
    log, read = LogEnds(servers), sorted({*topics, topic(name)})
    ends = log.readable_ends(read)
    if lag(servers, name, topics):
        return None
    row = connection.execute(TAKE_SNAPSHOT).fetchone()
    assert row is not None
    snapshot, is_published = row
    if not is_published or log.readable_ends(read) != ends:
        return None
    return IdleMoment(str(snapshot), ends)


def _as_of(moment: IdleMoment, url: str) -> Engine:
    """Return an engine that reads the rows of a snapshot, and cannot write."""
    engine = engine_for(url)

    def enter(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{moment.snapshot}'")

    event.listen(engine, "begin", enter)
    return engine


def _rebuild(
    stack: Stack, name: str, url: str, moment: IdleMoment, tell: TellRebuild
) -> tuple[tuple[str, ...], RebuildReport]:
    """Rebuild up to a moment; return in sentences what is not recovered, and what was made."""
    service = import_module(f"{application_of(stack).participants[name].module}.service")
    what = Rebuilt(
        service.participant(),
        service.PROGRAM.migrations,
        codec_of(stack),
        contract_on(stack).flows,
    )
    target = RebuildTarget(url, name)
    try:
        rebuild = Rebuild(
            what,
            stack["bootstrap_servers"],
            target,
            lambda: datetime.now(UTC),
            for_trial=True,
        )
        plan = rebuild.plan().until(moment.ends)
        with tell(plan.offsets) as note:
            report = rebuild.run(plan, note)
    finally:
        target.close()
    lost = [f"not recovered: {saga}: {why}" for saga, why in report.examples.items()]
    if more := report.lost - len(report.examples):
        lost.append(f"not recovered: {more} sagas more")
    violated = [f"rows violate a constraint: {text}" for text in report.violated]
    return (*losses(plan, topic(name)), *lost, *violated), report


@contextmanager
def _database_beside(url: str) -> Iterator[str]:
    """Make a database on the same server, and drop it at the end; what is left of one before, too.

    Raises StackError.
    """
    base, _, database = url.rpartition("/")
    beside = f"{database}{SUFFIX}"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(beside))
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        try:
            connection.execute(drop)
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(beside)))
        except psycopg.Error as error:
            raise StackError(
                f"the database {beside} cannot be made beside {database}: {str(error).strip()}. "
                "The user of the stack's databases has to have the right CREATEDB."
            ) from error
        try:
            yield f"{base}/{beside}"
        finally:
            connection.execute(drop)
