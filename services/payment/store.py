"""Defines payment's table: one row per order."""

from typing import Any

from sqlalchemy import Column, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from sagakit.store.state_table import TableStore
from schemas.events import OrderFacts
from services.payment.ledger import Charge, Payment, Phase, PlannedRefund

metadata = MetaData()

payment = Table(
    "payment",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("order_ref", Text, nullable=False),
    Column("facts", JSONB),
    Column("email", Text),
    Column("reason", Text, nullable=False),
    Column("charge_id", Text),
    Column("charges", JSONB, nullable=False),
    Column("refunds", JSONB, nullable=False),
    Column("failed", JSONB, nullable=False),
    Column("disputes", JSONB, nullable=False),
    Column("asked", JSONB),
)

BOOKS = {
    "payments": text(
        "SELECT saga, charges, (facts->>'total_minor')::bigint AS total_minor, "
        "facts->>'currency' AS currency "
        "FROM payment WHERE saga > :after ORDER BY saga LIMIT :limit"
    )
}


def _facts(row: dict[str, Any] | None) -> OrderFacts | None:
    return None if row is None else OrderFacts.from_dict(row)


LOADS: dict[str, Any] = {
    "phase": Phase,
    "facts": _facts,
    "charges": lambda rows: tuple(Charge(**row) for row in rows),
    "refunds": tuple,
    "failed": tuple,
    "asked": lambda row: None if row is None else PlannedRefund(**row),
}


def store() -> TableStore[Payment]:
    """Return the store of payment states."""
    return TableStore(payment, Payment, LOADS)
