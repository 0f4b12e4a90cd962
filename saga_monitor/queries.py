"""What the API reads, and the one row it locks."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from saga_monitor.fold import Saga
from saga_monitor.store import load_saga

# Stuck: overdue by the broker's clock as far as it is known, a case for a person, or in flight
# without a start event.
LIST = text("""
    SELECT order_id, flow, version, status, awaited, next_deadline, captured_minor, refunded_minor,
           started_at, ended_at, updated_at
    FROM saga
    WHERE (CAST(:status AS text) IS NULL OR status = :status)
    AND (NOT :stuck OR status IN ('intervention', 'unplaced')
         OR next_deadline < CAST(:log_time AS timestamptz))
    ORDER BY updated_at DESC NULLS LAST, order_id LIMIT :limit
""")
SUMMARY = text("""
    SELECT flow, version, status, count(*) AS sagas, min(started_at) AS oldest,
           coalesce(sum(captured_minor - refunded_minor), 0) AS held_minor
    FROM saga GROUP BY flow, version, status ORDER BY flow, version, status
""")
TIMELINE = text("""
    SELECT event_id, type, source, seq, at, causation, partition, "offset", detail
    FROM timeline WHERE order_id = :order_id ORDER BY at, seq NULLS FIRST, event_id
""")
ONE = text("SELECT facts::text FROM saga WHERE order_id = :order_id")
LOCK_ONE = text("SELECT facts::text FROM saga WHERE order_id = :order_id FOR UPDATE")
UNREADABLE = text("""
    SELECT topic, partition, "offset", at, code, error, encode(record_key, 'escape') AS key,
           length(value) AS bytes
    FROM monitor_unreadable ORDER BY at DESC LIMIT :limit
""")
COUNT_UNREADABLE = text("SELECT count(*) FROM monitor_unreadable")

Row = dict[str, Any]


def sagas(
    connection: Connection, status: str | None, stuck: bool, log_time: datetime | None, limit: int
) -> list[Row]:
    """Rows for a list, the newest first. `log_time`: up to which the log is read, if known."""
    return _rows(connection, LIST, status=status, stuck=stuck, log_time=log_time, limit=limit)


def summary(connection: Connection) -> list[Row]:
    """How many sagas of each flow version are in which status."""
    return _rows(connection, SUMMARY)


def timeline(connection: Connection, order_id: str) -> list[Row]:
    """The events of an order in log time."""
    return _rows(connection, TIMELINE, order_id=order_id)


def unreadable(connection: Connection, limit: int) -> list[Row]:
    """Records that are no event of the contract, the newest first."""
    return _rows(connection, UNREADABLE, limit=limit)


def count_unreadable(connection: Connection) -> int:
    """How many of them there are."""
    return int(connection.execute(COUNT_UNREADABLE).scalar_one())


def find(connection: Connection, order_id: str, *, lock: bool = False) -> Saga | None:
    """One saga; None where nothing was ever read of the order."""
    if not order_id.isprintable():  # no order has such an id, and PostgreSQL keeps no NUL
        return None
    facts = connection.execute(LOCK_ONE if lock else ONE, {"order_id": order_id}).scalar()
    return None if facts is None else load_saga(order_id, facts)


def _rows(connection: Connection, query: Any, **parameters: Any) -> list[Row]:
    return [dict(row._mapping) for row in connection.execute(query, parameters)]
