"""Drops what is kept for people once its term is over: contents of parked records, old audit rows.

A parked record may hold personal data in clear. Its row stays, so that what is queued behind it
does not go on as if it had never come; only its content goes.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

KEEP_CONTENT = timedelta(days=90)
"""How long the content of a record that could not be read or handled is kept."""
KEEP_AUDIT = timedelta(days=400)
GONE = " [content dropped after its term]"

DROP_CONTENT = text(
    "UPDATE parked SET value = NULL, headers = '[]', error = left(error, 2000) || :gone "
    "WHERE parked_at < :before AND value IS NOT NULL"
)
DELETE_AUDIT = text("DELETE FROM audit WHERE at < :before")


def expire(connection: Connection, now: datetime) -> None:
    """Drop what has outlived its term; call it once a day."""
    connection.execute(DROP_CONTENT, {"before": now - KEEP_CONTENT, "gone": GONE})
    connection.execute(DELETE_AUDIT, {"before": now - KEEP_AUDIT})
