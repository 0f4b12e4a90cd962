"""Implements the store in PostgreSQL with set-based SQL, a few statements per batch."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

import orjson
import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, exc, text

from sagakit.decider import Effect, Trigger
from sagakit.messages.envelope import EffectRow, Lease, OutboxRow, ParkedRow, Record, Trace
from sagakit.store.json_rows import KEYS, as_json, recordset, rows_of
from sagakit.store.ports import PAUSED, Changes, Clock, InboxRow, Store, Working
from sagakit.store.schema import effects, inbox, outbox

S = TypeVar("S")
FRESH_S = 1.0
"""A connection returned to the pool less than this many seconds ago is not pinged."""
_INBOX = ("key", "flow", "seen", "ids", "sent", "in_flight", "marks", "parked", "gap")
_OUTBOX = ("topic", "key", "headers", "value")
_EFFECT = ("id", "saga", "key", "kind", "payload", "trace", "due_at", "token", "lease_until")
_LEASE = ("id", "token")
_PARKED = (
    "key",
    "code",
    "error",
    "source",
    "seq",
    "topic",
    "partition",
    "offset",
    "timestamp_ms",
    "record_key",
    "value",
    "headers",
)

# One statement, because a second round trip costs more than the query. It returns the rows it has
# inserted and those in its snapshot, not rows that others have inserted since.
LOCK_INBOX = text(f"""
    WITH made AS (
        INSERT INTO inbox (key) SELECT json_array_elements_text(CAST(:keys AS json))
        ON CONFLICT (key) DO NOTHING RETURNING {", ".join(_INBOX)}
    )
    SELECT * FROM made UNION ALL SELECT * FROM (
        SELECT {", ".join(_INBOX)} FROM inbox WHERE key = ANY({KEYS}) ORDER BY key FOR UPDATE
    ) AS known
""")
IN_FLIGHT = text("SELECT in_flight FROM inbox WHERE key = :key")
# An upsert although the rows exist and are locked: an UPDATE with a join may scan the whole table,
# because the planner estimates 100 rows for any JSON recordset.
_SAVE_INBOX = (
    f"INSERT INTO inbox ({', '.join(_INBOX)}) "
    f"SELECT * FROM {recordset(inbox, _INBOX, 'inbox_rows')} "
    f"ON CONFLICT (key) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _INBOX[1:])}"
)
_ADD_OUTBOX = (
    f"INSERT INTO outbox ({', '.join(_OUTBOX)}) "
    f"SELECT * FROM {recordset(outbox, _OUTBOX, 'outbox')}"
)
_ADD_EFFECTS = (
    f"INSERT INTO effects ({', '.join(_EFFECT)}) "
    f"SELECT * FROM {recordset(effects, _EFFECT, 'effects')} ON CONFLICT (saga, key) DO NOTHING"
)
SAVE_INBOX, ADD_OUTBOX = text(_SAVE_INBOX), text(_ADD_OUTBOX)
SAVE_ALL = text(f"WITH said AS ({_ADD_OUTBOX}), wanted AS ({_ADD_EFFECTS}) {_SAVE_INBOX}")
FINISH_EFFECTS = text(
    f"DELETE FROM effects USING {recordset(effects, _LEASE)} "
    "WHERE effects.id = n.id AND effects.token = n.token RETURNING effects.id"
)
CLAIM_EFFECTS = text("""
    UPDATE effects SET token = :token, lease_until = :until
    WHERE id IN (
        SELECT id FROM effects WHERE due_at <= :now AND lease_until <= :now
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING id, saga, kind, key, payload, trace, attempts
""")
EXTEND_LEASES = text(
    "UPDATE effects SET lease_until = :until "
    f"FROM {recordset(effects, _LEASE)} "
    "WHERE effects.id = n.id AND effects.token = n.token"
)
RETRY_EFFECT = text(
    "UPDATE effects SET attempts = attempts + 1, last_error = :error, due_at = :due_at, "
    "token = NULL, lease_until = :due_at WHERE id = :id AND token = :token"
)
ADD_PARKED = text(
    f'INSERT INTO parked ({", ".join(_PARKED[:6])}, partition, "offset", {", ".join(_PARKED[8:])}) '
    f"VALUES ({', '.join(':' + c for c in _PARKED)}) "
    'ON CONFLICT (topic, partition, "offset") DO UPDATE SET key = excluded.key, '
    "code = excluded.code, error = excluded.error "
    "WHERE excluded.code <> 'queued' OR excluded.key <> parked.key"
)
PARKED_FOR = text(
    f'SELECT id, {", ".join(_PARKED[:6])}, partition, "offset", {", ".join(_PARKED[8:])} '
    "FROM parked WHERE code = ANY(:codes) AND id <> ALL(:but) ORDER BY id LIMIT :limit"
)
DROP_PARKED = text("DELETE FROM parked WHERE id = ANY(:ids)")
COUNT_PARKED = text(
    "UPDATE inbox SET parked = "
    f"(SELECT count(*) FROM parked p WHERE p.key = inbox.key AND p.code <> '{PAUSED}') "
    "WHERE key = ANY(:keys)"
)
QUEUE_OF = text(
    f'SELECT id, {", ".join(_PARKED[:6])}, partition, "offset", {", ".join(_PARKED[8:])} '
    "FROM parked WHERE key = :key ORDER BY id LIMIT :limit"
)


def engine_for(url: str, pool_size: int = 10) -> Engine:
    """Return an engine for a `postgresql://` URL, through psycopg 3. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    if not scheme.startswith("postgres"):
        raise ValueError(
            f"{url!r} is no PostgreSQL URL; write postgresql://user@host:port/database"
        )
    engine = create_engine(
        f"postgresql+psycopg://{rest}",
        pool_size=pool_size,
        max_overflow=10,
        json_deserializer=orjson.loads,
    )
    _ping_idle(engine)
    return engine


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


def pack_headers(headers: Sequence[tuple[str, bytes]]) -> str:
    """Return headers as JSON text; latin-1 keeps every byte."""
    return orjson.dumps([(k, v.decode("latin-1")) for k, v in headers]).decode()


def unpack_headers(packed: str) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that `pack_headers` packed."""
    return tuple((k, v.encode("latin-1")) for k, v in orjson.loads(packed))


OUTBOX_SAGA = (
    r"""coalesce(substring(headers from '\["flow","([A-Za-z0-9_.-]{1,100})["/]'), '')"""
    " || '/' || key"
)
"""SQL of the saga key of an outbox row. Its flow is in the packed headers."""


def add_outbox(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Insert rows to publish; the caller holds the lock of their keys."""
    if rows:
        connection.execute(ADD_OUTBOX, {"outbox": as_json(_outbox_rows(rows))})


class PostgresTransaction(Generic[S]):
    """Implements `ports.Transaction`."""

    def __init__(self, connection: Connection, store: Store[S], now: datetime) -> None:
        self._connection, self._store, self._now = connection, store, now

    def lock(self, keys: Sequence[str]) -> dict[str, InboxRow]:
        """See `ports.Transaction`.

        Inserts come first and sorted: two batches with the same new sagas wait for each other
        instead of deadlocking.
        """
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
        return set(self._connection.execute(FINISH_EFFECTS, _pairs(leases)).scalars())

    def load(self, wanted: Mapping[str, Sequence[Trigger]]) -> Working[S]:
        """See `ports.Transaction`."""
        return self._store.load(self._connection, wanted)

    def parked(self, key: str, limit: int) -> list[ParkedRow]:
        """See `ports.Transaction`."""
        rows = self._connection.execute(QUEUE_OF, {"key": key, "limit": limit})
        return [_parked_row(row._mapping) for row in rows]

    def write(self, changes: Changes, working: Working[S]) -> None:
        """See `ports.Transaction`."""
        working.save(self._connection)
        self._save(changes)
        if changes.park:
            self._connection.execute(ADD_PARKED, [_parked_parameters(p) for p in changes.park])
        if changes.unpark:
            self._connection.execute(DROP_PARKED, {"ids": changes.unpark})
        if changes.park or changes.unpark:
            self._connection.execute(COUNT_PARKED, {"keys": [a.key for a in changes.inbox_rows]})

    def _save(self, changes: Changes) -> None:
        """Write inbox, outbox and effects in one statement."""
        rows = {"inbox_rows": as_json(changes.inbox_rows)}
        if changes.outbox or changes.effects:
            rows["outbox"] = as_json(_outbox_rows(changes.outbox))
            rows["effects"] = as_json([self._effect_row(row) for row in changes.effects])
        self._connection.execute(SAVE_ALL if len(rows) > 1 else SAVE_INBOX, rows)

    def _effect_row(self, row: EffectRow) -> dict[str, Any]:
        return {
            "id": row.id,
            "saga": row.saga,
            "key": row.effect.key,
            "kind": row.effect.kind,
            "payload": row.effect.payload,
            "trace": _packed(row.trace),
            "due_at": self._now,
            "token": row.lease.token if row.lease else None,
            "lease_until": row.lease_until or self._now,
        }


class PostgresDatabase(Generic[S]):
    """Implements `ports.Database` and `ports.EffectQueue`."""

    def __init__(self, engine: Engine, store: Store[S], clock: Clock) -> None:
        self.engine, self._store, self._clock = engine, store, clock

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction[S]]:
        """See `ports.Database`."""
        with self.engine.begin() as connection:
            yield PostgresTransaction(connection, self._store, self._clock())

    def claim(self, limit: int, lease_for: timedelta, now: datetime) -> list[EffectRow]:
        """See `ports.EffectQueue`."""
        token = uuid4()
        parameters = {"token": token, "until": now + lease_for, "now": now, "limit": limit}
        with self.engine.begin() as connection:
            rows = connection.execute(CLAIM_EFFECTS, parameters).all()
        return [
            EffectRow(
                r.id,
                Effect(r.kind, r.key, r.payload, r.saga),
                Trace(*r.trace),
                r.attempts,
                Lease(r.id, token),
            )
            for r in rows
        ]

    def extend(self, leases: Sequence[Lease], until: datetime) -> None:
        """See `ports.EffectQueue`."""
        with self.engine.begin() as connection:
            connection.execute(EXTEND_LEASES, {**_pairs(leases), "until": until})

    def retry(self, lease: Lease, error: str, due_at: datetime) -> None:
        """See `ports.EffectQueue`."""
        parameters = {
            "id": lease.effect_id,
            "token": lease.token,
            "error": error.replace("\0", "")[:2000],
            "due_at": due_at,
        }
        with self.engine.begin() as connection:
            connection.execute(RETRY_EFFECT, parameters)


def _outbox_rows(rows: Sequence[OutboxRow]) -> list[dict[str, Any]]:
    return [
        {"topic": r.topic, "key": r.key, "headers": pack_headers(r.headers), "value": r.value}
        for r in rows
    ]


def _pairs(leases: Sequence[Lease]) -> dict[str, str]:
    return rows_of([{"id": x.effect_id, "token": x.token} for x in leases])


def _packed(trace: Trace) -> list[str | None]:
    return [trace.flow, trace.correlation, trace.traceparent, trace.cause]


def _parked_parameters(row: ParkedRow) -> dict[str, Any]:
    record = row.record
    return {
        "key": row.key,
        "code": row.code,
        "error": row.error.replace("\0", "")[:2000],
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
    connection: Connection, codes: Sequence[str], but: Sequence[int], limit: int
) -> list[ParkedRow]:
    """Return records parked under one of `codes`, oldest first, except rows with ids in `but`."""
    asked = {"codes": list(codes), "but": list(but), "limit": limit}
    return [_parked_row(row._mapping) for row in connection.execute(PARKED_FOR, asked)]


def _parked_row(row: Any) -> ParkedRow:
    record = Record(
        row["topic"],
        row["partition"],
        row["offset"],
        row["timestamp_ms"],
        row["record_key"],
        row["value"],
        unpack_headers(row["headers"]),
    )
    return ParkedRow(
        row["key"], row["code"], row["error"], record, row["source"], row["seq"], row["id"]
    )
