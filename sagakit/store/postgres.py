"""Implements the store in PostgreSQL: one statement reads a batch, one statement writes it."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

import orjson
import psycopg
from sqlalchemy import Connection as CoreConnection
from sqlalchemy import Engine, create_engine, event, exc, make_url, text

from sagakit.decider import Effect, Trigger
from sagakit.errors import StaleState, UnreadableState
from sagakit.failures import Failure, failure_of
from sagakit.foreign_text import bounded
from sagakit.messages.envelope import EffectRow, Lease, OutboxRow, ParkedRow, Record, Trace
from sagakit.store.commit_queue import Commit, CommitQueue
from sagakit.store.connections import Connection, Connections, sql_text
from sagakit.store.effects import check_repeats
from sagakit.store.error_texts import hide_data_in_errors
from sagakit.store.json_rows import as_json, driver_sql, recordset
from sagakit.store.packed_headers import kept_headers, pack_headers
from sagakit.store.ports import (
    DIED,
    SUSPECT_AFTER,
    Changes,
    Clock,
    InboxRow,
    Store,
    Working,
)
from sagakit.store.saga_cache import SagaCache
from sagakit.store.schema import outbox
from sagakit.store.state_table import TableStore, TableWorking
from sagakit.urls import redacted

S = TypeVar("S")
CONNECT_S = 10
"""How long a new connection may take, in seconds, unless the URL says otherwise."""
FRESH_S = 1.0
"""A connection returned to the pool less than this many seconds ago is not pinged."""
MAX_ERROR_CHARS = 2000
_INBOX_COLUMNS = 12
_OUTBOX = ("topic", "key", "headers", "value")


def _statement(name: str, **parts: str) -> bytes:
    """Return the statement in `sql/<name>.sql`."""
    return driver_sql(sql_text(name, **parts))


LOCK_INBOX = _statement("lock_inbox")
FINISH_EFFECTS = _statement("finish_effects")
PENDING_EFFECTS = _statement("pending_effects")
CLAIM_EFFECTS = _statement("claim_effects")
EXTEND_LEASES = _statement("extend_leases")
RETRY_EFFECT = _statement("retry_effect")
QUEUE_OF = _statement("queue_of")
ADD_PARKED = _statement("add_parked")
COUNT_PARKED = _statement("count_parked")
WRITE_SAGAS = _statement("write_sagas", states="")
DROP_PARKED = driver_sql("DELETE FROM parked WHERE id = ANY(:ids)")
IN_FLIGHT = driver_sql("SELECT key, in_flight FROM inbox WHERE key = ANY(:keys)")
ADD_OUTBOX = text(
    f"INSERT INTO outbox ({', '.join(_OUTBOX)}) "
    f"SELECT * FROM {recordset(outbox, _OUTBOX, 'outbox')}"
)
PARKED_FOR = text(
    'SELECT key, code, error, source, seq, topic, partition, "offset", timestamp_ms, record_key, '
    "value, headers, id FROM parked WHERE code = ANY(:codes) AND id <> ALL(:but) "
    "ORDER BY id LIMIT :limit"
)


def engine_for(url: str, pool_size: int = 10) -> Engine:
    """Return an engine for a `postgresql://` URL, through psycopg 3. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    if not scheme.startswith("postgres"):
        raise ValueError(
            f"{redacted(url)!r} is no PostgreSQL URL; write postgresql://user@host:port/database"
        )
    address = make_url(f"postgresql+psycopg://{rest}")
    engine = create_engine(
        address,
        connect_args={} if "connect_timeout" in address.query else {"connect_timeout": CONNECT_S},
        pool_size=pool_size,
        max_overflow=10,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # texts of errors are logged and kept; a secret may be among them
    )
    hide_data_in_errors(engine)
    _ping_idle(engine)
    event.listen(engine, "handle_error", _drop_if_lost)
    return engine


def _drop_if_lost(context: Any) -> None:
    """Drop the pooled connections with this one if they lead to a server that cannot help.

    A primary that has become a standby answers every write with an error, on each of them.
    """
    if failure_of(context.original_exception) is Failure.LOST:
        context.is_disconnect = True


def _ping_idle(engine: Engine) -> None:
    """Ping a pooled connection before use if it was idle for `FRESH_S` or longer.

    `pool_pre_ping` would ping every time: in a busy process one round trip in ten.
    """

    def given_back(_: Any, kept: Any) -> None:
        kept.info["at"] = time.monotonic()

    def taken(driver: Any, kept: Any, _: Any) -> None:
        if time.monotonic() - kept.info.get("at", math.inf) < FRESH_S:
            return
        try:
            engine.dialect.do_ping(driver)
        except psycopg.Error as error:
            raise exc.DisconnectionError(f"the connection is gone: {error}") from error

    event.listen(engine, "checkin", given_back)
    event.listen(engine, "checkout", taken)


def add_outbox(connection: CoreConnection, rows: Sequence[OutboxRow]) -> None:
    """Insert rows to publish; the caller holds the lock of their keys, and wakes the relay."""
    if rows:
        connection.execute(ADD_OUTBOX, {"outbox": as_json(_outbox_rows(rows))})


class _Statements(Generic[S]):
    """Holds the statements that read and write the table of a `TableStore` with the inbox."""

    def __init__(self, store: TableStore[S]) -> None:
        names = ("saga", *store.columns)
        parts = {
            "state_table": store.table.name,
            "state_columns": ", ".join(names),
            "read_columns": ", ".join(f"s.{name}" for name in names),
            "state_rows": recordset(store.table, names, "states"),
            "updates": ", ".join(f"{name} = excluded.{name}" for name in store.columns),
        }
        self.read = _statement("read_sagas", **parts)
        self.write = _statement("write_sagas", states=sql_text("write_states", **parts))


class PostgresTransaction(Generic[S]):
    """Implements `ports.Transaction` under row locks, between BEGIN and COMMIT."""

    def __init__(self, connection: Connection, database: "PostgresDatabase[S]") -> None:
        self._connection, self._database = connection, database
        self._cache, self._statements = database.cache, database.statements
        self._leases: Sequence[Lease] = ()
        self._commit: Commit | None = None
        self._rows: Sequence[OutboxRow] = ()
        self._kept: Sequence[tuple[InboxRow, S]] = ()

    def lock(self, keys: Sequence[str]) -> dict[str, InboxRow]:
        """See `ports.Transaction`.

        Inserts come first and sorted: two batches with the same new sagas wait for each other
        instead of deadlocking.
        """
        self._cache.take(keys)
        found: dict[str, InboxRow] = {}
        # Repeats only if another transaction has inserted one of the inbox rows meanwhile.
        while missing := sorted(set(keys) - found.keys()):
            rows = self._connection.execute(LOCK_INBOX, {"keys": as_json(missing)})
            found |= {row[0]: InboxRow(*row) for row in rows}
        return found

    def finish(self, leases: Sequence[Lease]) -> set[UUID]:
        """See `ports.Transaction`."""
        if not leases:
            return set()
        return {row[0] for row in self._connection.execute(FINISH_EFFECTS, _pairs(leases))}

    def load(self, wanted: Mapping[str, Sequence[Trigger]]) -> Working[S]:
        """See `ports.Transaction`."""
        return self._database.store.load(self._connection, wanted)

    def parked(self, key: str, limit: int) -> list[ParkedRow]:
        """See `ports.Transaction`."""
        rows = self._connection.execute(QUEUE_OF, {"key": key, "limit": limit})
        return [_parked_row(row) for row in rows]

    def write(self, changes: Changes, working: Working[S]) -> Sequence[EffectRow]:
        """See `ports.Transaction`."""
        self._commit = self._database.commits.announce(changes)
        added = self._write(changes, working, least_added=0)
        if len(added) < len(changes.effects):
            self._check_repeats([row for row in changes.effects if row.id not in added])
        if changes.park:
            rows = [_parked_values(row) for row in changes.park]
            self._connection.execute(ADD_PARKED, {"parked": as_json(rows)})
        if changes.unpark:
            self._connection.execute(DROP_PARKED, {"ids": changes.unpark})
        if changes.park or changes.unpark:
            keys = [row.key for row in changes.inbox_rows]
            self._connection.execute(COUNT_PARKED, {"keys": keys})
        else:
            self._keep(changes, working)
        return [row for row in changes.effects if row.id in added]

    def _keep(self, changes: Changes, working: Working[S]) -> None:
        """Note the sagas as they are once this is committed, for the cache.

        The state of a saga that only advanced a sequence was not loaded under lock.
        """
        if isinstance(working, TableWorking):
            rows = {row.key: row for row in changes.inbox_rows}
            self._kept = [(rows[key], state) for key, state in working.loaded(rows).items()]

    def _write(self, changes: Changes, working: Working[S], least_added: int) -> set[UUID]:
        """Write inbox rows, states, outbox and effects, and finish effects, in one statement.

        Return the ids of the effects that are new. With fewer than `least_added` it fails.
        """
        statement, states = WRITE_SAGAS, ""
        if self._statements is None or not isinstance(working, TableWorking):
            working.save(self._connection)
        elif changed := working.rows():
            statement, states = self._statements.write, as_json(changed)
        rows = sorted(changes.inbox_rows, key=lambda row: row.key)
        parameters = {
            "inbox_rows": as_json(rows),
            "sagas": len(rows),
            **_pairs(self._leases),
            "finished": len(self._leases),
            "states": states,
            "outbox": as_json(_outbox_rows(changes.outbox)),
            "effects": as_json([self._effect_row(row) for row in changes.effects]),
            "least_added": least_added,
        }
        found = self._connection.execute(statement, parameters).fetchone()
        assert found is not None
        for row in rows:
            row.version += 1
        _, numbers, added = found
        self._rows = [
            replace(row, id=number) for row, number in zip(changes.outbox, numbers, strict=True)
        ]
        return set(added)

    def _check_repeats(self, repeats: Sequence[EffectRow]) -> None:
        sagas = {"keys": as_json(sorted({row.saga for row in repeats}))}
        found = self._connection.execute(PENDING_EFFECTS, sagas)
        check_repeats(repeats, [Effect(*row) for row in found])

    def _effect_row(self, row: EffectRow) -> dict[str, Any]:
        now = self._database.clock()
        return {
            "id": row.id,
            "saga": row.saga,
            "key": row.effect.key,
            "kind": row.effect.kind,
            "payload": row.effect.payload,
            "trace": _packed(row.trace),
            "due_at": now,
            "token": row.lease.token if row.lease else None,
            "lease_until": row.lease_until or now,
        }

    def commit(self) -> None:
        """Commit what was written."""
        self._connection.execute("COMMIT")

    def committed(self) -> None:
        """Hand the rows to the relay, and keep the sagas for the next batch."""
        self._cache.keep(self._kept)
        if self._commit:
            self._database.commits.settle(self._commit, self._rows)

    def failed(self) -> None:
        """Note that nothing was committed, or that nobody knows."""
        if self._commit and self._connection.closed:
            self._database.commits.lose(self._commit)
        elif self._commit:
            self._database.commits.settle(self._commit, ())


class OptimisticTransaction(PostgresTransaction[S]):
    """Implements `ports.Transaction` without locks: it reads at most once, and writes once.

    Raises StaleState if a saga has been written since it was read, if an effect is not leased any
    more, or for what takes more than one statement.
    """

    def __init__(
        self, connection: Connection, database: "PostgresDatabase[S]", store: TableStore[S]
    ) -> None:
        super().__init__(connection, database)
        self._store = store
        self._states: dict[str, S] = {}
        self._changes: tuple[Changes, Working[S]] | None = None

    def lock(self, keys: Sequence[str]) -> dict[str, InboxRow]:
        """Return the inbox rows as they are in the cache or committed now. It locks nothing."""
        cached = self._cache.take(keys)
        self._states = {key: state for key, (_, state) in cached.items()}
        found = {key: row for key, (row, _) in cached.items()}
        if missing := [key for key in keys if key not in found]:
            assert self._statements is not None
            asked = {"keys": as_json(missing)}
            for row in self._connection.execute(self._statements.read, asked):
                key, inbox, state = row[0], row[:_INBOX_COLUMNS], row[_INBOX_COLUMNS:]
                found[key] = InboxRow(key) if inbox[-1] is None else InboxRow(*inbox)
                known = state[0] is not None
                self._states[key] = self._read(key, state[1:]) if known else self._store.initial
        return found

    def _read(self, key: str, row: Sequence[Any]) -> S:
        try:
            return self._store.read(key, row)
        except UnreadableState as reason:
            raise StaleState(str(reason)) from reason  # its records are parked, under lock

    def finish(self, leases: Sequence[Lease]) -> set[UUID]:
        """Return all of them: `commit` checks that they are still held."""
        self._leases = leases
        return {lease.effect_id for lease in leases}

    def load(self, wanted: Mapping[str, Sequence[Trigger]]) -> Working[S]:
        """Return the states read by `lock`."""
        return TableWorking(self._store, self._states)

    def parked(self, key: str, limit: int) -> list[ParkedRow]:
        """Raise StaleState: a queue of parked records is read under lock."""
        raise StaleState(f"the queue of {key!r} is read under lock")

    def write(self, changes: Changes, working: Working[S]) -> Sequence[EffectRow]:
        """Note what `commit` writes: it succeeds only if all effects are new."""
        if changes.park or changes.unpark:
            raise StaleState("parking takes more than one statement")
        self._changes = changes, working
        return changes.effects

    def commit(self) -> None:
        """Write and commit, in one statement."""
        if self._changes is None:
            return
        changes, working = self._changes
        self._commit = self._database.commits.announce(changes)
        try:
            self._write(changes, working, least_added=len(changes.effects))
        except psycopg.errors.DivisionByZero as error:
            raise StaleState("a saga, a lease or an effect of the batch has changed") from error
        self._keep(changes, working)


class PostgresDatabase(Generic[S]):
    """Implements `ports.Database` and `ports.EffectQueue`.

    `commits`: gets the outbox rows of each commit, for the relay of this process.
    """

    def __init__(
        self, engine: Engine, store: Store[S], clock: Clock, commits: CommitQueue | None = None
    ) -> None:
        self.engine, self.store, self.clock = engine, store, clock
        self.commits = commits or CommitQueue()
        self.cache: SagaCache[S] = SagaCache()
        self.connections = Connections(engine)
        self.statements = _Statements(store) if isinstance(store, TableStore) else None

    @contextmanager
    def transaction(self, *, optimistic: bool = False) -> Iterator[PostgresTransaction[S]]:
        """See `ports.Database`."""
        with self.connections.use() as connection:
            tx: PostgresTransaction[S]
            if optimistic and isinstance(self.store, TableStore):
                tx = OptimisticTransaction(connection, self, self.store)
            else:
                tx = PostgresTransaction(connection, self)
                connection.execute("BEGIN")
            try:
                yield tx
                tx.commit()
            except BaseException:
                tx.failed()
                raise
            tx.committed()

    def claim(
        self, limit: int, lease_for: timedelta, now: datetime, suspect: bool = True
    ) -> list[EffectRow]:
        """See `ports.EffectQueue`."""
        token = uuid4()
        asked = {
            "token": token,
            "until": now + lease_for,
            "now": now,
            "limit": limit,
            "died": DIED,
            "suspect_after": SUSPECT_AFTER,
            "suspects": int(suspect),
        }
        with self.connections.use() as connection:
            rows = connection.execute(CLAIM_EFFECTS, asked).fetchall()
        return [
            EffectRow(
                number,
                Effect(*effect),
                Trace(*trace),
                attempts,
                Lease(number, token),
                deaths=deaths,
                created_at=created_at,
            )
            for number, *effect, trace, attempts, deaths, created_at in rows
        ]

    def extend(self, leases: Sequence[Lease], until: datetime) -> None:
        """See `ports.EffectQueue`."""
        with self.connections.use() as connection:
            connection.execute(EXTEND_LEASES, {**_pairs(leases), "until": until})

    def retry(self, lease: Lease, error: str, due_at: datetime, deaths: int = 0) -> None:
        """See `ports.EffectQueue`."""
        parameters = {
            "id": lease.effect_id,
            "token": lease.token,
            "error": bounded(error, MAX_ERROR_CHARS),
            "due_at": due_at,
            "deaths": deaths,
        }
        with self.connections.use() as connection:
            connection.execute(RETRY_EFFECT, parameters)


def _outbox_rows(rows: Sequence[OutboxRow]) -> list[dict[str, Any]]:
    return [
        {"topic": r.topic, "key": r.key, "headers": pack_headers(r.headers), "value": r.value}
        for r in rows
    ]


def _pairs(leases: Sequence[Lease]) -> dict[str, str]:
    return {"leases": as_json([{"id": x.effect_id, "token": x.token} for x in leases])}


def _packed(trace: Trace) -> list[str | None]:
    return [trace.flow, trace.correlation, trace.traceparent, trace.cause]


def _parked_values(row: ParkedRow) -> dict[str, Any]:
    record = row.record
    return {
        "key": row.key,
        "code": row.code,
        "error": bounded(row.error, MAX_ERROR_CHARS),
        "source": row.source.replace("\0", ""),
        "seq": row.seq,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "record_key": record.key,
        "value": record.value,
        "headers": pack_headers(record.headers),
    }


def parked_for(
    connection: CoreConnection, codes: Sequence[str], but: Sequence[int], limit: int
) -> list[ParkedRow]:
    """Return records parked under one of `codes`, oldest first, except rows with ids in `but`."""
    asked = {"codes": list(codes), "but": list(but), "limit": limit}
    return [_parked_row(row) for row in connection.execute(PARKED_FOR, asked)]


def _parked_row(row: Sequence[Any]) -> ParkedRow:
    key, code, error, source, seq, topic, partition, offset, at_ms, *content, number = row
    record_key, value, headers = content
    record = Record(topic, partition, offset, at_ms, record_key, value, kept_headers(headers))
    return ParkedRow(key, code, error, record, source, seq, number)
