"""Defines notification's table: one row per order."""

from collections.abc import Iterable

from sqlalchemy import Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from sagakit.store.state_table import TableStore
from services.notification.decide import Mailing, MailKind

metadata = MetaData()

mailing = Table(
    "mailing",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("sent", JSONB, nullable=False),
)


def _kinds(row: Iterable[str]) -> frozenset[MailKind]:
    return frozenset(MailKind(kind) for kind in row)


def store() -> TableStore[Mailing]:
    """Return the store of notification states."""
    return TableStore(mailing, Mailing, {"sent": _kinds})
