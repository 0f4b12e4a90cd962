"""From the outbox to the topics: one leader a service, unpublished rows in id order.

Never `id > cursor`: rows become visible in commit order, not in id order. What was published is
moved to `outbox_sent` (a partition a day) in the statement that checks that we still lead.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

import psycopg
import structlog
from sqlalchemy import Connection, Engine, exc, text

from sagakit.faults import NO_FAULTS, Faults
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.envelope import Logged, OutboxRow
from sagakit.retry import is_transient, until_stored
from sagakit.store.ports import Clock
from sagakit.store.postgres import unpack_headers
from sagakit.store.state_table import as_json

log = structlog.get_logger(__name__)
BATCH = 1000
KEEP_DAYS = 31
LOOK_FOR_S = 300.0
"""How long nothing is published where nobody can tell what was published already."""
LEADER_LOCK = 0x5A6A_0001

LEAD = text("SELECT pg_try_advisory_lock(:lock)")
NEW_EPOCH = text(
    "INSERT INTO relay_epoch (one, epoch) VALUES (1, 1) "
    "ON CONFLICT (one) DO UPDATE SET epoch = relay_epoch.epoch + 1 RETURNING epoch"
)
FETCH = text("SELECT id, topic, key, headers, value FROM outbox ORDER BY id LIMIT :limit")
# `logged` is looked into once for each row, so it is parsed once, in a query of its own.
REMOVE = text("""
    WITH gone AS (
        DELETE FROM outbox WHERE id = ANY(
            ARRAY(SELECT CAST(json_object_keys(CAST(:logged AS json)) AS bigint))
        )
        AND (SELECT epoch FROM relay_epoch) = :epoch
        RETURNING id, topic, key, headers, value
    )
    INSERT INTO outbox_sent (id, topic, key, headers, value, sent_at, logged_ms)
    SELECT id, topic, key, headers, value, :now,
           CAST((SELECT CAST(:logged AS jsonb)) ->> CAST(id AS text) AS bigint)
    FROM gone
""")
DAYS = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = 'outbox_sent'::regclass"
)


class Publishes(Protocol):
    """What the relay needs of `kafka.Publisher`."""

    def publish(self, rows: Sequence[OutboxRow]) -> Logged:
        """All rows in order; when the broker took them. Raises PublishFailed."""
        ...

    def forget(self) -> None:
        """Drop what is queued."""
        ...


Standing = Callable[[Sequence[OutboxRow]], Logged]
"""Which of these rows the log holds already, see `standing.standing`. Raises CannotTell."""


class CannotTell(Exception):
    """What the log holds cannot be looked up now."""


class LostLeadership(Exception):
    """Another relay has taken over (its epoch is newer), or the connection that held the lock is
    gone."""


class Relay:
    """The relay of one service. `run` in a thread; `wake` after each commit that added rows."""

    def __init__(
        self,
        engine: Engine,
        publisher: Publishes,
        clock: Clock,
        *,
        poll_s: float = 0.25,
        faults: Faults = NO_FAULTS,
        standing: Standing = lambda rows: {},
    ) -> None:
        self._engine = engine
        self._publisher = publisher
        self._clock = clock
        self._poll_s = poll_s
        self._faults = faults
        self._standing = standing
        self._unsure = True
        self._blind_since_s: float | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._days_made: datetime | None = None
        self.leading = False

    def wake(self) -> None:
        """There are new rows. Where another replica leads, it is told through the database; if
        that fails it looks by itself a moment later, so what is committed is never called failed.
        """
        if self.leading:
            self._wake.set()
            return
        with suppress(exc.SQLAlchemyError), statements(self._engine) as connection:
            connection.execute(text("NOTIFY outbox"))

    def run(self, stop: threading.Event) -> None:
        """Lead whenever nobody else does, until `stop`."""
        self._stop = stop
        while not stop.is_set():
            try:
                with statements(self._engine) as connection:
                    self._candidate(connection, stop)
            except (exc.SQLAlchemyError, LostLeadership) as error:
                if not isinstance(error, LostLeadership) and not is_transient(error):
                    raise
                log.warning("the relay starts over", error=str(error))
            finally:
                self.leading = False
            stop.wait(self._poll_s)

    def _candidate(self, connection: Connection, stop: threading.Event) -> None:
        """The lock ends with the session: it is closed for good, not kept for others to use."""
        try:
            while not stop.is_set():
                if connection.execute(LEAD, {"lock": LEADER_LOCK}).scalar():
                    self._lead(connection, stop)
                stop.wait(self._poll_s)
        finally:
            connection.invalidate()

    def _lead(self, connection: Connection, stop: threading.Event) -> None:
        epoch = connection.execute(NEW_EPOCH).scalar_one()
        connection.execute(text("LISTEN outbox"))
        self.leading = self._unsure = True
        log.info("the relay leads", epoch=epoch)
        while not stop.is_set():
            self._wake.clear()
            if self.publish_once(connection, epoch) < BATCH:
                self._rest(connection)
        while self.publish_once(connection, epoch):
            pass

    def publish_once(self, connection: Connection, epoch: int) -> int:
        """Publish one batch; how many rows are out of the outbox now. Raises LostLeadership."""
        if self._unsure and not self._settle(connection, epoch):
            return 0
        rows = _waiting(connection, BATCH)
        if not rows:
            return 0
        try:
            logged = self._publisher.publish(rows)
        except PublishFailed as failure:
            log.warning("the relay publishes again", error=str(failure))
            logged = failure.acknowledged
            self._unsure = True
        self._faults("mid-relay")
        if logged:
            # While the database has no room, say, but our session and with it our lock still
            # lives: rows would be published again each time, and fill the topics as well.
            until_stored(
                lambda: self._remove(connection, logged, epoch),
                self._stop,
                lambda error: is_transient(error) and not connection.invalidated,
            )
        return len(logged)

    def _settle(self, connection: Connection, epoch: int) -> bool:
        """What was published and not removed is removed now, not published again. More rows than
        a batch: some that are new may have come between those of the last one. False where that is
        to be tried again: while no broker answers none would take the rows either."""
        rows = _waiting(connection, 2 * BATCH)
        try:
            logged = self._standing(rows) if rows else {}
            self._blind_since_s = None
        except CannotTell as error:
            log.warning("cannot tell what stands in the log already", error=str(error))
            now_s = time.monotonic()
            self._blind_since_s = self._blind_since_s or now_s
            if now_s - self._blind_since_s < LOOK_FOR_S:
                return False
            logged = {}
        if logged:
            log.info("rows stand in the log already", rows=len(logged))
            self._remove(connection, logged, epoch)
        self._unsure = False
        return True

    def _remove(self, connection: Connection, logged: Logged, epoch: int) -> None:
        now = self._clock()
        self._make_days(connection, now)
        packed = as_json({str(number): at_ms for number, at_ms in logged.items()})
        done = connection.execute(REMOVE, {"logged": packed, "epoch": epoch, "now": now})
        if done.rowcount != len(logged):
            self._publisher.forget()
            raise LostLeadership(
                f"{len(logged)} rows published under epoch {epoch}, which has ended"
            )

    def _rest(self, connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        waited = 0.0
        while waited < self._poll_s and not self._wake.wait(0.05):
            waited += 0.05
            try:
                if any(True for _ in driver.notifies(timeout=0)):
                    return
            except psycopg.Error as error:  # the driver's own: SQLAlchemy is not asked here
                raise LostLeadership(f"the database is gone: {error}") from error

    def _make_days(self, connection: Connection, now: datetime) -> None:
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._days_made == today:
            return
        oldest = _day(today - timedelta(days=KEEP_DAYS))
        for name in connection.execute(DAYS).scalars().all():
            if name < oldest:
                connection.execute(text(f"DROP TABLE {name}"))
        for day in (today, today + timedelta(days=1)):
            connection.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {_day(day)} PARTITION OF outbox_sent FOR VALUES "
                    f"FROM ('{day.isoformat()}') TO ('{(day + timedelta(days=1)).isoformat()}')"
                )
            )
        self._days_made = today


def statements(engine: Engine) -> Connection:
    """A connection on which each statement is a transaction: no round trips to begin and end one.
    What the relay does needs no more: a row is removed, and kept, in one statement."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _waiting(connection: Connection, limit: int) -> list[OutboxRow]:
    return [
        OutboxRow(r.topic, r.key, unpack_headers(r.headers), bytes(r.value), r.id)
        for r in connection.execute(FETCH, {"limit": limit})
    ]


def _day(day: datetime) -> str:
    return f"outbox_sent_{day:%Y%m%d}"
