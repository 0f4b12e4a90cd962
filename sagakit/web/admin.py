"""Builds the admin routes: what blocks sagas here, and the redrive or discard of parked records."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import uuid4

import structlog
from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection, Engine, TextClause, text

from sagakit.handling.handler import Disposition, HandlingResult
from sagakit.messages.codec import MAX_KEY_CHARS

log = structlog.get_logger(__name__)
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL stores no NUL in text."""
Limit = Annotated[int, Query(ge=1, le=10_000)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Word = Annotated[str, Query(max_length=500, pattern=NO_NUL)]
ParkedKey = Annotated[str, Path(max_length=MAX_KEY_CHARS, pattern=NO_NUL)]

PARKED = text(
    'SELECT id, key, code, error, source, seq, topic, partition, "offset", parked_at '
    "FROM parked WHERE CAST(:order AS text) IS NULL OR key = :order ORDER BY id LIMIT :limit"
)
DISCARD = text("DELETE FROM parked WHERE id = :id RETURNING key")
EFFECTS = text(
    "SELECT key, kind, order_key, attempts, last_error, due_at, created_at FROM effects "
    "WHERE CAST(:order AS text) IS NULL OR order_key = :order ORDER BY created_at LIMIT :limit"
)
OUTBOX = text(
    "SELECT id, topic, key, created_at FROM outbox "
    "WHERE CAST(:order AS text) IS NULL OR key = :order ORDER BY id LIMIT :limit"
)
ROWS_AN_ORDER = 20


def _of_orders(table: str, order: str, columns: str, by: str) -> TextClause:
    """Build the statement for the first ROWS_AN_ORDER rows of each of many orders."""
    return text(
        f"SELECT {order} AS order_id, {columns} FROM (SELECT *, row_number() OVER "
        f"(PARTITION BY {order} ORDER BY {by}) AS place FROM {table} WHERE {order} = ANY(:orders)) "
        f"AS found WHERE place <= {ROWS_AN_ORDER} ORDER BY {by}"
    )


BLOCKERS = {
    "effects": _of_orders(
        "effects", "order_key", "key, kind, attempts, last_error, due_at, created_at", "created_at"
    ),
    "outbox": _of_orders("outbox", "key", "topic, created_at", "id"),
    "parked": _of_orders(
        "parked", "key", 'code, error, topic, partition, "offset", parked_at', "id"
    ),
}
BlockerRows = dict[str, dict[str, list[dict[str, Any]]]]
"""Order id -> `effects`, `outbox` and `parked` -> its rows, oldest first."""


OrderId = Annotated[str, Field(pattern=NO_NUL)]


class Orders(BaseModel):
    """Lists the ids of the orders that a request asks about."""

    orders: list[OrderId] = Field(max_length=10_000)


def blockers_of(connection: Connection, orders: Sequence[str]) -> BlockerRows:
    """Return the pending effects, outbox rows and parked records of many orders.

    Each kind is cut to the first ROWS_AN_ORDER rows per order. An order without rows is left out.
    """
    found: BlockerRows = {}
    for kind, query in BLOCKERS.items():
        for row in connection.execute(query, {"orders": list(orders)}).mappings():
            blockers = found.setdefault(row["order_id"], {name: [] for name in BLOCKERS})
            blockers[kind].append({name: row[name] for name in row if name != "order_id"})
    return found


def admin(engine: Engine, redrive: Callable[[str], list[HandlingResult[Any]]]) -> APIRouter:
    """Build the routes; `redrive` handles a saga's parked records again."""
    router = APIRouter(prefix="/admin", tags=["admin"])

    def rows(query: Any, **parameters: Any) -> list[dict[str, Any]]:
        with engine.connect() as connection:
            return [dict(r._mapping) for r in connection.execute(query, parameters)]

    @router.get("/parked")
    def parked(order: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(PARKED, order=order, limit=limit)

    @router.post("/parked/{key:path}/redrive")
    def redrive_key(key: ParkedKey) -> dict[str, Any]:
        fates = redrive(key)
        left = rows(PARKED, order=key, limit=10_000)
        handled = sum(f.disposition is not Disposition.PARKED for f in fates)
        return {"key": key, "handled": handled, "still_parked": left}

    @router.delete("/parked/{number}")
    def discard(number: Number, actor: Word, reason: Word) -> dict[str, Any]:
        with engine.begin() as connection:
            key = connection.execute(DISCARD, {"id": number}).scalar()
            if key is None:
                raise HTTPException(404, f"no parked record {number}; GET /admin/parked lists them")
        redrive(key)
        log.warning("parked record discarded", id=number, key=key, actor=actor, reason=reason)
        return {"discarded": number, "key": key, "receipt": str(uuid4())}

    @router.get("/effects")
    def effects(order: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(EFFECTS, order=order, limit=limit)

    @router.get("/outbox")
    def outbox(order: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(OUTBOX, order=order, limit=limit)

    @router.post("/blockers")
    def blockers(asked: Orders) -> BlockerRows:
        """Return everything that may block these orders here; changes nothing."""
        with engine.connect() as connection:
            return blockers_of(connection, asked.orders)

    return router
