"""Move sagas that ended long ago to the history tables, and delete old recorded commands.

A later event about an archived saga brings it back (`store.lock`). A recorded command is deleted
once it is older than the dedup horizon: its event was read back long ago.
"""

import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta

import structlog
from sqlalchemy import Engine, text

from saga_monitor.saga.view import ENDED
from saga_monitor.storage import store
from sagakit.outbox.relay import KEEP_DAYS
from sagakit.retry import retry_transaction, retry_with_less
from sagakit.store.expiry import GONE, KEEP_CONTENT

log = structlog.get_logger(__name__)
EVERY_S = 2.0
BATCH = 200
KEEP_COMMANDS = timedelta(days=KEEP_DAYS)
"""The dedup horizon: no topic delivers an older event again."""

# Ended sagas without an event since :before: nothing is awaited, no intervention is open, no pin.
# `updated_at`, not `ended_at`: a saga that was brought back stays in the live tables as long again.
# Any row will do. ORDER BY matches index `saga_status`; with stale statistics the planner otherwise
# picks a status-only plan and scans every ended saga.
FINISHED = text("""
    SELECT s.saga FROM saga s
    WHERE s.status = ANY(:ended) AND s.updated_at < :before
    AND s.next_deadline IS NULL AND NOT s.pinned AND NOT EXISTS (
        SELECT FROM intervention i
        WHERE i.saga = s.saga AND i.status IN ('open', 'claimed'))
    ORDER BY s.status, s.updated_at DESC NULLS LAST LIMIT :limit FOR UPDATE OF s SKIP LOCKED
""")
DROP_CONTENT = text("""
    UPDATE monitor_unreadable SET value = NULL, headers = '[]', error = error || :gone
    WHERE at < :before AND (value IS NOT NULL OR headers <> '[]')
""")
DELETE_COMMANDS = text("""
    DELETE FROM recorded_command c WHERE c.at < :before
    AND NOT EXISTS (SELECT FROM saga s WHERE s.saga = c.saga AND s.pinned)
""")


class Archiver:
    """Archives ended sagas; `run` in a thread.

    log_time: returns the time up to which every partition is read, None while that is unknown;
    after: how long after its last event an ended saga is moved, in log time.
    """

    def __init__(
        self, engine: Engine, log_time: Callable[[], datetime | None], after: timedelta
    ) -> None:
        self._engine, self._log_time, self._after = engine, log_time, after
        self._dropped_on: date | None = None

    def run(self, stop: threading.Event) -> None:
        """Archive every EVERY_S seconds until `stop`. While log time is unknown nothing moves."""
        while not stop.wait(EVERY_S):
            through = self._log_time()
            if through is not None:
                self.archive_due(through, stop)

    def archive_due(self, through: datetime, stop: threading.Event) -> int:
        """Archive the sagas that are due, one transaction per batch; return their number.

        Also delete old recorded commands, and once a day old contents of unreadable records.
        """
        archived = 0
        while not stop.is_set():
            archive = lambda limit: (limit, self._archive_batch(through - self._after, limit))  # noqa: E731
            most, batch = retry_with_less(archive, BATCH, stop)
            archived += batch
            if batch < most:
                break
        retry_transaction(lambda: self._delete_commands(through - KEEP_COMMANDS), stop)
        if self._dropped_on != through.date():
            retry_transaction(lambda: self._drop_content(through - KEEP_CONTENT), stop)
            self._dropped_on = through.date()
        if archived:
            log.info("ended sagas moved to the history tables", sagas=archived)
        return archived

    def _archive_batch(self, before: datetime, limit: int) -> int:
        ended = [status.value for status in ENDED]
        with self._engine.begin() as connection:
            wanted = {"ended": ended, "before": before, "limit": limit}
            sagas = connection.execute(FINISHED, wanted).scalars().all()
            if sagas:
                store.archive(connection, sagas)
        return len(sagas)

    def _delete_commands(self, before: datetime) -> None:
        with self._engine.begin() as connection:
            connection.execute(DELETE_COMMANDS, {"before": before})

    def _drop_content(self, before: datetime) -> None:
        with self._engine.begin() as connection:
            connection.execute(DROP_CONTENT, {"before": before, "gone": GONE})
