"""The database that a participant is rebuilt into: its progress, its lock, what is not recovered.

Each connection that writes takes an advisory lock first and keeps it, so nobody writes who has lost
it, and two rebuilds cannot write side by side. Progress is stored with the rows. A rebuild that was
killed goes on where its last transaction ended; until it is over no service starts on the database.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import event, text

from sagakit.errors import SagaError
from sagakit.kafka.log_spans import OffsetSpan, Spans
from sagakit.messages.envelope import Record, TopicPartitionKey
from sagakit.recovery.answered import OwnEvent
from sagakit.recovery.own_topic import WAITS
from sagakit.recovery.plan import RebuildPlan
from sagakit.store.connections import Connection, Connections
from sagakit.store.json_rows import driver_sql, rows_of
from sagakit.store.packed_headers import pack_headers
from sagakit.store.postgres import engine_for
from sagakit.store.rebuild import SELECT_CHECKS

LOCK = 0x5A6A_0003
LOCK_WAIT = "10s"
"""How long a rebuild waits for the session of one that was killed to end."""
SHOWN = 20
"""So many sagas that are not recovered are named."""
CREATE = tuple(
    driver_sql(sql)
    for sql in (
        "CREATE TABLE rebuild (participant text PRIMARY KEY, from_backup boolean NOT NULL,"
        " began_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz)",
        'CREATE TABLE rebuild_span (topic text, "partition" integer, own boolean,'
        " next_offset bigint NOT NULL, topic_id text, since_ms bigint,"
        ' PRIMARY KEY (topic, "partition", own))',
        "CREATE TABLE rebuild_event (saga text NOT NULL, type text NOT NULL, cause uuid,"
        " logged_ms bigint NOT NULL, content text NOT NULL)",
        "CREATE INDEX rebuild_event_saga ON rebuild_event (saga)",
        "CREATE TABLE rebuild_lost (saga text PRIMARY KEY, why text NOT NULL)",
        "CREATE TABLE rebuild_check (table_name text, name text, definition text NOT NULL,"
        " violated boolean NOT NULL DEFAULT false, PRIMARY KEY (table_name, name))",
    )
)
STATE = driver_sql("""
    SELECT to_regclass('public.rebuild') IS NOT NULL, EXISTS (
        SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S'))
""")
FOUND = driver_sql("SELECT participant, from_backup, finished_at FROM rebuild")
NOTE_BEGIN = driver_sql(
    "INSERT INTO rebuild (participant, from_backup) VALUES (:participant, :from_backup)"
)
MISSING = driver_sql("""
    SELECT name FROM unnest(CAST(:names AS text[])) AS name
    WHERE to_regclass('public.' || quote_ident(name)) IS NULL
""")
DROP_OLD = driver_sql(
    "DROP TABLE IF EXISTS rebuild, rebuild_span, rebuild_event, rebuild_lost, rebuild_check"
)
DROP_PUBLISHED = driver_sql("""
    DELETE FROM outbox USING json_to_recordset(CAST(:rows AS json)) AS n
        (topic text, key text, headers text, value bytea)
    WHERE (outbox.topic, outbox.key, outbox.headers, outbox.value)
        = (n.topic, n.key, n.headers, n.value)
""")
_SPANS = (
    "json_to_recordset(CAST(:rows AS json)) AS n"
    ' (topic text, "partition" integer, own boolean, next_offset bigint, topic_id text,'
    " since_ms bigint)"
)
NOTE_SPANS = driver_sql(f"INSERT INTO rebuild_span SELECT * FROM {_SPANS} ON CONFLICT DO NOTHING")
SPANS = driver_sql(
    'SELECT topic, "partition", own, next_offset, topic_id, since_ms FROM rebuild_span'
)
NOTE_PROGRESS = driver_sql(f"""
    UPDATE rebuild_span AS s SET next_offset = n.next_offset FROM {_SPANS}
    WHERE (s.topic, s."partition", s.own) = (n.topic, n."partition", n.own)
""")
NOTE_EVENTS = driver_sql("""
    INSERT INTO rebuild_event SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS n
    (saga text, type text, cause uuid, logged_ms bigint, content text)
""")
EVENTS = driver_sql(
    "SELECT saga, type, cause, logged_ms, content FROM rebuild_event WHERE saga = ANY(:sagas)"
)
WAITING = driver_sql("SELECT DISTINCT key FROM parked WHERE code = :code LIMIT 1000")
DISCARD_AGAIN = driver_sql("""
    DELETE FROM parked USING audit
    WHERE audit.action = 'discard' AND parked.key = ANY(audit.subjects)
    AND (parked.topic, CAST(parked."partition" AS text), CAST(parked."offset" AS text),
         parked.code, parked.error)
      = (detail ->> 'topic', detail ->> 'partition', detail ->> 'offset',
         detail ->> 'code', detail ->> 'error')
    RETURNING parked.key
""")
NOTE_LOST = driver_sql("""
    INSERT INTO rebuild_lost SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS n
    (saga text, why text) ON CONFLICT DO NOTHING
""")
LOST = driver_sql("SELECT saga FROM rebuild_lost WHERE saga = ANY(:sagas)")
NOTE_CHECKS = driver_sql(f"""
    INSERT INTO rebuild_check (table_name, name, definition)
    {SELECT_CHECKS}
    ON CONFLICT (table_name, name) DO UPDATE SET definition = excluded.definition, violated = false
    RETURNING table_name, name
""")
CHECKS = driver_sql("SELECT table_name, name, definition FROM rebuild_check WHERE NOT violated")
CHECK_HOLDS = driver_sql("DELETE FROM rebuild_check WHERE (table_name, name) = (:table, :name)")
CHECK_VIOLATED = driver_sql(
    "UPDATE rebuild_check SET violated = true WHERE (table_name, name) = (:table, :name)"
)
FINISH = (
    driver_sql("DROP TABLE rebuild_event"),
    driver_sql("UPDATE rebuild SET finished_at = now()"),
)


class RebuildRefused(SagaError):
    """A participant cannot be rebuilt like this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """Says what a rebuild has made.

    asked: kind -> effects that are asked again; published: topic -> events that are published when
    the service starts; parked: code -> records; lost: number of sagas that are not recovered, of
    which `examples` names some with the reason; violated: constraints that the rows do not fulfil.
    """

    sagas: int
    asked: Mapping[str, int] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)
    parked: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0
    examples: Mapping[str, str] = field(default_factory=dict)
    violated: Sequence[str] = ()


COUNT_SAGAS = text("SELECT count(*) FROM inbox WHERE left(key, 1) <> '/'")
ASKED = text("SELECT kind, count(*) FROM effects GROUP BY kind ORDER BY kind")
PUBLISHED = text("SELECT topic, count(*) FROM outbox GROUP BY topic ORDER BY topic")
PARKED = text("SELECT code, count(*) FROM parked GROUP BY code ORDER BY code")
COUNT_LOST = text("SELECT count(*) FROM rebuild_lost")
SOME_LOST = text("SELECT saga, why FROM rebuild_lost ORDER BY saga LIMIT :most")
VIOLATED = text("SELECT table_name || ' ' || definition FROM rebuild_check WHERE violated")


class RebuildTarget:
    """The database at `url`, for one participant. Raises ValueError for a URL that is none.

    backup: the tables that the participant has, if the database is a restored backup of it; else
    it has to be empty.
    """

    def __init__(self, url: str, participant: str, backup: Sequence[str] = ()) -> None:
        self._participant, self._backup = participant, list(backup)
        self.reader = engine_for(url)
        self.writer = engine_for(url, pool_size=1)
        event.listen(self.writer, "connect", lambda driver, _: _take_lock(driver))
        self.connections = Connections(self.writer)
        self._reading = Connections(self.reader)

    def close(self) -> None:
        """Close all connections, which releases the lock."""
        self.writer.dispose()
        self.reader.dispose()

    def begin(self, plan: RebuildPlan) -> RebuildPlan:
        """Take the lock, begin or go on; return the plan with what is still to be read.

        Raises RebuildRefused as `check_usable` does, and if another rebuild is running.
        """
        with self.connections.use() as connection, connection.transaction():
            self._claim(connection)
            rows = [*_span_rows(plan, plan.own, own=True)]
            rows += _span_rows(plan, plan.consumed, own=False)
            connection.execute(NOTE_SPANS, rows_of(rows))
            found = connection.execute(SPANS).fetchall()
        return remaining(plan, found)

    @property
    def from_backup(self) -> bool:
        """Tell whether the rows of a backup are there already."""
        return bool(self._backup)

    def check_usable(self) -> None:
        """Raise RebuildRefused unless the database is empty, a backup, or has this rebuild."""
        with self._reading.use() as connection:
            self._is_begun(connection)

    def _claim(self, connection: Connection) -> None:
        if self._is_begun(connection):
            return
        connection.execute(DROP_OLD)
        for statement in CREATE:
            connection.execute(statement)
        named = {"participant": self._participant, "from_backup": self.from_backup}
        connection.execute(NOTE_BEGIN, named)

    def _is_begun(self, connection: Connection) -> bool:
        """Tell whether this rebuild goes on. Raises RebuildRefused."""
        state = connection.execute(STATE).fetchone()
        assert state is not None
        begun, has_tables = state
        if not begun:
            self._check_tables(connection, has_tables)
            return False
        found = connection.execute(FOUND).fetchone()
        assert found is not None
        participant, from_backup, finished_at = found
        if participant != self._participant:
            raise RebuildRefused(
                f"the database is that of a rebuild of {participant}; create a new one"
            )
        if finished_at is not None and self.from_backup:
            return False  # the backup is of a database that was rebuilt once
        if finished_at is not None:
            raise RebuildRefused(
                f"{participant} was rebuilt into this database at {finished_at:%Y-%m-%d %H:%M}; "
                "start the service on it, or create a new one"
            )
        if from_backup != self.from_backup:
            raise RebuildRefused(
                f"the rebuild that goes on here was begun {'with' if from_backup else 'without'} "
                "--from-backup; give the same command"
            )
        return True

    def _check_tables(self, connection: Connection, has_tables: bool) -> None:
        if self.from_backup:
            missing = connection.execute(MISSING, {"names": self._backup}).fetchall()
            if missing:
                raise RebuildRefused(
                    f"the database is no backup of {self._participant}: it has no table "
                    f"{', '.join(row[0] for row in missing)}; restore one, or leave out "
                    "--from-backup for an empty database"
                )
        elif has_tables:
            raise RebuildRefused(
                "the database is not empty; create a new one and name that, nothing is rebuilt "
                "over rows that are there. A restored backup is taken with --from-backup"
            )

    def drop_published(self, connection: Connection, records: Iterable[Record]) -> None:
        """Remove outbox rows of the backup that were published since."""
        rows = [
            {"topic": r.topic, "key": key, "headers": pack_headers(r.headers), "value": r.value}
            for r in records
            if (key := _text(r.key)) is not None
        ]
        connection.execute(DROP_PUBLISHED, rows_of(rows))

    def note_progress(
        self, connection: Connection, positions: Mapping[TopicPartitionKey, int], *, own: bool
    ) -> None:
        """Store how far these partitions are read."""
        rows = [
            {"topic": topic, "partition": partition, "own": own, "next_offset": offset}
            for (topic, partition), offset in positions.items()
        ]
        connection.execute(NOTE_PROGRESS, rows_of(rows))

    def note_events(self, connection: Connection, events: Iterable[tuple[str, OwnEvent]]) -> None:
        """Store own events with the keys of their sagas, for `events_of`."""
        rows = [
            {
                "saga": saga,
                "type": e.type,
                "cause": e.cause,
                "logged_ms": e.logged_ms,
                "content": e.content,
            }
            for saga, e in events
        ]
        connection.execute(NOTE_EVENTS, rows_of(rows))

    def sagas_waiting(self, connection: Connection) -> list[str]:
        """Return some sagas of which own events wait for one before them."""
        return [row[0] for row in connection.execute(WAITING, {"code": WAITS})]

    def events_of(self, sagas: Sequence[str]) -> dict[str, list[OwnEvent]]:
        """Return the own events of these sagas in the log."""
        found: dict[str, list[OwnEvent]] = {saga: [] for saga in sagas}
        with self._reading.use() as connection:
            for saga, *values in connection.execute(EVENTS, {"sagas": list(sagas)}):
                found[saga].append(OwnEvent(*values))
        return found

    def discard_again(self) -> set[str]:
        """Drop parked records that the backup's audit says were discarded; return their sagas.

        The place alone does not tell a record: a recreated topic has another one there.
        """
        with self.connections.use() as connection, connection.transaction():
            return {row[0] for row in connection.execute(DISCARD_AGAIN)}

    def note_lost(self, lost: Mapping[str, str]) -> None:
        """Store sagas that are not recovered, with the reason; the first reason stays.

        In a transaction of its own: a repeat changes nothing.
        """
        if lost:
            rows = [{"saga": saga, "why": why} for saga, why in sorted(lost.items())]
            with self._reading.use() as connection:
                connection.execute(NOTE_LOST, rows_of(rows))

    def lost_among(self, sagas: Sequence[str]) -> set[str]:
        """Return those of these sagas that are not recovered."""
        with self._reading.use() as connection:
            return {row[0] for row in connection.execute(LOST, {"sagas": list(sagas)})}

    def drop_checks(self) -> None:
        """Drop CHECK constraints; `restore_checks` adds them again, also after a restart.

        Partitions are not read in the order of their events, so rows that sagas share may violate
        a constraint in between.
        """
        with self.connections.use() as connection, connection.transaction():
            for table, name in connection.execute(NOTE_CHECKS).fetchall():
                connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())

    def restore_checks(self) -> None:
        """Add the constraints again; one that rows violate checks only what is written later."""
        with self.connections.use() as connection, connection.transaction():
            for table, name, definition in connection.execute(CHECKS).fetchall():
                add = f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
                named = {"table": table, "name": name}
                try:
                    with connection.transaction():
                        connection.execute(add.encode())
                    connection.execute(CHECK_HOLDS, named)
                except psycopg.errors.CheckViolation:
                    connection.execute(f"{add} NOT VALID".encode())
                    connection.execute(CHECK_VIOLATED, named)

    def finish(self) -> None:
        """Note that everything planned is read; from now on the service can start."""
        with self.connections.use() as connection:
            with connection.transaction():
                for statement in FINISH:
                    connection.execute(statement)
            connection.execute(b"ANALYZE")

    def report(self) -> RebuildReport:
        """Return what was made."""
        with self.reader.connect() as connection:
            run = connection.execute
            return RebuildReport(
                int(run(COUNT_SAGAS).scalar_one()),
                _pairs(run(ASKED)),
                _pairs(run(PUBLISHED)),
                _pairs(run(PARKED)),
                int(run(COUNT_LOST).scalar_one()),
                _pairs(run(SOME_LOST, {"most": SHOWN})),
                list(run(VIOLATED).scalars()),
            )


def _text(key: bytes | None) -> str | None:
    """Return the record key as an outbox row may have it; None for one that it cannot have."""
    try:
        text_ = (key or b"").decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text_ else text_


def _pairs(rows: Iterable[Any]) -> dict[str, Any]:
    return {row[0]: row[1] for row in rows}


def _take_lock(driver: Any) -> None:
    driver.execute(f"SET lock_timeout TO '{LOCK_WAIT}'")
    driver.execute("SET synchronous_commit TO off")  # rows and progress are lost together, or kept
    try:
        driver.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    except psycopg.errors.LockNotAvailable as error:
        raise RebuildRefused(
            "another rebuild into this database is running; wait for its end"
        ) from error
    driver.execute("RESET lock_timeout")
    driver.commit()


def _span_rows(plan: RebuildPlan, spans: Spans, *, own: bool) -> list[dict[str, Any]]:
    return [
        {
            "topic": topic,
            "partition": partition,
            "own": own,
            "next_offset": span.start,
            "topic_id": plan.topic_ids.get(topic),
            "since_ms": plan.since_ms.get(partition) if own else None,
        }
        for (topic, partition), span in spans.items()
    ]


def remaining(plan: RebuildPlan, found: Sequence[tuple[Any, ...]]) -> RebuildPlan:
    """Return the plan from where the stored progress ends. Raises RebuildRefused. Pure."""
    spans: dict[bool, dict[TopicPartitionKey, OffsetSpan]] = {True: {}, False: {}}
    since_ms = {}
    for topic, partition, own, offset, topic_id, since in found:
        if plan.topic_ids.get(topic, topic_id) != topic_id:
            raise RebuildRefused(
                f"{topic} was recreated since the rebuild began; begin again in a new database"
            )
        planned = (plan.own if own else plan.consumed).get((topic, partition))
        if planned is not None:
            spans[own][topic, partition] = OffsetSpan(offset, max(planned.end, offset))
        if since is not None:
            since_ms[partition] = since
    return RebuildPlan(spans[True], spans[False], plan.topic_ids, plan.cut, since_ms)
