"""Inventory's tables: one row an order, one row a SKU."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Connection, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from sagakit.decision import Do, Trigger, Verdict
from sagakit.ports import Working
from sagakit.tables import TableStore
from schemas.events import StockLine
from services.inventory.decide import Level, Phase, Reservation, moved, moves

metadata = MetaData()

reservation = Table(
    "reservation",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("email", Text),
)
stock = Table(
    "stock",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("on_hand", BigInteger, CheckConstraint("on_hand >= 0"), nullable=False),
    Column("reserved", BigInteger, CheckConstraint("reserved >= 0"), nullable=False),
    Column("shipped", BigInteger, CheckConstraint("shipped >= 0"), nullable=False),
    Column("put_in", BigInteger, CheckConstraint("put_in >= 0"), nullable=False),
)

CODECS: dict[str, Any] = {
    "phase": (str, Phase),
    "lines": (
        lambda lines: [asdict(x) for x in lines],
        lambda rows: tuple(StockLine.from_dict(row) for row in rows),
    ),
}
LOCK_STOCK = text(
    "SELECT sku, on_hand, reserved, shipped, put_in FROM stock WHERE sku = ANY(:skus) "
    "ORDER BY sku FOR UPDATE"
)
MAKE_STOCK = text("""
    INSERT INTO stock (sku, on_hand, reserved, shipped, put_in)
    SELECT u.sku, 0, 0, 0, 0 FROM unnest(CAST(:skus AS text[])) AS u (sku)
    ON CONFLICT (sku) DO NOTHING
""")
SAVE_STOCK = text("""
    UPDATE stock
    SET on_hand = n.on_hand, reserved = n.reserved, shipped = n.shipped, put_in = n.put_in
    FROM unnest(
        CAST(:sku AS text[]), CAST(:on_hand AS bigint[]), CAST(:reserved AS bigint[]),
        CAST(:shipped AS bigint[]), CAST(:put_in AS bigint[])
    ) AS n (sku, on_hand, reserved, shipped, put_in)
    WHERE stock.sku = n.sku
""")
LIST_STOCK = text(
    "SELECT sku, on_hand, reserved, shipped, put_in FROM stock "
    "WHERE CAST(:sku AS text) IS NULL OR sku = :sku ORDER BY sku"
)


class InventoryStore:
    """See `sagakit.ports.Store`."""

    def __init__(self) -> None:
        self.metadata = metadata
        self._rows = TableStore(reservation, Reservation, CODECS, views=("on_hand", "in_flight"))

    def load(self, connection: Connection, wanted: Mapping[str, Sequence[Trigger]]) -> "Book":
        """Reservations of the orders, and the stock of all SKUs they are about, locked in order."""
        rows = self._rows.load(connection, wanted)
        about = {key: _skus(rows.get(key), triggers) for key, triggers in wanted.items()}
        skus = sorted(set().union(*about.values()))
        if new := _put_in(wanted):
            connection.execute(MAKE_STOCK, {"skus": new})
        found = connection.execute(LOCK_STOCK, {"skus": skus}) if skus else ()
        return Book(rows, {row[0]: Level(*row[1:]) for row in found}, about)


class Book:
    """See `sagakit.ports.Working`: the orders of one batch see each other's reservations."""

    def __init__(
        self,
        rows: Working[Reservation],
        levels: dict[str, Level],
        about: Mapping[str, Iterable[str]],
    ) -> None:
        self._rows, self._about = rows, about
        self.levels = levels
        self._changed: set[str] = set()

    def get(self, key: str) -> Reservation:
        """The reservation with the stock as this batch leaves it so far."""
        on_hand = {sku: self._level(sku).on_hand for sku in self._about.get(key, ())}
        return replace(self._rows.get(key), on_hand=on_hand)

    def put(self, key: str, state: Reservation, events: tuple[Any, ...]) -> None:
        """The state, and what its events move."""
        if not key.startswith("sku:"):
            self._rows.put(key, state, events)
        for event in events:
            for sku, move in moves(event).items():
                self.levels[sku] = moved(self._level(sku), move)
                self._changed.add(sku)

    def _level(self, sku: str) -> Level:
        return self.levels.get(sku, Level())

    def save(self, connection: Connection) -> None:
        """Both tables, set-based, SKUs in sorted order."""
        self._rows.save(connection)
        if self._changed:
            skus = sorted(self._changed)
            columns: dict[str, list[Any]] = defaultdict(list)
            for sku in skus:
                columns["sku"].append(sku)
                for name, units in asdict(self.levels[sku]).items():
                    columns[name].append(units)
            connection.execute(SAVE_STOCK, dict(columns))


class MemoryInventoryStore:
    """The double: the same book on dicts."""

    def __init__(self) -> None:
        self.metadata = MetaData()
        self.states: dict[str, Reservation] = {}
        self.stock: dict[str, Level] = {}

    def load(self, connection: Connection, wanted: Mapping[str, Sequence[Trigger]]) -> Book:
        """See `sagakit.ports.Store`."""
        rows = _MemoryRows(self)
        about = {key: _skus(rows.get(key), triggers) for key, triggers in wanted.items()}
        return _MemoryBook(self, rows, dict(self.stock), about)


class _MemoryRows:
    def __init__(self, store: MemoryInventoryStore) -> None:
        self._store = store
        self._changed: dict[str, Reservation] = {}

    def get(self, key: str) -> Reservation:
        return self._changed.get(key, self._store.states.get(key, Reservation()))

    def put(self, key: str, state: Reservation, events: tuple[Any, ...]) -> None:
        self._changed[key] = replace(state, on_hand={}, in_flight=frozenset())

    def save(self, connection: Connection) -> None:
        self._store.states.update(self._changed)


class _MemoryBook(Book):
    def __init__(
        self,
        store: MemoryInventoryStore,
        rows: _MemoryRows,
        levels: dict[str, Level],
        about: Mapping[str, Iterable[str]],
    ) -> None:
        super().__init__(rows, levels, about)
        self._store, self._memory = store, rows

    def save(self, connection: Connection) -> None:
        self._memory.save(connection)
        self._store.stock = self.levels


def _skus(state: Reservation, triggers: Sequence[Trigger]) -> set[str]:
    """What an order's triggers may look at or move."""
    found = {line.sku for line in state.lines}
    for trigger in triggers:
        event = getattr(trigger, "event", None)
        if isinstance(trigger, Verdict):
            found |= {str(trigger.data["sku"])} if isinstance(trigger.data, dict) else set()
        elif isinstance(trigger, Do):
            found |= {line.sku for line in event.order.lines} if event else set()
        else:
            found |= moves(event).keys()
    return found


def _put_in(wanted: Mapping[str, Sequence[Trigger]]) -> list[str]:
    """SKUs that stock may be put in of: their rows are made before they are locked."""
    keys = (key.removeprefix("sku:") for key in wanted if key.startswith("sku:"))
    return sorted(keys)
