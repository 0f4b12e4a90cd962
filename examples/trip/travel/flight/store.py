"""Defines flight's table: one row per trip."""

from sqlalchemy import Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from sagakit import TableStore
from travel.flight.decide import Booked, Flight, Phase

metadata = MetaData()

ticket = Table(
    "ticket",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("ticket", JSONB),
    Column("reason", Text, nullable=False),
)


def store() -> TableStore[Flight]:
    """Return the store of flight's states."""
    return TableStore(ticket, Flight, {"phase": Phase, "ticket": Booked.from_row})
