"""Defines giftwrap's table: one row per order."""

from sqlalchemy import Column, MetaData, Table, Text

from sagakit import TableStore
from services.giftwrap.decide import Gift, Phase

metadata = MetaData()

gift = Table(
    "gift",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("reason", Text, nullable=False),
)


def store() -> TableStore[Gift]:
    """Return the store of giftwrap's states."""
    return TableStore(gift, Gift, {"phase": Phase})
