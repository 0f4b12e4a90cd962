"""History: what has long ended makes room. Finished orders move to tables of their own, from which
whatever is said of them later brings them back (`store.lock`); words that everybody has read go."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine, text

from saga_monitor.saga.view import ENDED
from saga_monitor.storage import store
from sagakit.outbox.relay import KEEP_DAYS
from sagakit.retry import until_stored

log = structlog.get_logger(__name__)
EVERY_S = 2.0
BATCH = 200
SAID_FOR = timedelta(days=KEEP_DAYS)
"""The dedup horizon: what lies further back no topic tells again."""

# Quiet since then: nothing is awaited, no case is open, nobody pinned it. By its last event, not by
# its end: an order that was brought back is at hand as long again. Any of them are good to begin
# with; the order is that of the index which knows them, for where many have ended since the table
# was analysed, one that knows the status alone looks as good, and reads all that have ended.
FINISHED = text("""
    SELECT s.order_id FROM saga s
    WHERE s.status = ANY(:ended) AND s.updated_at < :before
    AND s.next_deadline IS NULL AND NOT s.pinned AND NOT EXISTS (
        SELECT FROM intervention i
        WHERE i.order_id = s.order_id AND i.status IN ('open', 'claimed'))
    ORDER BY s.status, s.updated_at DESC NULLS LAST LIMIT :limit FOR UPDATE OF s SKIP LOCKED
""")
FORGET = text("""
    DELETE FROM said WHERE at < :before
    AND NOT EXISTS (SELECT FROM saga s WHERE s.order_id = said.order_id AND s.pinned)
""")


class History:
    """`run` in a thread. log_time: up to which every partition is read, None while that is not
    known; after: how long after its last event a finished order is moved, in log time."""

    def __init__(
        self, engine: Engine, log_time: Callable[[], datetime | None], after: timedelta
    ) -> None:
        self._engine, self._log_time, self._after = engine, log_time, after

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. While the log time is not known nothing moves."""
        while not stop.wait(EVERY_S):
            through = self._log_time()
            if through is not None:
                self.keep(through, stop)

    def keep(self, through: datetime, stop: threading.Event) -> int:
        """Move what is due, one transaction a batch, and forget old words; how many moved."""
        moved = 0
        while not stop.is_set():
            batch = until_stored(lambda: self._move_some(through - self._after), stop)
            moved += batch
            if batch < BATCH:
                break
        until_stored(lambda: self._forget(through - SAID_FOR), stop)
        if moved:
            log.info("finished orders are history", orders=moved)
        return moved

    def _move_some(self, before: datetime) -> int:
        ended = [status.value for status in ENDED]
        with self._engine.begin() as connection:
            wanted = {"ended": ended, "before": before, "limit": BATCH}
            orders = connection.execute(FINISHED, wanted).scalars().all()
            if orders:
                store.move_to_history(connection, orders)
        return len(orders)

    def _forget(self, before: datetime) -> None:
        with self._engine.begin() as connection:
            connection.execute(FORGET, {"before": before})
