"""Checks invariant 6: databases rebuilt from the topics alone hold the live rows.

`main` runs in a separate process, with `stack.json` on standard input and the result as JSON on
standard output. Only that process imports the tables of all services and the monitor; it has
neither producer nor gateway.
"""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import islice
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy import Engine, MetaData, Table, func, select

from saga_lab.application import MONITOR
from saga_lab.invariants.finding import Finding, finding_of
from saga_lab.invariants.gather import application_of, codec_of, contract_on, flows_of
from saga_lab.invariants.interface import Stack
from sagakit.flow.routing import topic
from sagakit.kafka.inspector import LogEnds, read_log
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record, TopicPartitionKey
from sagakit.store.ports import Participant
from sagakit.store.postgres import engine_for
from sagakit.store.rebuild import NOT_REBUILT, differences, rebuild
from sagakit.telemetry.logs import configure

HISTORY = "_history"
"""Suffix of the table that rows may have been moved to; the move changes no row."""
BATCH = 500


class Log(NamedTuple):
    """Records of all topics, and partition -> its end, behind the markers of transactions."""

    records: Sequence[Record]
    ends: Mapping[TopicPartitionKey, int]


@dataclass(frozen=True)
class RebuildComparison:
    """Reports one rebuilt database. `rows` is the number of rows in the live one."""

    name: str
    rows: int
    differences: Sequence[str]


def same_rows(stack: Stack) -> Finding:
    """Check invariant 6: rebuild every database beside the live one and compare.

    The stack has to be idle.
    """
    command = [sys.executable, "-c", f"from {__name__} import main; main()"]
    done = subprocess.run(
        command, input=json.dumps(stack), capture_output=True, text=True, check=False
    )
    if done.returncode:
        last_line = done.stderr.strip().rpartition("\n")[2]
        return finding_of(6, TITLE, "nothing: the rebuild failed", [f"rebuild: {last_line}"])
    return rebuild_finding([RebuildComparison(**row) for row in json.loads(done.stdout)])


TITLE = "Databases rebuilt from the topics hold the same rows"


def rebuild_finding(rebuilt: Sequence[RebuildComparison]) -> Finding:
    """Turn the comparison into a finding. Pure."""
    counts = ", ".join(f"{r.name} {r.rows}" for r in rebuilt)
    return finding_of(
        6,
        TITLE,
        f"{len(rebuilt)} databases rebuilt from the topics alone, rows: {counts}",
        (f"{r.name}: {difference}" for r in rebuilt for difference in r.differences),
    )


def compare(stack: Stack) -> list[RebuildComparison]:
    """Rebuild every database of the stack and compare it with the live one."""
    servers, topics = stack["bootstrap_servers"], contract_on(stack).topics
    log = Log(list(read_log(servers, topics)), LogEnds(servers).readable_ends(topics))
    codec = codec_of(stack)
    return [_compare_service(stack, name, codec, log) for name in stack["databases"]]


def _compare_service(stack: Stack, name: str, codec: Codec, log: Log) -> RebuildComparison:
    live = engine_for(stack["databases"][name])
    with _empty_database(stack["databases"][name]) as url:
        fresh = engine_for(url)
        try:
            if name == MONITOR:
                tables = _project(stack, codec, log, fresh)
            else:
                participant = participant_of(stack, name)
                own = [record for record in log.records if record.topic == topic(name)]
                rebuild(participant, codec, flows_of(stack), own, fresh)
                tables = participant.store.metadata
            return compare_rows(name, tables, live, fresh)
        finally:
            fresh.dispose()
            live.dispose()


def compare_rows(name: str, tables: MetaData, live: Engine, fresh: Engine) -> RebuildComparison:
    """Compare the rows of a database with those of one that was rebuilt beside it."""
    kept = [t for table in tables.sorted_tables if (t := _state(table)) is not None]
    moved = {t.name.removesuffix(HISTORY): t for t in kept if t.name.endswith(HISTORY)}
    found = [
        difference
        for table in kept
        if not table.name.endswith(HISTORY)
        for difference in differences(table, live, fresh, also_in=_at(moved, table))
    ]
    return RebuildComparison(name, sum(_count(live, table) for table in kept), found)


def participant_of(stack: Stack, name: str) -> Participant[Any]:
    """Return the participant of this name, from the module that the manifest names."""
    module = application_of(stack).participants[name].module
    found: Participant[Any] = import_module(f"{module}.service").participant()
    return found


def _project(stack: Stack, codec: Codec, log: Log, fresh: Engine) -> MetaData:
    tables: MetaData = import_module("saga_monitor.storage.tables").metadata
    tables.create_all(fresh)
    projection = import_module("saga_monitor.ingest.projection").Projection(
        fresh, codec, flows_of(stack)
    )
    records = iter(log.records)
    while batch := list(islice(records, BATCH)):
        projection.apply(batch)
    projection.apply([], {place: end for place, end in log.ends.items() if end})
    return tables


def _at(moved: Mapping[str, Table], table: Table) -> list[Table]:
    """Return the history table that rows of `table` may have been moved to, if any."""
    return [moved[table.name]] if table.name in moved else []


def _state(table: Table) -> Table | None:
    """Return the table without columns that are no state; None when no column is left."""
    if table.info == NOT_REBUILT:
        return None
    columns = [column._copy() for column in table.columns if column.info != NOT_REBUILT]
    return Table(table.name, MetaData(), *columns)


def _count(engine: Engine, table: Table) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


@contextmanager
def _empty_database(beside: str) -> Iterator[str]:
    """Create a database on the same server and drop it at the end."""
    name = f"rebuilt_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(beside, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield f"{beside.rpartition('/')[0]}/{name}"
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)


def main() -> None:
    """Run the comparison in the separate process; see the module."""
    configure(json=True, participant="rebuild", level="CRITICAL")
    stack: Mapping[str, Any] = json.load(sys.stdin)
    json.dump([asdict(rebuilt) for rebuilt in compare(stack)], sys.stdout)
