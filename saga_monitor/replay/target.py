"""A shadow: the projection's tables in a PostgreSQL schema of their own, beside the live ones.

The projection that writes into it has a connection whose `search_path` is the shadow alone, so no
statement of it can touch a live table. How far each partition is read is stored by the projection
itself, in the transaction of the rows; what is to be read is stored when the shadow is made. So a
replay that was killed goes on where its last transaction ended, to the end planned at first.

Each connection that writes one partition number takes its advisory lock first. The lock ends with
the connection, so nobody writes who has lost it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, event, exc, text
from sqlalchemy.schema import CreateIndex, CreateTable

from saga_monitor.replay.source import ReplayPlan
from saga_monitor.storage.tables import PROJECTED
from sagakit.errors import SagaError
from sagakit.kafka.log_spans import OffsetSpan
from sagakit.messages.envelope import TopicPartitionKey
from sagakit.store.json_rows import rows_of
from sagakit.store.postgres import engine_for

PREFIX = "shadow_"
LIVE = "live"
"""The name of the live projection where a shadow's name could stand."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
LOCKS = 0x5A6A
"""Class of the advisory locks of replays."""
LOCK_WAIT = "30s"
"""How long a worker waits for one of a killed replay, which ends with its next transaction."""
CREATE_REPLAY = text("""
    CREATE TABLE replay (
        one smallint PRIMARY KEY DEFAULT 1 CHECK (one = 1),
        request jsonb NOT NULL, began_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz, former_live boolean NOT NULL DEFAULT false)
""")
CREATE_SPANS = text("""
    CREATE TABLE replay_span (
        topic text, "partition" integer, first bigint NOT NULL, last bigint NOT NULL,
        topic_id text, PRIMARY KEY (topic, "partition"))
""")
NOTE_REQUEST = text("INSERT INTO replay (request) VALUES (CAST(:request AS jsonb))")
_SPAN_ROWS = (
    "json_to_recordset(CAST(:rows AS json)) AS n "
    '(topic text, "partition" integer, first bigint, last bigint, topic_id text)'
)
NOTE_SPANS = text(f"INSERT INTO replay_span SELECT * FROM {_SPAN_ROWS}")
NOTE_STARTS = text(f"""
    INSERT INTO stream_offset (topic, "partition", "offset", topic_id)
    SELECT topic, "partition", first, topic_id FROM {_SPAN_ROWS}
""")
_FIND = 'SELECT request, began_at, finished_at, former_live FROM "{schema}".replay'
SPANS = text('SELECT topic, "partition", first, last, topic_id FROM replay_span')
REMAINING = text("""
    SELECT s.topic, s."partition", o."offset", s.last FROM replay_span s
    JOIN stream_offset o ON (o.topic, o."partition") = (s.topic, s."partition")
    WHERE o."offset" < s.last ORDER BY s."partition", s.topic
""")
EXTEND = text(f"""
    UPDATE replay_span AS s SET last = greatest(s.last, n.last) FROM {_SPAN_ROWS}
    WHERE (s.topic, s."partition") = (n.topic, n."partition")
""")
FINISH = text("UPDATE replay SET finished_at = now() WHERE finished_at IS NULL")
EXISTS = text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema)")
ALL = text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'shadow\\_%' ORDER BY 1")
LOCK = "SELECT pg_try_advisory_lock(%s, hashtext(%s))"
WAIT_FOR_LOCK = "SELECT pg_advisory_lock(%s, hashtext(%s))"


class ShadowRefused(SagaError):
    """A shadow cannot be used for this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ShadowState:
    """Holds what a shadow says of itself. request: of the replay, see `workers.ReplayRequest`."""

    request: Mapping[str, Any]
    began_at: datetime
    finished_at: datetime | None
    former_live: bool


class Shadow:
    """A shadow by its name, in the database at `url`. It need not exist. Raises ShadowRefused."""

    def __init__(self, url: str, name: str) -> None:
        if not NAME.fullmatch(name) or name == LIVE:
            raise ShadowRefused(
                f"{name[:60]!r} is no name of a shadow; use a to z, 0 to 9 and _, first a to z, "
                f"at most 40 of them, and not {LIVE}"
            )
        self.url, self.name, self.schema = url, name, f"{PREFIX}{name}"

    def engine(self, unit: int | None = None) -> Engine:
        """Return an engine whose statements see the tables of the shadow and no others.

        unit: the partition number that its one connection writes, and is to be alone in writing.
        """
        engine = engine_for(self.url, pool_size=1)
        event.listen(engine, "connect", lambda driver, _: self._enter(driver, unit))
        return engine

    def _enter(self, driver: psycopg.Connection[Any], unit: int | None) -> None:
        path = sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema))
        driver.execute(path)
        if unit is not None:
            # an answer before the flush to disk: rows and progress are lost together, or kept
            driver.execute("SET synchronous_commit TO off")
            driver.execute(f"SET lock_timeout TO '{LOCK_WAIT}'")
            try:
                driver.execute(WAIT_FOR_LOCK, (LOCKS, f"{self.schema}/{unit}"))
            except psycopg.errors.LockNotAvailable as error:
                raise ShadowRefused(
                    f"another replay writes partition {unit} of shadow {self.name}"
                ) from error
            driver.execute("RESET lock_timeout")
        driver.commit()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other replay out of this shadow. Raises ShadowRefused if one is running."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(LOCK, (LOCKS, self.schema)).fetchone()
            if row != (True,):
                raise ShadowRefused(
                    f"another replay into shadow {self.name} is running; wait for its end, or "
                    "choose another name"
                )
            yield

    def state(self) -> ShadowState | None:
        """Return what the shadow says of itself, None if there is none."""
        with self._connected() as connection:
            return self.state_on(connection)

    def state_on(self, connection: Connection) -> ShadowState | None:
        """Return the same, by a connection to the database. Raises ShadowRefused."""
        if not connection.execute(EXISTS, {"schema": self.schema}).scalar_one():
            return None
        try:
            return ShadowState(*connection.execute(text(_FIND.format(schema=self.schema))).one())
        except exc.SQLAlchemyError as error:
            raise ShadowRefused(
                f"the schema {self.schema} is no shadow; choose another name"
            ) from error

    def begin(self, request: Mapping[str, Any], plan: ReplayPlan, *, restart: bool = False) -> None:
        """Make the shadow for this request, or go on with the replay of the same request.

        restart: make it again, whatever it holds. Raises ShadowRefused if it was made by another
        request, is the former live projection, or a topic was recreated meanwhile.
        """
        if restart:
            self.drop()
        with self._connected() as connection:
            found = self.state_on(connection)
            if found is None:
                self._make(connection, request, plan)
                return
            spans = connection.execute(SPANS).all()
        if found.former_live:
            raise ShadowRefused(
                f"shadow {self.name} is the former live projection; choose another name"
            )
        if found.request != request:
            raise ShadowRefused(
                f"shadow {self.name} was made by another replay ({_describe(found.request)}); "
                "choose another name, or make it again with --restart"
            )
        for topic, _, _, _, topic_id in spans:
            if plan.topic_ids.get(topic, topic_id) != topic_id:
                raise ShadowRefused(
                    f"{topic} was recreated since shadow {self.name} was begun; make it again with "
                    "--restart"
                )

    def _make(self, connection: Connection, request: Mapping[str, Any], plan: ReplayPlan) -> None:
        """Create schema, tables and plan; indexes that only readers need come at the end."""
        connection.execute(text(f'CREATE SCHEMA "{self.schema}"'))
        for table in PROJECTED:
            connection.execute(CreateTable(table))
        connection.execute(CREATE_REPLAY)
        connection.execute(CREATE_SPANS)
        connection.execute(NOTE_REQUEST, {"request": orjson.dumps(request).decode()})
        rows = rows_of(
            [
                {
                    "topic": topic,
                    "partition": partition,
                    "first": span.start,
                    "last": span.end,
                    "topic_id": plan.topic_ids.get(topic),
                }
                for (topic, partition), span in plan.spans.items()
            ]
        )
        connection.execute(NOTE_SPANS, rows)
        connection.execute(NOTE_STARTS, rows)

    def remaining(self) -> dict[TopicPartitionKey, OffsetSpan]:
        """Return what is still to be read, by the progress that is stored with the rows."""
        with self._connected() as connection:
            rows = connection.execute(REMAINING).all()
        return {(topic, partition): OffsetSpan(at, last) for topic, partition, at, last in rows}

    def extend(self, ends: Mapping[TopicPartitionKey, int]) -> None:
        """Plan to read up to these ends, where they are farther than those planned before."""
        rows = [
            {"topic": topic, "partition": partition, "last": end}
            for (topic, partition), end in ends.items()
        ]
        with self._connected() as connection:
            connection.execute(EXTEND, rows_of(rows))

    def finish(self) -> None:
        """Make the indexes that readers need, and note that everything planned is read."""
        with self._connected() as connection:
            for table in PROJECTED:
                for index in sorted(table.indexes, key=lambda index: str(index.name)):
                    connection.execute(CreateIndex(index, if_not_exists=True))
            connection.execute(FINISH)
        with self._connected() as connection:
            for table in PROJECTED:
                connection.execute(text(f"ANALYZE {table.name}"))

    def drop(self) -> None:
        """Drop the shadow, if there is one."""
        with self._connected() as connection:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{self.schema}" CASCADE'))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        engine = self.engine()
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


def shadows(engine: Engine) -> list[str]:
    """Return the names of the shadows in a database."""
    with engine.connect() as connection:
        return [name.removeprefix(PREFIX) for name in connection.execute(ALL).scalars()]


def _describe(request: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in request.items() if value is not None)
