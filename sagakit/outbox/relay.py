"""Publishes outbox rows to their topics, per saga in id order, through one leader per service.

What its own process commits it publishes from memory (`CommitQueue`). It reads the table for rows
of other replicas and after a failure, never by `id > cursor`: rows become visible in commit order,
not in id order. Published rows move to `outbox_sent` (one partition per day), many at once, in the
statement that checks the leader's epoch.
"""

import math
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

import psycopg
import structlog
from sqlalchemy import Connection, Engine, exc, text

from sagakit.faults import NO_FAULTS, Faults
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.envelope import AppendTimes, OutboxRow
from sagakit.replay_mode import refuse_in_replay
from sagakit.retry import WAITS, is_too_much, is_transient, passing_for, retry_transaction
from sagakit.store.commit_queue import CommitQueue
from sagakit.store.expiry import expire
from sagakit.store.json_rows import as_json
from sagakit.store.packed_headers import unpack_headers
from sagakit.store.ports import Clock

log = structlog.get_logger(__name__)
BATCH = 1000
SMALL_FOR_S = 60.0
"""How long batches stay small after the broker has refused one for its size."""
POLL_S = 1.0
"""How often a leader reads the table although nobody woke it (a notification may get lost), and how
often the others try to lead."""
REMOVE_AFTER_S = 0.25
"""How long rows published from memory stay in the outbox. A new leader looks them up in the log."""
KEEP_DAYS = 31
LOOK_FOR_S = 300.0
"""Longest wait to learn which rows Kafka already holds; then all rows are published."""
LEADER_LOCK = 0x5A6A_0001

LEAD = text("SELECT pg_try_advisory_lock(:lock)")
NEW_EPOCH = text(
    "INSERT INTO relay_epoch (one, epoch) VALUES (1, 1) "
    "ON CONFLICT (one) DO UPDATE SET epoch = relay_epoch.epoch + 1 RETURNING epoch"
)
FETCH = text(
    "SELECT id, topic, key, headers, value FROM outbox WHERE id > :after ORDER BY id LIMIT :limit"
)
# `logged` is read for each row; a scalar subquery parses the JSON only once.
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
SET_ASIDE = text("""
    WITH gone AS (
        DELETE FROM outbox WHERE id = :id AND (SELECT epoch FROM relay_epoch) = :epoch
        RETURNING id, topic, key, headers, value
    )
    INSERT INTO outbox_refused (id, topic, key, headers, value, error)
    SELECT id, topic, key, headers, value, :error FROM gone
""")
DAYS = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = 'outbox_sent'::regclass"
)


class OutboxPublisher(Protocol):
    """Publishes rows to Kafka: the part of `kafka.Publisher` that the relay uses."""

    def publish(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        """Publish all rows in order; return their log-append times. Raises PublishFailed."""
        ...

    def discard(self) -> None:
        """Drop queued records."""
        ...


FindPublished = Callable[[Sequence[OutboxRow]], AppendTimes]
"""Returns the rows Kafka already holds: `already_published.find_published`.

Raises LogUnreadable."""


class LogUnreadable(Exception):
    """The log cannot be searched now for rows already published."""


class LostLeadership(Exception):
    """Another relay leads (its epoch is newer), or the connection that held the lock is gone."""


class Relay:
    """Publishes the outbox of one service.

    Call `run` in a thread, and `wake` after each commit that added rows without the queue.
    """

    def __init__(
        self,
        engine: Engine,
        publisher: OutboxPublisher,
        clock: Clock,
        *,
        commits: CommitQueue | None = None,
        poll_s: float = POLL_S,
        faults: Faults = NO_FAULTS,
        find_published: FindPublished = lambda rows: {},
    ) -> None:
        refuse_in_replay(self)
        self._engine = engine
        self._publisher = publisher
        self._clock = clock
        self._commits = commits or CommitQueue()
        self._commits.wake = self._committed
        self._poll_s = poll_s
        self._faults = faults
        self._find_published = find_published
        self._check_log = True
        self._log_unreadable_since_s: float | None = None
        self._published: dict[int, int | None] = {}
        self._at_once, self._small_until_s = BATCH, 0.0
        self._remove_at_s = self._read_at_s = 0.0
        self._read = threading.Event()
        self._signal: socket.socket | None = None
        self._stop = threading.Event()
        self._days_made: datetime | None = None
        self._batch = BATCH
        self.leading = False

    def wake(self) -> None:
        """Tell the leading relay that there are new rows in the table.

        A leader in another replica is notified through the database. An error there is ignored:
        the leader reads the table anyway, and the commit must not be reported as failed.
        """
        if self.leading:
            self._read.set()
            self._interrupt()
            return
        with suppress(exc.SQLAlchemyError), autocommit_connection(self._engine) as connection:
            connection.execute(text("NOTIFY outbox"))

    def _committed(self) -> None:
        """Tell this relay, or else the leader, that a commit of this process has rows."""
        if self.leading:
            self._interrupt()
        else:
            self.wake()

    def _interrupt(self) -> None:
        """End the wait of `_wait`."""
        if signal := self._signal:
            with suppress(OSError):  # not leading any more, or interrupted already
                signal.send(b"!")

    def run(self, stop: threading.Event) -> None:
        """Lead whenever no other relay does, until `stop`."""
        self._stop = stop
        while not stop.is_set():
            try:
                with autocommit_connection(self._engine) as connection:
                    self._try_to_lead(connection, stop)
            except (exc.SQLAlchemyError, LostLeadership) as error:
                if not isinstance(error, LostLeadership) and not is_transient(error):
                    raise
                self._halve_if_too_much(error)
                WAITS.note(self, error)
                log.warning("the relay restarts", error=str(error))
            stop.wait(self._poll_s)
        WAITS.over(self)

    def _halve_if_too_much(self, error: BaseException) -> bool:
        """Take fewer rows at once if the database ended a statement for its length."""
        if not is_too_much(error) or self._batch == 1:
            return False
        self._batch //= 2
        return True

    def _try_to_lead(self, connection: Connection, stop: threading.Event) -> None:
        """Try to take the lock and lead, until `stop`.

        The lock ends with the session, so the connection is closed, not returned to the pool.
        """
        try:
            while not stop.is_set():
                if connection.execute(LEAD, {"lock": LEADER_LOCK}).scalar():
                    with self._interruptible() as signal:
                        self._lead(connection, stop, signal)
                WAITS.over(self)
                stop.wait(self._poll_s)
        finally:
            connection.invalidate()

    @contextmanager
    def _interruptible(self) -> Iterator[socket.socket]:
        """Yield the socket that becomes readable when this relay is woken while it leads."""
        receives, sends = socket.socketpair()
        with closing(receives), closing(sends):
            receives.setblocking(False)
            sends.setblocking(False)
            self._signal = sends
            try:
                yield receives
            finally:
                self.leading, self._signal = False, None
                self._commits.stop()

    def _lead(
        self, connection: Connection, stop: threading.Event, interrupted: socket.socket
    ) -> None:
        epoch = connection.execute(NEW_EPOCH).scalar_one()
        connection.execute(text("LISTEN outbox"))
        WAITS.over(self)
        self.leading = self._check_log = True
        self._published = {}
        self._read.set()
        log.info("the relay is leader", epoch=epoch)
        while not stop.is_set():
            if not self._publish_next(connection, epoch):
                self._wait(connection, interrupted)
        self._remove(connection, epoch)
        while self.publish_once(connection, epoch):
            pass

    def _publish_next(self, connection: Connection, epoch: int) -> bool:
        """Publish the next rows, from the table or from memory; return False to rest.

        While the table may hold rows that are not in memory, nothing is published from memory.
        """
        if self._check_log or self._read.is_set() or time.monotonic() >= self._read_at_s:
            self._read.clear()
            self._read_at_s = time.monotonic() + self._poll_s
            most = self._batch
            if self.publish_once(connection, epoch) >= most:
                self._read.set()
                self._batch = min(self._batch + 1, BATCH)
            return self._read.is_set()
        rows = self._commits.take(BATCH)
        if rows is None:
            self._read.set()
            return True
        for start in range(0, len(rows), BATCH):
            if not self._check_log:
                self._publish(connection, epoch, rows[start : start + BATCH])
        if self._published and time.monotonic() >= self._remove_at_s:
            self._remove(connection, epoch)
        return bool(rows) and not self._check_log

    def publish_once(self, connection: Connection, epoch: int) -> int:
        """Publish one batch of the table; return how many rows left the outbox.

        Raises LostLeadership.
        """
        self._remove(connection, epoch)
        self._commits.leave_to_table()
        if self._check_log and not self._remove_published(connection, epoch):
            return 0
        if rows := self._fetch(connection, epoch, self._batch):
            self._commits.note_read(rows)
            self._publish(connection, epoch, rows)
        return self._remove(connection, epoch)

    def _publish(self, connection: Connection, epoch: int, rows: Sequence[OutboxRow]) -> None:
        """Publish rows, and note those that may leave the outbox: never more than BATCH."""
        if len(self._published) + len(rows) > BATCH:
            self._remove(connection, epoch)
        if not self._published:
            self._remove_at_s = time.monotonic() + REMOVE_AFTER_S
        if self._at_once < BATCH and time.monotonic() >= self._small_until_s:
            self._at_once = BATCH
        rest = rows
        while rest and not self._check_log:
            part, rest = rest[: self._at_once], rest[self._at_once :]
            self._publish_part(connection, epoch, part)

    def _publish_part(self, connection: Connection, epoch: int, part: Sequence[OutboxRow]) -> None:
        """Publish rows at once; a part that the broker refuses is halved, down to one row.

        Nothing else is in flight with one row, so its refusal is certain, and it is set aside.
        """
        try:
            self._published |= self._publisher.publish(part)
        except PublishFailed as failure:
            self._published |= failure.acknowledged
            if failure.refused and len(part) == 1:
                self._set_aside(connection, epoch, part[0], str(failure))
                return
            if failure.refused:
                self._at_once = len(part) // 2
                self._small_until_s = time.monotonic() + SMALL_FOR_S
                self._read.set()
            log.warning(
                "not all rows were published, will publish the rest again", error=str(failure)
            )
            self._check_log = True
        self._faults("mid-relay")

    def _set_aside(self, connection: Connection, epoch: int, row: OutboxRow, error: str) -> None:
        """Move a row that can never be published out of the way of those behind it."""
        values = {"id": row.id, "epoch": epoch, "error": error}
        if connection.execute(SET_ASIDE, values).rowcount != 1:
            self._publisher.discard()
            raise LostLeadership(f"a row was refused in epoch {epoch}, but another relay leads now")
        log.error(
            "a row of the outbox can never be published, it is set aside",
            topic=row.topic,
            saga=row.saga,
            bytes=len(row.value),
            error=error,
        )

    def _remove_published(self, connection: Connection, epoch: int) -> bool:
        """Remove rows that were published but not removed; return False to try again later.

        It checks two batches, since new rows may lie between those of the last one. While no
        broker answers, none would take rows either; after LOOK_FOR_S they are published unchecked.
        """
        rows = self._first_rows(connection, epoch)
        try:
            logged = self._find_published(rows) if rows else {}
            self._log_unreadable_since_s = None
        except LogUnreadable as error:
            log.warning("cannot read which rows the log already holds", error=str(error))
            now_s = time.monotonic()
            self._log_unreadable_since_s = self._log_unreadable_since_s or now_s
            if now_s - self._log_unreadable_since_s < LOOK_FOR_S:
                return False
            logged = {}
        if logged:
            log.info("removing rows that the log already holds", rows=len(logged))
            self._move_all(connection, logged, epoch)
        self._check_log = False
        return True

    def _remove(self, connection: Connection, epoch: int) -> int:
        """Move the published rows out of the outbox; return their number.

        Retry while the session, and with it the lock, is alive (the database may be full):
        starting over would publish the rows again each time and fill the topics too.
        """
        logged, self._published = self._published, {}
        self._move_all(connection, logged, epoch)
        return len(logged)

    def _move_all(self, connection: Connection, logged: AppendTimes, epoch: int) -> None:
        """Move rows out of the outbox, fewer at once if the database ends a statement."""
        left = list(logged.items())
        while left:
            part = dict(left[: self._batch])
            passes = passing_for(len(part))
            try:
                retry_transaction(
                    lambda part=part: self._move(connection, part, epoch),  # type: ignore[misc]
                    self._stop,
                    lambda error, passes=passes: passes(error) and not connection.invalidated,  # type: ignore[misc]
                )
            except exc.SQLAlchemyError as error:
                if connection.invalidated or not self._halve_if_too_much(error):
                    raise
            else:
                left = left[len(part) :]

    def _first_rows(self, connection: Connection, epoch: int) -> list[OutboxRow]:
        """Return the first two batches of the outbox; read in parts if they took too long."""
        if self._batch == BATCH:
            return self._fetch(connection, epoch, 2 * BATCH)
        rows: list[OutboxRow] = []
        while len(rows) < 2 * BATCH:
            after = rows[-1].id or 0 if rows else 0
            page = self._fetch(connection, epoch, self._batch, after)
            rows += page
            if len(page) < self._batch:
                break
        return rows

    def _fetch(
        self, connection: Connection, epoch: int, limit: int, after: int = 0
    ) -> list[OutboxRow]:
        """Return the next rows, after setting aside those whose headers cannot be read."""
        while True:
            rows, unreadable = _fetch_rows(connection, limit, after)
            if not unreadable:
                return rows
            for row, reason in unreadable:
                self._set_aside(connection, epoch, row, reason)

    def _move(self, connection: Connection, logged: AppendTimes, epoch: int) -> None:
        now = self._clock()
        self._make_days(connection, now)
        packed = as_json({str(number): at_ms for number, at_ms in logged.items()})
        done = connection.execute(REMOVE, {"logged": packed, "epoch": epoch, "now": now})
        if done.rowcount != len(logged):
            self._publisher.discard()
            raise LostLeadership(
                f"{len(logged)} rows were published in epoch {epoch}, but another relay leads now"
            )

    def _wait(self, connection: Connection, interrupted: socket.socket) -> None:
        """Wait for a commit of this process, a notification, or what is due next."""
        driver: Any = connection.connection.driver_connection
        until_s = min(self._read_at_s, self._remove_at_s if self._published else math.inf)
        try:
            if self._notified(driver):
                return
            poll = select.poll()
            poll.register(interrupted, select.POLLIN)
            poll.register(driver, select.POLLIN)
            if driver.fileno() in dict(poll.poll(1000 * max(until_s - time.monotonic(), 0.0))):
                self._notified(driver)
        except psycopg.Error as error:  # psycopg's own error, not wrapped by SQLAlchemy
            raise LostLeadership(f"the database connection is lost: {error}") from error
        with suppress(BlockingIOError):
            interrupted.recv(BATCH)

    def _notified(self, driver: Any) -> bool:
        """Take the notifications there are: each says that there are new rows in the table."""
        if list(driver.notifies(timeout=0)):
            self._read.set()
            return True
        return False

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
        expire(connection, now)
        self._days_made = today


def autocommit_connection(engine: Engine) -> Connection:
    """Open a connection on which each statement is its own transaction.

    This saves the round trips of BEGIN and COMMIT. One statement removes a row from the outbox and
    keeps it in `outbox_sent`, so the relay needs no longer transactions.
    """
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _fetch_rows(
    connection: Connection, limit: int, after: int
) -> tuple[list[OutboxRow], list[tuple[OutboxRow, str]]]:
    """Return the next rows, and those whose headers cannot be read, each with the reason."""
    rows, unreadable = list[OutboxRow](), list[tuple[OutboxRow, str]]()
    for r in connection.execute(FETCH, {"limit": limit, "after": after}):
        try:
            headers = unpack_headers(r.headers)
        except ValueError as error:
            row = OutboxRow(r.topic, r.key, (), bytes(r.value), r.id)
            unreadable.append((row, f"the headers cannot be read: {error}"))
        else:
            rows.append(OutboxRow(r.topic, r.key, headers, bytes(r.value), r.id))
    return rows, unreadable


def _day(day: datetime) -> str:
    return f"outbox_sent_{day:%Y%m%d}"
