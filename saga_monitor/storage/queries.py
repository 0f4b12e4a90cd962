"""Read rows for the API: one saga from the live or history tables, lists and counts.

Lists and counts cover live sagas; archived sagas have a list of their own.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from saga_monitor.saga.blockers import KeptRows, ParkedRecord, Unpublished
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.flow_versions import Count
from saga_monitor.saga.view import Status
from saga_monitor.storage.stored_saga import StoredSaga, load_saga
from saga_monitor.storage.tables import live_and_history
from sagakit.identity import is_plain, saga_key, split_key
from sagakit.web.admin import blockers_of

SHOWN = """
    saga, flow, version, status, awaited, next_deadline, started_at, ended_at, updated_at
"""
# Takes the newest sagas of each status, then the newest of all. Indexes `saga_status` and
# `saga_history_status` have this order, so no other row is read.
_LIST = f"""
    SELECT found.* FROM unnest(CAST(:statuses AS text[])) AS wanted (status) CROSS JOIN LATERAL (
        SELECT {SHOWN}, pinned FROM {{table}} WHERE {{table}}.status = wanted.status
        AND (CAST(:flow AS text) IS NULL OR split_part(saga, '/', 1) = :flow)
        ORDER BY updated_at DESC NULLS LAST, saga LIMIT :limit) AS found
    ORDER BY updated_at DESC NULLS LAST, saga LIMIT :limit
"""
LIST = text(_LIST.format(table="saga"))
LIST_HISTORY = text(_LIST.format(table="saga_history"))
NAMED = text(f"""
    SELECT {SHOWN} FROM {live_and_history("saga", SHOWN)}
    WHERE saga = ANY(:keys) ORDER BY saga
""")
_IN_FLIGHT = "status NOT IN ('completed', 'cancelled')"
# Stuck: overdue in log time, or with an open intervention, or without a start event.
_STUCK = f"""
    {_IN_FLIGHT} AND
    (status IN ('intervention', 'unplaced') OR next_deadline < CAST(:log_time AS timestamptz))
"""
# An ended saga keeps its status while an intervention is open. The array, and IS TRUE here and
# below, keep PostgreSQL from reading all ended sagas by status, also before an ANALYZE.
_ENDED_WITH_INTERVENTION = """
    (status IN ('completed', 'cancelled')) IS TRUE AND saga = ANY(ARRAY(
        SELECT saga FROM intervention WHERE status IN ('open', 'claimed')))
"""
LIST_STUCK = text(f"""
    SELECT * FROM (
        SELECT {SHOWN}, pinned FROM saga WHERE {_STUCK}
        UNION ALL
        SELECT {SHOWN}, pinned FROM saga WHERE {_ENDED_WITH_INTERVENTION}) AS found
    WHERE (status = ANY(:statuses)) IS TRUE
    AND (CAST(:flow AS text) IS NULL OR split_part(saga, '/', 1) = :flow)
    ORDER BY updated_at DESC NULLS LAST, saga LIMIT :limit
""")
# Balances are summed per group of sagas; of many kinds (say, articles) the largest are shown.
SUMMARY = text("""
    WITH summed AS (
        SELECT flow, version, status, name, kind, sum(added) AS added, sum(removed) AS removed,
               sum(added - removed) AS held
        FROM balance JOIN saga USING (saga) GROUP BY 1, 2, 3, 4, 5),
    ranked AS (
        SELECT *, row_number() OVER (
            PARTITION BY flow, version, status, name ORDER BY held DESC, kind) AS place
        FROM summed),
    shown AS (
        SELECT flow, version, status, json_agg(json_build_object('name', name, 'kind', kind,
               'added', added, 'removed', removed, 'held', held) ORDER BY name, place) AS balances
        FROM ranked WHERE place <= :kinds GROUP BY 1, 2, 3),
    counted AS (
        SELECT flow, version, status, count(*) AS sagas, min(started_at) AS oldest
        FROM saga GROUP BY 1, 2, 3)
    SELECT counted.*, coalesce(shown.balances, '[]') AS balances
    FROM counted LEFT JOIN shown
    ON (counted.flow, counted.version, counted.status)
       IS NOT DISTINCT FROM (shown.flow, shown.version, shown.status)
    ORDER BY flow, version, status
""")
_SHOWN_KINDS = 20
# The projection stores a saga without a flow label under the default version. The counts come from
# index `saga_flow` alone; then the oldest saga of each group is looked up. `started_at` is NULL if
# no start event was read.
_OLDEST = """
    SELECT saga FROM saga WHERE status = counted.status AND flow = counted.flow
    AND version IS NOT DISTINCT FROM counted.version AND started_at {since} LIMIT 1
"""
FLOWS = text(f"""
    SELECT CASE WHEN version IS NULL THEN flow ELSE flow || '/' || version END AS label,
           coalesce(sum(sagas) FILTER (WHERE NOT ended), 0),
           coalesce(sum(sagas) FILTER (WHERE ended), 0),
           min(since) FILTER (WHERE NOT ended),
           (array_agg(oldest ORDER BY since) FILTER (WHERE NOT ended))[1]
    FROM (
        SELECT *, status IN ('completed', 'cancelled') AS ended,
               coalesce(({_OLDEST.format(since="= counted.since")}),
                        ({_OLDEST.format(since="IS NULL")})) AS oldest
        FROM (SELECT status, flow, version, count(*) AS sagas, min(started_at) AS since
              FROM saga WHERE flow IS NOT NULL GROUP BY 1, 2, 3) AS counted
    ) AS found GROUP BY 1 ORDER BY 1
""")
_EVENT = 'event_id, type, source, seq, at, read_at, causation, partition, "offset", detail'
TIMELINE = text(f"""
    SELECT {_EVENT} FROM {live_and_history("timeline", f"saga, {_EVENT}")}
    WHERE saga = :saga
""")
FACTS = text(f"""
    SELECT facts::text FROM {live_and_history("saga", "saga, facts")}
    WHERE saga = :saga
""")
# In the order of indexes `saga_flow` (a scan for each status) and `saga_history_started`. The first
# condition on the time follows from the row comparison, but bounds the scan.
_STARTED = """
    started_at >= :since AND started_at < :until AND (started_at, saga) > (:after_at, :after)
    ORDER BY started_at, saga LIMIT :limit
"""
STARTED = text(f"""
    SELECT saga, facts, started_at FROM (
        SELECT found.* FROM unnest(CAST(:statuses AS text[])) AS wanted (status)
        CROSS JOIN LATERAL (
            SELECT saga, facts::text, started_at FROM saga
            WHERE status = wanted.status AND flow = :flow AND {_STARTED}) AS found
        UNION ALL
        (SELECT saga, facts::text, started_at FROM saga_history
         WHERE flow = :flow AND {_STARTED})) AS found
    ORDER BY started_at, saga LIMIT :limit
""")
PRESENT_TIME = text("SELECT clock_timestamp()")
IS_HISTORY = text("SELECT EXISTS (SELECT FROM saga_history WHERE saga = :saga)")
UNREADABLE = text("""
    SELECT topic, partition, "offset", at, code, error, saga, encode(record_key, 'escape') AS key,
           length(value) AS bytes
    FROM monitor_unreadable ORDER BY at DESC LIMIT :limit
""")
# Most overdue first. A saga without a start event, or ended, has no deadline and sorts before all
# others.
_BLOCKED = f"""
    (SELECT {SHOWN}, facts::text FROM saga WHERE {{wanted}}
     ORDER BY next_deadline NULLS FIRST, saga LIMIT :limit)
    UNION ALL
    SELECT {SHOWN}, facts::text FROM saga WHERE {_ENDED_WITH_INTERVENTION}
    ORDER BY next_deadline NULLS FIRST, saga LIMIT :limit
"""
BLOCKED = text(_BLOCKED.format(wanted=_IN_FLIGHT))
BLOCKED_STUCK = text(_BLOCKED.format(wanted=_STUCK))
PLACES = text("""
    SELECT t.saga, t.event_id, t.type, t.partition, t."offset" FROM timeline t
    JOIN unnest(CAST(:sagas AS text[]), CAST(:events AS text[])) AS e (saga, event_id)
    ON t.saga = e.saga AND t.event_id = e.event_id
""")
OWN_UNREADABLE = text("""
    SELECT saga, code, error, topic, partition, "offset", at AS parked_at
    FROM monitor_unreadable WHERE saga = ANY(:sagas) ORDER BY at
""")
INTERVENTIONS = text("""
    SELECT i.saga, s.flow, s.version, s.status AS saga_status, i.code, i.status, i.holder, i.reason,
           i.opened_at, i.closed_at, i.entries
    FROM intervention i JOIN saga s ON s.saga = i.saga
    WHERE i.status = ANY(:statuses) ORDER BY i.opened_at, i.saga, i.code LIMIT :limit
""")
UPDATE_MARKS = text(f"""
    SELECT known.saga, updated_at,
           (SELECT count(*) FROM {live_and_history("timeline", "saga")}
            WHERE known.saga = asked.saga) AS events
    FROM unnest(CAST(:sagas AS text[])) AS asked (saga)
    JOIN {live_and_history("saga", "saga, updated_at")} ON known.saga = asked.saga
""")
STORED = text("SELECT saga, facts::text FROM saga WHERE saga = ANY(CAST(:sagas AS text[]))")
READ_POSITION = text('SELECT coalesce(sum("offset"), 0) FROM stream_offset')
COUNT_UNREADABLE = text("SELECT count(*) FROM monitor_unreadable")

Row = dict[str, Any]
Places = dict[tuple[str, str], tuple[str, int, int]]
"""(saga key, event id) -> the event's type, partition and offset."""


def sagas(
    connection: Connection,
    status: str | None,
    stuck: bool,
    log_time: datetime | None,
    limit: int,
    *,
    flow: str | None = None,
    history: bool = False,
) -> list[Row]:
    """Return rows for a list, newest first.

    flow: name of the flow; log_time: time up to which the log is read, if known; history: list only
    archived sagas.
    """
    statuses = [status] if status else [known.value for known in Status]
    wanted: Row = {"statuses": statuses, "flow": flow, "limit": limit}
    if stuck:  # no archived saga is stuck
        wanted |= {"statuses": [] if history else statuses, "log_time": log_time}
        return _saga_rows(connection, LIST_STUCK, **wanted)
    return _saga_rows(connection, LIST_HISTORY if history else LIST, **wanted)


def named(connection: Connection, name: str, flows: Iterable[str]) -> list[Row]:
    """Return the sagas that a person may mean: by saga key, or by the id in any of `flows`."""
    if not is_plain(name):
        return []
    keys = [name, *(saga_key(flow, name) for flow in ("", *flows))]
    return _saga_rows(connection, NAMED, keys=keys)


def blocked(
    connection: Connection, stuck: bool, log_time: datetime | None, limit: int
) -> list[tuple[Row, StoredSaga]]:
    """Return rows of sagas in flight, or with an open intervention, with their sagas.

    The most overdue are first. stuck: of those in flight, only the stuck ones.
    """
    if stuck:
        found = _saga_rows(connection, BLOCKED_STUCK, log_time=log_time, limit=limit)
    else:
        found = _saga_rows(connection, BLOCKED, limit=limit)
    return [(row, StoredSaga(row["saga"], row.pop("facts"))) for row in found]


def places(connection: Connection, events: Sequence[tuple[str, str]]) -> Places:
    """Return type, partition and offset of events, given as (saga key, event id)."""
    sagas, ids = [saga for saga, _ in events], [event for _, event in events]
    found = connection.execute(PLACES, {"sagas": sagas, "events": ids})
    return {(saga, event): tuple(place) for saga, event, *place in found}


def own_kept_rows(connection: Connection, sagas: Sequence[str]) -> Iterator[tuple[str, KeptRows]]:
    """Yield what the monitor itself keeps of sagas: unpublished events, unreadable records."""
    found = blockers_of(connection, sagas)
    for row in connection.execute(OWN_UNREADABLE, {"sagas": list(sagas)}).mappings():
        rows = found.setdefault(row["saga"], {"outbox": [], "parked": []})
        rows["parked"].append({name: row[name] for name in row if name != "saga"})
    for saga, rows in found.items():
        outbox = tuple(Unpublished(**row) for row in rows["outbox"])
        parked = tuple(ParkedRecord(**row) for row in rows["parked"])
        yield saga, KeptRows(outbox=outbox, parked=parked)


def interventions(connection: Connection, statuses: Sequence[str], limit: int) -> list[Row]:
    """Return the interventions of live sagas, oldest first."""
    return _saga_rows(connection, INTERVENTIONS, statuses=list(statuses), limit=limit)


def summary(connection: Connection) -> list[Row]:
    """Count live sagas by flow version and status, with the oldest start and their balances.

    Of each balance, the kinds of which most is held are shown.
    """
    return _rows(connection, SUMMARY, kinds=_SHOWN_KINDS)


def flows(connection: Connection) -> list[Count]:
    """Count live sagas per flow version: those in flight, and ended ones not archived yet."""
    return [
        Count(label, int(in_flight), int(ended), *oldest)
        for label, in_flight, ended, *oldest in connection.execute(FLOWS)
    ]


def timeline(connection: Connection, saga: str) -> list[Row]:
    """Return the events of a saga, unsorted: `Saga.timeline` sorts."""
    return _rows(connection, TIMELINE, saga=saga)


def started(
    connection: Connection,
    flow: str,
    since: datetime,
    until: datetime,
    after: tuple[datetime, str],
    limit: int,
) -> list[tuple[StoredSaga, datetime]]:
    """Return sagas of a flow, archived ones too, that started between two log times.

    They are in the order of their starts, each with it. after: start and saga key of the last one
    that was returned before.
    """
    after_at, key = after
    wanted = {"since": max(since, after_at), "until": until, "after_at": after_at, "after": key}
    statuses = [known.value for known in Status]
    parameters = {**wanted, "flow": flow, "statuses": statuses, "limit": limit}
    rows = connection.execute(STARTED, parameters)
    return [(StoredSaga(saga, facts), at) for saga, facts, at in rows]


def present_time(connection: Connection) -> datetime:
    """Return the time of the database's clock, which says when an event was read."""
    found: datetime = connection.execute(PRESENT_TIME).scalar_one()
    return found


def unreadable(connection: Connection, limit: int) -> list[Row]:
    """Return records that the monitor could not read, newest first."""
    return _rows(connection, UNREADABLE, limit=limit)


def count_unreadable(connection: Connection) -> int:
    """Count the records that the monitor could not read."""
    return int(connection.execute(COUNT_UNREADABLE).scalar_one())


def find(connection: Connection, saga: str) -> Saga | None:
    """Return one saga; None if no event of it was ever read. Raises UnreadableState."""
    if not is_plain(saga):  # no saga has such a key, and PostgreSQL text holds no NUL
        return None
    facts = connection.execute(FACTS, {"saga": saga}).scalar()
    return None if facts is None else load_saga(saga, facts)


def is_history(connection: Connection, saga: str) -> bool:
    """Return True if a saga was moved to the history tables."""
    return bool(connection.execute(IS_HISTORY, {"saga": saga}).scalar_one())


def _saga_rows(connection: Connection, query: Any, **parameters: Any) -> list[Row]:
    return [saga_row(row) for row in _rows(connection, query, **parameters)]


def saga_row(row: Row) -> Row:
    """Return a row with saga key, bare id and flow label, in place of flow and version."""
    saga, flow, version = row.pop("saga"), row.pop("flow"), row.pop("version")
    label = flow if version is None else f"{flow}/{version}"
    return {"saga": saga, "id": split_key(saga)[1], "flow": label, **row}


def _rows(connection: Connection, query: Any, **parameters: Any) -> list[Row]:
    return [dict(row._mapping) for row in connection.execute(query, parameters)]


def update_marks(connection: Connection, sagas: Sequence[str]) -> dict[str, Any]:
    """Return saga key -> a value that changes with each event of the saga that is read."""
    found = connection.execute(UPDATE_MARKS, {"sagas": [key for key in sagas if is_plain(key)]})
    return {saga: (updated_at, events) for saga, updated_at, events in found}


def read_position(connection: Connection) -> int:
    """Return a number that changes with each record that is read."""
    return int(connection.execute(READ_POSITION).scalar_one())


def stored(connection: Connection, sagas: Sequence[str]) -> list[StoredSaga]:
    """Return live sagas by their keys."""
    found = connection.execute(STORED, {"sagas": [key for key in sagas if is_plain(key)]})
    return [StoredSaga(saga, facts) for saga, facts in found]
