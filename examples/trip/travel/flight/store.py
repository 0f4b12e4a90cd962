"""Defines flight's table: one row per trip."""

from sqlalchemy import Boolean, Column, MetaData, Table, Text

from sagakit import TableStore
from travel.flight.decide import Flight, Phase

metadata = MetaData()

ticket = Table(
    "ticket",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("paid", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
)


def store() -> TableStore[Flight]:
    """Return the store of flight's states."""
    return TableStore(ticket, Flight, {"phase": Phase})
