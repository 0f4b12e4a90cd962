"""Publishing again what a topic has lost, from the rows that were kept (docs/adr/0004).

The rows go back to the outbox under the ids they had: they are published before anything newer of
the same order, in the order they were decided, and whoever has handled them drops the repeat.
"""

from sqlalchemy import Connection, Engine, text

from sagakit.errors import SagaError
from sagakit.relay import LEAD, LEADER_LOCK, NEW_EPOCH

MOVE_BACK = text("""
    WITH back AS (
        DELETE FROM outbox_sent WHERE topic = :topic RETURNING id, topic, key, headers, value
    )
    INSERT INTO outbox (id, topic, key, headers, value) OVERRIDING SYSTEM VALUE
    SELECT id, topic, key, headers, value FROM back
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
        """Let a relay lead again: the lock ends with the session."""
        self._connection.invalidate()
        self._connection.close()
