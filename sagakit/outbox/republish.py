"""Republishes events that a topic lost, from the rows kept in `outbox_sent` (docs/decisions/0004).

The rows return to the outbox under their old ids. So they are published before newer events of the
same saga, in the order they were decided, and consumers that handled them drop the repeats. The
header `logged_at` carries the first copy's log-append time (docs/decisions/0017): deadlines and
timelines use log time, and the original log is gone.
"""

from contextlib import suppress

from sqlalchemy import Connection, Engine, exc, text

from sagakit.errors import SagaError
from sagakit.messages.envelope import LOGGED_AT
from sagakit.outbox.relay import LEAD, LEADER_LOCK, NEW_EPOCH

# Headers are a JSON list of pairs in a text column (`packed_headers.pack_headers`). The statement
# edits them as text: `jsonb` refuses NUL, which a header may hold. A row republished before keeps
# its first `logged_at`.
UNLEAD = text("SELECT pg_advisory_unlock(:lock)")
MOVE_BACK = text(f"""
    WITH back AS (
        DELETE FROM outbox_sent WHERE topic = :topic
        RETURNING id, topic, key, headers, value, logged_ms
    )
    INSERT INTO outbox (id, topic, key, headers, value) OVERRIDING SYSTEM VALUE
    SELECT id, topic, key,
           CASE WHEN logged_ms IS NULL OR strpos(headers, '["{LOGGED_AT}",') > 0 THEN headers
                ELSE left(headers, -1) || CASE headers WHEN '[]' THEN '' ELSE ',' END
                     || '["{LOGGED_AT}","' || logged_ms || '"]]' END,
           value
    FROM back
""")


class RelayRunning(SagaError):
    """A relay of the service runs: it would publish newer events before the republished ones."""


class RelayLock:
    """Holds the relay's lock of a service: until `close` nothing of its outbox is published.

    Raises RelayRunning if a relay of the service runs.
    """

    def __init__(self, engine: Engine) -> None:
        self._connection: Connection = engine.connect()
        try:
            if not self._connection.execute(LEAD, {"lock": LEADER_LOCK}).scalar():
                raise RelayRunning(
                    "the service's relay is running and would publish newer events before the "
                    "republished ones; stop every replica of the service first"
                )
            self._connection.execute(NEW_EPOCH)  # fences a relay that lost its connection
            self._connection.commit()
        except BaseException:
            self.close()
            raise

    def republish(self, topic: str) -> int:
        """Move all kept rows of a topic back to the outbox; return their number.

        A second call finds none left.
        """
        rows = self._connection.execute(MOVE_BACK, {"topic": topic}).rowcount
        self._connection.commit()
        return rows

    def close(self) -> None:
        """Release the lock, so that a relay can lead again.

        The lock ends with the session too, but only once the server notices that it ended.
        """
        with suppress(exc.SQLAlchemyError):
            self._connection.execute(UNLEAD, {"lock": LEADER_LOCK})
        self._connection.invalidate()
        self._connection.close()
