"""Defines car's table: one row per trip."""

from sqlalchemy import Column, MetaData, Table, Text

from sagakit import TableStore
from travel.car.decide import Car, Phase

metadata = MetaData()

reservation = Table(
    "reservation",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("reason", Text, nullable=False),
)


def store() -> TableStore[Car]:
    """Return the store of car's states."""
    return TableStore(reservation, Car, {"phase": Phase})
