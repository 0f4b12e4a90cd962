"""Defines dispatch's table: one row for each saga, a column for each field of the state."""

from sagakit import TableStore
from sqlalchemy import Column, MetaData, Table, Text

from dispatch.decide import Phase, Reservation

metadata = MetaData()

reservation = Table(
    "reservation",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("runner", Text, nullable=False),
)


def store() -> TableStore[Reservation]:
    """Return the store of dispatch's states."""
    return TableStore(reservation, Reservation, {"phase": Phase})
