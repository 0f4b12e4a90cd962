"""Compares two projections in one database, the live one or shadows, row by row and field by field.

PostgreSQL joins the tables and returns only rows that differ, in the order of sagas, through
cursors: memory stays flat however large the tables are. All is read in one snapshot. A row is the
same whether it was moved to the history or not. Columns that hold no state are not compared.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Connection, Table, text

from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.watermark import EVERY_PARTITION
from saga_monitor.replay.causes import RowKey, cause
from saga_monitor.replay.target import LIVE, NAME, PREFIX, ShadowRefused
from saga_monitor.saga.facts import Saga
from saga_monitor.storage.stored_saga import load_saga
from saga_monitor.storage.tables import HISTORY, PROJECTED, live_and_history, stream_offset
from sagakit.messages.envelope import TopicPartitionKey
from sagakit.store.rebuild import NOT_REBUILT

COMPARED = tuple(t for t in PROJECTED if t not in HISTORY.values() and t is not stream_offset)
ROW = "(row)"
"""The field of a difference where a whole row is missing."""
BY_CURSOR = {"stream_results": True, "yield_per": 200}
"""Options of a statement whose rows are fetched as they are needed."""
ONE_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
_OF_SCOPE = """
    WHERE (CAST(:saga AS text) IS NULL OR saga = :saga
           OR substr(saga, strpos(saga, '/') + 1) = :saga)
    AND (CAST(:flow AS text) IS NULL OR split_part(saga, '/', 1) = :flow)
"""
_SCOPE = 'SELECT request FROM "{schema}".replay'
_PLACES = 'SELECT topic, partition, "offset" FROM "{schema}".stream_offset'
EXISTS = text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema)")


@dataclass(frozen=True, slots=True)
class CausingEvent:
    """The event that made a difference. partition, offset: where the log has it, if it is known."""

    id: str
    type: str
    at: str
    partition: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field that differs. row: the row's key without the saga; one, other: JSON values."""

    saga: str
    table: str
    row: str
    field: str
    one: Any
    other: Any
    event: CausingEvent | None


@dataclass(slots=True)
class DiffSummary:
    """Numbers of a comparison.

    rows: compared, by table; fields: differences by table and field; sagas: with a difference;
    ahead: partition -> by how many offsets the first projection has read farther, if any.
    """

    rows: Mapping[str, int]
    ahead: Mapping[TopicPartitionKey, int]
    fields: Counter[tuple[str, str]] = field(default_factory=Counter)
    sagas: int = 0

    @property
    def equal(self) -> bool:
        """Return True if no difference was found."""
        return not self.fields


class ProjectionDiff:
    """Compares two projections by name, on a connection whose transaction is its own.

    Iterate once over `differences`; then `summary` is complete. Raises ShadowRefused for a name
    that there is not.
    """

    def __init__(
        self, connection: Connection, projection: Projection, one: str, other: str
    ) -> None:
        self._connection, self._projection = connection, projection
        connection.execute(ONE_SNAPSHOT)
        self._schemas = tuple(_schema_of(connection, name) for name in (one, other))
        self._scope = _scope_of(connection, self._schemas)
        self._saga = lru_cache(maxsize=64)(self._load)
        rows = {table.name: self._count(table) for table in COMPARED}
        self.summary = DiffSummary(rows, self._ahead())

    def differences(self) -> Iterator[FieldDifference]:
        """Yield what differs, saga by saga."""
        streams = [self._rows(table) for table in COMPARED]
        before = None
        for _, key, one, other in heapq.merge(*streams, key=lambda row: row[0]):
            if key.saga != before:
                before = key.saga
                self.summary.sagas += 1
            for name, mine, theirs in _fields(key, one, other):
                self.summary.fields[key.table, name] += 1
                yield self._difference(key, name, mine, theirs)

    def _rows(
        self, table: Table
    ) -> Iterator[tuple[tuple[str, int], RowKey, dict[str, Any] | None, dict[str, Any] | None]]:
        keys = [column.name for column in table.primary_key]
        number, query = COMPARED.index(table), text(_differing(table, self._schemas))
        rows = self._connection.execute(query, self._scope, execution_options=BY_CURSOR)
        for row in rows.mappings():
            rest = {name: row[name] for name in keys if name != "saga"}
            key = RowKey(table.name, row["its_saga"], rest)
            yield (key.saga, number), key, row["one"], row["other"]

    def _difference(self, key: RowKey, name: str, one: Any, other: Any) -> FieldDifference:
        row = "/".join(str(value) for value in key.rest.values())
        sagas = [self._saga(schema, key.saga) for schema in self._schemas]
        if name == "facts":
            one, other = _describe_events(*sagas), _describe_events(*reversed(sagas))
        event = self._event(key, name, *sagas) if key.table != "monitor_unreadable" else None
        return FieldDifference(key.saga, key.table, row, name, one, other, event)

    def _event(self, key: RowKey, name: str, one: Saga, other: Saga) -> CausingEvent | None:
        rows_of = partial(self._projection.rows, partition=EVERY_PARTITION)
        fact = cause(key, name, one, other, rows_of)
        if fact is None:
            return None
        for schema in self._schemas:
            known = live_and_history(_in(schema, "timeline"), _EVENT)
            query = text(
                f'SELECT partition, "offset" FROM {known} '
                "WHERE saga = :saga AND event_id = :event AND type = :type"
            )
            asked = {"saga": key.saga, "event": fact.id, "type": fact.type}
            if place := self._connection.execute(query, asked).first():
                return CausingEvent(fact.id, fact.type, fact.at.isoformat(), *place)
        return CausingEvent(fact.id, fact.type, fact.at.isoformat())

    def _load(self, schema: str, saga: str) -> Saga:
        known = live_and_history(_in(schema, "saga"), "saga, facts::text")
        query = f"SELECT facts FROM {known}"
        facts = self._connection.execute(text(f"{query} WHERE saga = :saga"), {"saga": saga})
        return load_saga(saga, facts.scalar() or "{}")

    def _count(self, table: Table) -> int:
        rows = (_rows_of(table, schema) for schema in self._schemas)
        counts = ", ".join(f"(SELECT count(*) FROM ({sql} {_OF_SCOPE}) AS t)" for sql in rows)
        found = self._connection.execute(text(f"SELECT greatest({counts})"), self._scope)
        return int(found.scalar_one())

    def _ahead(self) -> dict[TopicPartitionKey, int]:
        read = [
            {(t, p): at for t, p, at in self._connection.execute(text(sql))}
            for sql in (_PLACES.format(schema=schema) for schema in self._schemas)
        ]
        places = sorted(read[0].keys() | read[1].keys())
        by = {place: read[0].get(place, 0) - read[1].get(place, 0) for place in places}
        return {place: number for place, number in by.items() if number}


def fingerprint(connection: Connection, name: str) -> str:
    """Return a digest of all rows of a projection; equal rows give the same one.

    It does not depend on which rows were moved to the history, nor on their places on disk.
    """
    schema = _schema_of(connection, name)
    digest = hashlib.sha256()
    for table in COMPARED:
        rows = text(
            "SELECT count(*), coalesce(sum(hashtextextended("
            "jsonb_strip_nulls(to_jsonb(known))::text, 0)::numeric), 0) "
            f"FROM ({_rows_of(table, schema)}) AS known"
        )
        digest.update(repr((table.name, *connection.execute(rows).one())).encode())
    return digest.hexdigest()[:16]


_EVENT = 'saga, event_id, type, partition, "offset"'


def _schema_of(connection: Connection, name: str) -> str:
    """Return the schema of a projection. Raises ShadowRefused."""
    if name == LIVE:
        return str(connection.execute(text("SELECT current_schema()")).scalar_one())
    schema = f"{PREFIX}{name}"
    if not NAME.fullmatch(name) or not connection.execute(EXISTS, {"schema": schema}).scalar_one():
        raise ShadowRefused(f"there is no shadow {name[:60]!r}; `saga shadows` lists them")
    return schema


def _scope_of(connection: Connection, schemas: Sequence[str]) -> dict[str, str | None]:
    """Return the saga and the flow that the shadows are bounded to, which bound the comparison."""
    scope: dict[str, str | None] = {"saga": None, "flow": None}
    for schema in schemas:
        if not schema.startswith(PREFIX):
            continue
        request = connection.execute(text(_SCOPE.format(schema=schema))).scalar_one()
        for name in scope:
            scope[name] = scope[name] or request.get(name)
    return scope


def _columns(table: Table) -> str:
    return ", ".join(f'"{c.name}"' for c in table.columns if c.info != NOT_REBUILT)


def _rows_of(table: Table, schema: str) -> str:
    if table not in HISTORY:
        return f"SELECT {_columns(table)} FROM {_in(schema, table.name)}"
    return f"SELECT * FROM {live_and_history(_in(schema, table.name), _columns(table))}"


def _in(schema: str, table: str) -> str:
    return f'"{schema}".{table}'


def _differing(table: Table, schemas: Sequence[str]) -> str:
    """Return the query for rows that differ. JSON nulls do not count, as in `sagakit`'s rebuild."""
    one, other = (f"{_rows_of(table, schema)} {_OF_SCOPE}" for schema in schemas)
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    mine, theirs = (f"jsonb_strip_nulls(to_jsonb({side}))" for side in ("a", "b"))
    return f"""
        WITH a AS ({one}), b AS ({other})
        SELECT {key}, coalesce(a.saga, b.saga) AS its_saga, {mine} AS one, {theirs} AS other
        FROM a FULL JOIN b USING ({key})
        WHERE a IS DISTINCT FROM b AND {mine} IS DISTINCT FROM {theirs}
        ORDER BY coalesce(a.saga, b.saga) COLLATE "C", {key}
    """


def _fields(
    key: RowKey, one: Mapping[str, Any] | None, other: Mapping[str, Any] | None
) -> Iterator[tuple[str, Any, Any]]:
    if one is None or other is None:
        yield ROW, _presence(key, one), _presence(key, other)
        return
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield name, one.get(name), other.get(name)


def _presence(key: RowKey, row: Mapping[str, Any] | None) -> str:
    """Name a row by what says most of it: its status or type."""
    if row is None:
        return "missing"
    return str(row.get("status") or row.get("type") or row.get("code") or row.get("added") or "")


def _describe_events(here: Saga, there: Saga) -> str:
    only = sum(1 for at, fact in here.facts.items() if there.facts.get(at) != fact)
    return f"{len(here.facts)} events, {only} of them only here"
