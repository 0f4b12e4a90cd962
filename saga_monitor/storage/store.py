"""Lock and write the monitor's rows with set-based SQL: one statement per table and batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Table, TextClause, text

from saga_monitor.saga.facts import log_time, unix_ms
from saga_monitor.saga.interventions import Intervention
from saga_monitor.storage.stored_saga import StoredSaga
from saga_monitor.storage.tables import (
    HISTORY,
    balance,
    intervention,
    monitor_unreadable,
    saga,
    stream_offset,
    timeline,
)
from sagakit.errors import UnknownFlow, UnknownSchema, UnreadableState
from sagakit.messages.codec import MAX_EVENT_BYTES
from sagakit.messages.envelope import Record
from sagakit.store.json_rows import KEYS, as_json, recordset, rows_of
from sagakit.store.packed_headers import kept_headers, pack_headers

_MAX_KEPT_BYTES = 64 * 1024
Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""
_UNKNOWN_CODES, _MAX_UNKNOWN_BYTES = (UnknownFlow.code, UnknownSchema.code), 2 * MAX_EVENT_BYTES
_UNKNOWN = {"codes": list(_UNKNOWN_CODES), "most": _MAX_UNKNOWN_BYTES}
_TRIED_CODES = (*_UNKNOWN_CODES, UnreadableState.code)
_TRIED = {"codes": list(_TRIED_CODES), "most": _MAX_UNKNOWN_BYTES}


@dataclass(frozen=True, slots=True)
class SagaRow:
    """A row of `saga`, but for `quiet_until`: each write clears it. facts: only the new ones."""

    saga: str
    flow: str | None
    version: int | None
    status: str
    facts: Mapping[str, Any]
    awaited: str | None
    next_deadline: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime | None
    partition: int
    pinned: bool


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """A row of `balance`."""

    saga: str
    name: str
    kind: str
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A row of `timeline`."""

    saga: str
    event_id: str
    type: str
    source: str
    seq: int | None
    at: datetime
    causation: str | None
    partition: int
    offset: int
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InterventionRow:
    """A row of `intervention`."""

    saga: str
    code: str
    status: str
    reason: str
    holder: str | None
    opened_at: datetime
    closed_at: datetime | None
    entries: int

    @classmethod
    def of(cls, saga: str, intervention: Intervention) -> "InterventionRow":
        """Build the row of an intervention."""
        return cls(
            saga=saga,
            code=intervention.code,
            status=intervention.status.value,
            reason=intervention.reason,
            holder=intervention.holder,
            opened_at=intervention.opened_at,
            closed_at=intervention.closed_at,
            entries=len(intervention.entries),
        )


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record that could not be read: the key of the saga it belongs to, and the reason."""

    record: Record
    saga: str
    code: str
    error: str


@dataclass(slots=True)
class WriteBatch:
    """The rows one transaction of the projection writes.

    balances: saga -> all its rows, for sagas of which a balance may have moved; offsets: of the
    next record to read.
    """

    sagas: list[SagaRow] = field(default_factory=list)
    balances: dict[str, list[BalanceRow]] = field(default_factory=dict)
    timeline: list[TimelineRow] = field(default_factory=list)
    interventions: list[InterventionRow] = field(default_factory=list)
    unreadable: list[UnreadableRecord] = field(default_factory=list)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)


_SAGA = tuple(f.name for f in fields(SagaRow))
_VIEW = tuple(name for name in _SAGA if name not in ("saga", "facts"))
_BALANCE = tuple(f.name for f in fields(BalanceRow))
_TIMELINE = tuple(f.name for f in fields(TimelineRow))
_INTERVENTION = tuple(f.name for f in fields(InterventionRow))


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


ADD_MISSING = text(
    "INSERT INTO saga (saga, partition) "
    f"SELECT * FROM {recordset(saga, ('saga', 'partition'))} ON CONFLICT (saga) DO NOTHING "
    "RETURNING saga"
)


def move_statement(table: Table, to: Table) -> TextClause:
    """Return the statement that moves the rows of some sagas to a table with the same columns.

    A row that is already there is the empty one that `ADD_MISSING` inserted; it is overwritten.
    """
    columns, key = [c.name for c in table.columns], _quoted([c.name for c in table.primary_key])
    rest = ", ".join(f"{c} = excluded.{c}" for c in map(_quoted, [[c] for c in columns]))
    return text(
        f"WITH moved AS (DELETE FROM {table.name} WHERE saga = ANY({KEYS}) "
        f"RETURNING {_quoted(columns)}) "
        f"INSERT INTO {to.name} ({_quoted(columns)}) SELECT * FROM moved "
        f"ON CONFLICT ({key}) DO UPDATE SET {rest}"
    )


TO_HISTORY = [move_statement(table, there) for table, there in HISTORY.items()]
FROM_HISTORY = [move_statement(there, table) for table, there in HISTORY.items()]
LOCK = text(
    "SELECT saga, partition, status, facts::text FROM saga "
    f"WHERE saga = ANY({KEYS}) ORDER BY saga FOR UPDATE"
)
# An upsert of rows that exist and are locked, see `sagakit.store.postgres.SAVE_INBOX`. Facts are
# only added, or replaced by an earlier record of the same event, so only such facts are sent.
SAVE = text(
    f"INSERT INTO saga ({_quoted(_SAGA)}) SELECT * FROM {recordset(saga, _SAGA)} "
    f"ON CONFLICT (saga) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _VIEW)}, "
    "facts = saga.facts || excluded.facts, quiet_until = NULL"
)
# The balances of a batch are written by the same statement. A row goes when its kind does: a
# movement without a kind is of the kind that a later event is the first to add.
SAVE_WITH_BALANCES = text(
    f"WITH moved AS (SELECT * FROM {recordset(balance, _BALANCE, 'moved')}), gone AS ("
    f"DELETE FROM balance b WHERE b.saga = ANY({KEYS}) AND NOT EXISTS ("
    "SELECT FROM moved m WHERE (m.saga, m.name, m.kind) = (b.saga, b.name, b.kind))), "
    f"kept AS (INSERT INTO balance ({_quoted(_BALANCE)}) SELECT * FROM moved "
    "ON CONFLICT (saga, name, kind) "
    "DO UPDATE SET added = excluded.added, removed = excluded.removed "
    "WHERE (balance.added, balance.removed) <> (excluded.added, excluded.removed)) "
    f"{SAVE.text}"
)
# Of an event published twice the first sighting is kept, as in `fold`. A republished event keeps
# its time and gets a new partition and offset.
ADD_TIMELINE = text(
    f"INSERT INTO timeline ({_quoted(_TIMELINE)}) SELECT * FROM {recordset(timeline, _TIMELINE)} "
    "ON CONFLICT (saga, event_id, type) DO UPDATE "
    'SET partition = excluded.partition, "offset" = excluded."offset" '
    'WHERE timeline.at = excluded.at AND timeline."offset" <> excluded."offset"'
)
SAVE_INTERVENTIONS = text(
    f"INSERT INTO intervention ({_quoted(_INTERVENTION)}) "
    f"SELECT * FROM {recordset(intervention, _INTERVENTION)} "
    "ON CONFLICT (saga, code) "
    f"DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _INTERVENTION[2:])}"
)
ADVANCE = text(f"""
    INSERT INTO stream_offset (topic, partition, "offset")
    SELECT * FROM {recordset(stream_offset, ("topic", "partition", "offset"))} ORDER BY 1, 2
    ON CONFLICT (topic, partition) DO UPDATE
    SET "offset" = GREATEST(stream_offset."offset", excluded."offset")
""")
RESET = text("""
    INSERT INTO stream_offset (topic, partition, "offset") VALUES (:topic, :partition, :offset)
    ON CONFLICT (topic, partition) DO UPDATE SET "offset" = excluded."offset"
""")
DELETE_UNREADABLE_FROM = text("""
    DELETE FROM monitor_unreadable
    WHERE topic = :topic AND partition = :partition AND "offset" >= :offset
""")
OFFSETS = text('SELECT topic, partition, "offset" FROM stream_offset')
UNKNOWN_SCHEMA = text("""
    SELECT topic, partition, "offset", at, record_key, value, headers
    FROM monitor_unreadable
    WHERE code = ANY(:codes) AND octet_length(value) < :most AND length(headers) < :most
""")
UNKNOWN_BUT = text(f"""
    SELECT topic, partition, "offset", at, record_key, value, headers
    FROM monitor_unreadable u
    WHERE code = ANY(:codes) AND octet_length(value) < :most AND length(headers) < :most
    AND NOT EXISTS (
        SELECT FROM {recordset(monitor_unreadable, ("topic", "partition", "offset"))}
        WHERE n.topic = u.topic AND n.partition = u.partition AND n."offset" = u."offset"
    )
    ORDER BY at, topic, partition, "offset" LIMIT :limit
""")
DELETE_UNREADABLE = text("""
    DELETE FROM monitor_unreadable
    WHERE topic = :topic AND partition = :partition AND "offset" = :offset
""")
ADD_UNREADABLE = text("""
    INSERT INTO monitor_unreadable
    (topic, partition, "offset", at, code, error, saga, record_key, value, headers)
    VALUES (:topic, :partition, :offset, :at, :code, :error, :saga, :record_key, :value, :headers)
    ON CONFLICT (topic, partition, "offset") DO NOTHING
""")
RECORD_COMMAND = text("""
    INSERT INTO recorded_command (id, saga, type, fields, at)
    VALUES (:id, :saga, :type, CAST(:fields AS jsonb), :at) ON CONFLICT (id) DO NOTHING
""")
RECORDED_COMMAND = text("SELECT fields FROM recorded_command WHERE id = :id")
# `next_deadline < :latest` follows from the condition after it, but it bounds the index scan, which
# otherwise reads every open deadline.
OVERDUE = text("""
    SELECT s.saga, s.facts::text, s.partition FROM saga s
    JOIN unnest(CAST(:partitions AS int[]), CAST(:throughs AS timestamptz[]))
    AS g (partition, through)
    ON s.partition = g.partition
    WHERE s.next_deadline < :latest AND s.next_deadline < g.through
    AND (s.quiet_until IS NULL OR s.quiet_until < g.through)
    ORDER BY s.next_deadline NULLS FIRST LIMIT :limit FOR UPDATE OF s SKIP LOCKED
""")
# The condition on the keys makes it an index scan.
SNOOZE = text(
    "UPDATE saga SET quiet_until = n.quiet_until "
    f"FROM {recordset(saga, ('saga', 'quiet_until'))} "
    f"WHERE saga.saga = n.saga AND saga.saga = ANY({KEYS})"
)


def lock(
    connection: Connection, partitions: Mapping[str, int]
) -> dict[str, tuple[StoredSaga, int, str]]:
    """Lock sagas in key order; return saga key -> the saga, its partition and status.

    A missing saga is inserted, and an archived one is brought back from the history tables.
    `partitions`: saga key -> partition that its events are now read from.
    """
    found: dict[str, tuple[StoredSaga, int, str]] = {}
    # A second turn is needed only if a saga was archived between the two statements.
    while keys := sorted(partitions.keys() - found.keys()):
        wanted = rows_of([{"saga": key, "partition": partitions[key]} for key in keys])
        made = connection.execute(ADD_MISSING, wanted).scalars().all()
        if made:
            _restore(connection, made)
        for key, partition, status, facts in connection.execute(LOCK, {"keys": as_json(keys)}):
            found[key] = (StoredSaga(key, facts), partition, status)
    return found


def _restore(connection: Connection, sagas: Sequence[str]) -> None:
    """Bring archived sagas back; if none of these is archived, this costs one statement."""
    keys = {"keys": as_json(sorted(sagas))}
    first, *rest = FROM_HISTORY
    if connection.execute(first, keys).rowcount:
        for statement in rest:
            connection.execute(statement, keys)


def archive(connection: Connection, sagas: Sequence[str]) -> None:
    """Move these sagas to the history tables; the caller must have locked them."""
    for statement in TO_HISTORY:
        connection.execute(statement, {"keys": as_json(sagas)})


def write(connection: Connection, batch: WriteBatch) -> None:
    """Write the whole batch in set-based statements; the sagas must be locked."""
    if batch.balances:
        moved = [row for key in sorted(batch.balances) for row in batch.balances[key]]
        more = {"keys": as_json(list(batch.balances)), "moved": as_json(moved)}
        connection.execute(SAVE_WITH_BALANCES, {**rows_of(batch.sagas), **more})
    elif batch.sagas:
        connection.execute(SAVE, rows_of(batch.sagas))
    if batch.timeline:
        connection.execute(ADD_TIMELINE, rows_of(_one_row_per_event(batch.timeline)))
    if batch.interventions:
        batch.interventions.sort(key=lambda row: (row.saga, row.code))
        connection.execute(SAVE_INTERVENTIONS, rows_of(batch.interventions))
    if batch.unreadable:
        connection.execute(ADD_UNREADABLE, [_unreadable_row(one) for one in batch.unreadable])
    if batch.offsets:
        places = [
            {"topic": topic, "partition": partition, "offset": offset}
            for (topic, partition), offset in batch.offsets.items()
        ]
        connection.execute(ADVANCE, rows_of(places))


def _one_row_per_event(rows: Iterable[TimelineRow]) -> list[TimelineRow]:
    """Sort the rows and keep one per event: the one that `ADD_TIMELINE` would keep."""
    found: dict[tuple[str, str, str], TimelineRow] = {}
    for row in sorted(rows, key=row_key):
        known = found.get(row_key(row), row)
        if row.at == known.at:
            found[row_key(row)] = row
    return list(found.values())


def row_key(row: TimelineRow) -> tuple[str, str, str]:
    """Return the key of a row of `timeline`."""
    return row.saga, row.event_id, row.type


def offsets(connection: Connection) -> dict[tuple[str, int], int]:
    """Return (topic, partition) -> offset of the next record to read."""
    return {(topic, partition): offset for topic, partition, offset in connection.execute(OFFSETS)}


def reset(connection: Connection, starts: Mapping[tuple[str, int], int]) -> None:
    """Set the stored offsets to `starts`, lower or higher.

    Unreadable records from there on are deleted: they are read again if Kafka still has them.
    """
    for (topic, partition), offset in sorted(starts.items()):
        start = {"topic": topic, "partition": partition, "offset": offset}
        connection.execute(RESET, start)
        connection.execute(DELETE_UNREADABLE_FROM, start)


def unknown_schema_records(connection: Connection) -> list[Record]:
    """Return records whose schema or flow version was unknown when they were read."""
    return [_kept_record(row) for row in connection.execute(UNKNOWN_SCHEMA, _UNKNOWN)]


def unknown_records_but(connection: Connection, but: Iterable[Place], limit: int) -> list[Record]:
    """Return such records, and those of sagas whose row could not be read, the oldest first.

    But none at the places `but`.
    """
    places = [{"topic": t, "partition": p, "offset": o} for t, p, o in but]
    asked = {**_TRIED, **rows_of(places), "limit": limit}
    return [_kept_record(row) for row in connection.execute(UNKNOWN_BUT, asked)]


def _kept_record(row: Any) -> Record:
    topic, partition, offset, at, key, value, headers = row
    return Record(topic, partition, offset, unix_ms(at), key, value, kept_headers(headers))


def delete_unreadable(connection: Connection, records: Sequence[Record]) -> None:
    """Delete these records from the unreadable ones, because they are read again."""
    places = [{"topic": r.topic, "partition": r.partition, "offset": r.offset} for r in records]
    if places:
        connection.execute(DELETE_UNREADABLE, places)


def overdue(
    connection: Connection, read_through: Mapping[int, datetime], limit: int
) -> list[tuple[StoredSaga, int]]:
    """Lock sagas whose next deadline is before `read_through` of their partition.

    Return each with its partition. Sagas that are locked, or snoozed until later, are skipped.
    read_through: partition -> log time up to which it is read.
    """
    parameters = {
        "partitions": list(read_through),
        "throughs": list(read_through.values()),
        "latest": max(read_through.values()),
        "limit": limit,
    }
    rows = connection.execute(OVERDUE, parameters)
    return [(StoredSaga(key, facts), partition) for key, facts, partition in rows]


def snooze(connection: Connection, quiet_until: Mapping[str, datetime]) -> None:
    """Keep sagas out of `overdue` until a log time, or until a new event of theirs is read."""
    if quiet_until:
        rows = [{"saga": key, "quiet_until": at} for key, at in quiet_until.items()]
        connection.execute(SNOOZE, {**rows_of(rows), "keys": as_json(list(quiet_until))})


def record_command(
    connection: Connection, saga: str, id_: UUID, event: Any, at: datetime
) -> dict[str, Any] | None:
    """Record the event of a command or timeout verdict on a saga under its id.

    Return None, or the fields of the event that was recorded under this id before. Raises
    UnreadableState if these cannot be read.
    """
    fields_text = orjson.dumps(event.to_dict()).decode()
    row = {"id": id_, "saga": saga, "type": event.type, "fields": fields_text}
    if connection.execute(RECORD_COMMAND, {**row, "at": at}).rowcount:
        return None
    earlier: Any = connection.execute(RECORDED_COMMAND, {"id": id_}).scalar_one()
    if not isinstance(earlier, dict) or "actor" not in earlier:
        raise UnreadableState(
            f"the fields of the command {id_} on {saga} in the table recorded_command cannot be "
            f"read ({str(earlier)[:100]}); correct the row, or delete it: the command is then new"
        )
    return earlier


def _unreadable_row(unreadable: UnreadableRecord) -> dict[str, Any]:
    """Return the row of a record that could not be read.

    A record of an unknown schema or flow is kept whole, because newer code can read it, and so is
    one of a saga whose row may be corrected. Of any other only the first bytes are kept, to
    identify it.
    """
    record, code = unreadable.record, unreadable.code
    most = _MAX_UNKNOWN_BYTES if code in _TRIED_CODES else _MAX_KEPT_BYTES
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "at": log_time(record.timestamp_ms),
        "code": code,
        "error": unreadable.error.replace("\0", "")[:2000],
        "saga": unreadable.saga,
        "record_key": record.key and record.key[:most],
        "value": record.value and record.value[:most],
        "headers": pack_headers(record.headers)[:most],
    }
