"""Defines shipping's table: one row per order."""

from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from sagakit.store.state_table import TableStore
from schemas.events import OrderFacts
from services.shipping.decide import Phase, Shipment

metadata = MetaData()

shipment = Table(
    "shipment",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("facts", JSONB),
    Column("label_id", Text),
    Column("tracking", Text),
    Column("reason", Text, nullable=False),
    Column("parcels", Integer, nullable=False),
    Column("picked", JSONB, nullable=False),
)

BOOKS = {
    "shipments": text(
        "SELECT saga, label_id, phase IN ('labelled', 'partly_picked_up') AS labelled, "
        "phase = 'picked_up' AS gone FROM shipment "
        "WHERE saga > :after ORDER BY saga LIMIT :limit"
    )
}


def _facts(row: dict[str, Any] | None) -> OrderFacts | None:
    return None if row is None else OrderFacts.from_dict(row)


def store() -> TableStore[Shipment]:
    """Return the store of shipping states."""
    return TableStore(shipment, Shipment, {"phase": Phase, "facts": _facts, "picked": tuple})
