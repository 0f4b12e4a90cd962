"""Defines courier's table: one row for each saga, a column for each field of the state."""

from sagakit import TableStore
from sqlalchemy import Column, MetaData, Table, Text

from courier.decide import Job, Phase

metadata = MetaData()

job = Table(
    "job",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
)


def store() -> TableStore[Job]:
    """Return the store of courier's states."""
    return TableStore(job, Job, {"phase": Phase})
