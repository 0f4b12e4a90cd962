"""Defines fraud's table: one row per order."""

from sqlalchemy import Column, MetaData, Table, Text

from sagakit.store.state_table import TableStore
from services.fraud.decide import Phase, Screening

metadata = MetaData()

screening = Table(
    "screening",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("email", Text),
)


def store() -> TableStore[Screening]:
    """Return the store of fraud states."""
    return TableStore(screening, Screening, {"phase": Phase})
