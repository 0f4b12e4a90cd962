"""Defines loyalty's table: one row per order. A card's points are the sum over its orders."""

from sqlalchemy import BigInteger, Column, Engine, MetaData, Table, Text, text

from sagakit.store.state_table import TableStore
from services.loyalty.decide import Phase, Points

metadata = MetaData()

points = Table(
    "points",
    metadata,
    Column("saga", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("loyalty_card", Text, index=True),
    Column("points", BigInteger, nullable=False),
)
CARD_TOTALS = text(
    "SELECT count(*), coalesce(sum(points), 0) FROM points WHERE loyalty_card = :card"
)


def store() -> TableStore[Points]:
    """Return the store of loyalty states."""
    return TableStore(points, Points, {"phase": Phase})


def card_totals(engine: Engine, card: str) -> tuple[int, int]:
    """Return the number of orders that brought points to a card, and the points."""
    with engine.connect() as connection:
        orders, total = connection.execute(CARD_TOTALS, {"card": card}).one()
        return int(orders), int(total)
