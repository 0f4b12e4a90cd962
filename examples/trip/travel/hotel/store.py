"""Defines hotel's table: one row per trip."""

from sqlalchemy import Boolean, Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from sagakit import TableStore
from travel.hotel.decide import Captured, Hotel, Phase
from travel.payload import stay_from, trip_from

metadata = MetaData()

stay = Table(
    "stay",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("trip_id", Text),
    Column("trip", JSONB),
    Column("wanted", JSONB),
    Column("held", JSONB),
    Column("hold_id", Text),
    Column("closed", Boolean, nullable=False),
    Column("taken", JSONB),
    Column("reason", Text, nullable=False),
)


def store() -> TableStore[Hotel]:
    """Return the store of hotel's states."""
    facts = {"trip": trip_from, "wanted": stay_from, "held": stay_from}
    return TableStore(stay, Hotel, {"phase": Phase, "taken": Captured.from_row, **facts})
