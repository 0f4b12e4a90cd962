"""Defines itinerary's table: one row per trip."""

from sqlalchemy import Boolean, Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from sagakit import TableStore
from travel.itinerary.decide import Itinerary
from travel.payload import stay_from, trip_from

metadata = MetaData()

itinerary = Table(
    "itinerary",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("trip", JSONB),
    Column("stay", JSONB),
    Column("cancelled", Boolean, nullable=False),
    Column("notified", JSONB, nullable=False),
)


def store() -> TableStore[Itinerary]:
    """Return the store of itinerary's states."""
    return TableStore(
        itinerary, Itinerary, {"trip": trip_from, "stay": stay_from, "notified": frozenset}
    )
