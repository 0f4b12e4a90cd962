"""Defines order's tables: one row per order, customer keys, the API's Idempotency-Keys."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Engine,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    false,
    text,
)

from sagakit.store.rebuild import NOT_REBUILT
from sagakit.store.state_table import TableStore
from services.order.decide import Order, Phase

metadata = MetaData()

orders = Table(
    "orders",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("placed_at", DateTime(timezone=True)),
    Column("reason", Text, nullable=False),
    Column("cancel_reason", Text, nullable=False),
    Column("customer_id", Text, nullable=False, server_default="", index=True),
    Column("in_clear", Boolean, nullable=False, server_default=false()),
    Column("taken", Boolean, nullable=False, server_default=false()),
)

# Like the inbox, this table records requests, not state: a rebuild does not restore it.
idempotency = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("claimed_at", DateTime(timezone=True), nullable=False, index=True),
    info=NOT_REBUILT,
)

# See `vault`. No event carries a key: losing a row here erases the data sealed with its key.
customer_key = Table(
    "customer_key",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("customer_id", Text, nullable=False, index=True),
    Column("key", LargeBinary),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("erased_at", DateTime(timezone=True)),
    Column("actor", Text),
    Column("reason", Text),
    info=NOT_REBUILT,
    # An erased key stays in a dead row until that is vacuumed: at the next round, not at 20 %.
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "0"},
)
Index(
    "customer_key_current",
    customer_key.c.customer_id,
    unique=True,
    postgresql_where=customer_key.c.key.is_not(None),
)

KEEP_KEYS = "30 days"
_FORGET = text(
    "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency"
    f" WHERE claimed_at < :now - interval '{KEEP_KEYS}' LIMIT 100 FOR UPDATE SKIP LOCKED)"
)
_CLAIM = text(
    "INSERT INTO idempotency (key, digest, claimed_at) VALUES (:key, :digest, :now)"
    " ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING digest"
)


KeyedRequest = tuple[str, str]
"""An Idempotency-Key, and the digest of the request that is sent under it."""


def store() -> TableStore[Order]:
    """Return the store of order states."""
    return TableStore(orders, Order, {"phase": Phase})


class IdempotencyKeys:
    """Remembers the request that first used an Idempotency-Key, for 30 days."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, requests: Sequence[KeyedRequest], now: datetime) -> list[bool]:
        """Bind keys to requests; tell of each whether its key is not bound to another one."""
        bound: dict[KeyedRequest, bool] = {}
        with self._engine.begin() as connection:
            connection.execute(_FORGET, {"now": now})
            for key, digest in sorted(requests):  # in one order, else two who claim may deadlock
                row = {"key": key, "digest": digest, "now": now}
                bound[key, digest] = connection.execute(_CLAIM, row).scalar_one() == digest
        return [bound[request] for request in requests]
