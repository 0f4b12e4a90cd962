"""Publishing again what a topic has lost, from the rows that were kept (docs/adr/0004).

The rows go back to the outbox under the ids they had: they are published before anything newer of
the same order, in the order they were decided, and whoever has handled them drops the repeat. A
header says when the broker took the first of them (docs/adr/0017): log time is what deadlines and
timelines go by, and the log of then is gone.
"""

from contextlib import suppress

from sqlalchemy import Connection, Engine, exc, text

from sagakit.errors import SagaError
from sagakit.messages.envelope import LOGGED_AT
from sagakit.outbox.relay import LEAD, LEADER_LOCK, NEW_EPOCH

# Headers are text, a JSON list of pairs (`postgres.pack_headers`), and stay text: `jsonb` takes no
# NUL, a header may. What was republished before has its first time already.
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


class RelayLeads(SagaError):
    """A relay of the service is publishing: newer events would stand before those republished."""


class QuietOutbox:
    """A service's outbox whose relay we have taken the place of: until `close` nothing of it is
    published. Raises RelayLeads where a relay of the service runs."""

    def __init__(self, engine: Engine) -> None:
        self._connection: Connection = engine.connect()
        try:
            if not self._connection.execute(LEAD, {"lock": LEADER_LOCK}).scalar():
                raise RelayLeads(
                    "the service's relay runs, and what it publishes meanwhile would stand before "
                    "older events of the same order; stop every replica of the service first"
                )
            self._connection.execute(NEW_EPOCH)  # one that lost its connection removes nothing
            self._connection.commit()
        except BaseException:
            self.close()
            raise

    def republish(self, topic: str) -> int:
        """All that was kept of a topic is to be published again; the number of rows. A second call
        finds none left."""
        rows = self._connection.execute(MOVE_BACK, {"topic": topic}).rowcount
        self._connection.commit()
        return rows

    def close(self) -> None:
        """Let a relay lead again. The lock ends with the session anyhow, but only when the server
        has seen that it did."""
        with suppress(exc.SQLAlchemyError):
            self._connection.execute(UNLEAD, {"lock": LEADER_LOCK})
        self._connection.invalidate()
        self._connection.close()
