"""Defines inventory's tables: one reservation per order, and the stock all orders share.

The stock is the fold of the own events of all orders; `WorkingSet` does that arithmetic without
SQL, and both stores use it. Orders of one batch see each other's reservations: the stock is read
under lock at the load and kept in memory until the save.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from psycopg import Connection
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Engine,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from sagakit.decider import Command, Do, Observed, Trigger, Undo
from sagakit.identity import id_fault
from sagakit.store.json_rows import KEYS, as_json, driver_sql, recordset, rows_of
from schemas.events import (
    InventoryReleased,
    InventoryReserved,
    InventoryShipped,
    ShipmentPickedUp,
    StockLine,
    StockReceived,
)
from schemas.rules import MAX_SKU
from services.inventory.decide import Phase, Reservation, sum_lines

metadata = MetaData()

reservation = Table(
    "reservation",
    metadata,
    Column("saga", Text, primary_key=True),
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
    Column("shipped", BigInteger, nullable=False),
    Column("put_in", BigInteger, nullable=False),
)

# --- the arithmetic, without SQL ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stock:
    """The units of one SKU. on_hand + reserved + shipped = put_in, none negative."""

    on_hand: int = 0
    reserved: int = 0
    shipped: int = 0
    put_in: int = 0


Write = Callable[[Connection[Any], Mapping[str, Reservation], Mapping[str, Stock]], None]
NO_STOCK = Stock()


class WorkingSet:
    """The states of one batch; see `ports.Working`. `skus`: by order, the SKUs it may touch."""

    def __init__(
        self,
        reservations: dict[str, Reservation],
        units: dict[str, Stock],
        skus: Mapping[str, Iterable[str]],
        write: Write,
    ) -> None:
        self._reservations, self._units, self._skus, self._write = reservations, units, skus, write
        self._changed_keys: set[str] = set()
        self._changed_skus: set[str] = set()

    def get(self, key: str) -> Reservation:
        """See `ports.Working`."""
        on_hand = {sku: self._stock(sku).on_hand for sku in self._skus.get(key, ())}
        return replace(self._reservations.get(key, Reservation()), on_hand=on_hand)

    def put(self, key: str, state: Reservation, events: tuple[Any, ...]) -> None:
        """See `ports.Working`."""
        self._reservations[key] = state
        for event in events:
            self._count(event)
            if not isinstance(event, StockReceived):
                self._changed_keys.add(key)

    def save(self, connection: Connection[Any]) -> None:
        """See `ports.Working`."""
        self._write(
            connection,
            {key: self._reservations[key] for key in sorted(self._changed_keys)},
            {sku: self._units[sku] for sku in sorted(self._changed_skus)},
        )

    def _stock(self, sku: str) -> Stock:
        return self._units.get(sku, NO_STOCK)

    def _count(self, event: Any) -> None:
        """Apply an own event, of any order, to the stock."""
        match event:
            case InventoryReserved(order=order):
                self._move(sum_lines(order), on_hand=-1, reserved=1)
            case InventoryReleased(lines=lines):
                self._move(lines, reserved=-1, on_hand=1)
            case InventoryShipped(lines=lines):
                self._move(lines, reserved=-1, shipped=1)
            case StockReceived(sku=sku, quantity=quantity):
                self._move((StockLine(sku=sku, quantity=quantity),), put_in=1, on_hand=1)

    def _move(self, lines: Iterable[StockLine], **signs: int) -> None:
        for line in lines:
            before = self._stock(line.sku)
            after = {
                name: getattr(before, name) + sign * line.quantity for name, sign in signs.items()
            }
            self._units[line.sku] = replace(before, **after)
            self._changed_skus.add(line.sku)


def skus_of(state: Reservation, triggers: Iterable[Trigger]) -> set[str]:
    """Return the SKUs whose stock these triggers may read or change."""
    skus: set[str] = set()
    for trigger in triggers:
        match trigger:
            case Do(event) if state.phase is Phase.NEW:
                skus |= {line.sku for line in event.order.lines}
            case Undo() | Observed(event=ShipmentPickedUp()):
                skus |= {line.sku for line in state.lines}
            case Command(name="restock", data={"sku": str(sku)}):
                skus.add(sku)
    return {sku for sku in skus if id_fault(sku, MAX_SKU) is None}


# --- PostgreSQL -----------------------------------------------------------------------------------

_RESERVATION = ("saga", "phase", "lines", "email")
_STOCK = ("sku", "on_hand", "reserved", "shipped", "put_in")

RESERVATIONS = driver_sql(
    f"SELECT phase, lines, email, saga FROM reservation WHERE saga = ANY({KEYS})"
)
LOCK_STOCK = driver_sql(
    f"SELECT {', '.join(_STOCK)} FROM stock WHERE sku = ANY({KEYS}) ORDER BY sku FOR UPDATE"
)
SAVE_RESERVATIONS = driver_sql(
    f"INSERT INTO reservation ({', '.join(_RESERVATION)}) "
    f"SELECT * FROM {recordset(reservation, _RESERVATION)} ON CONFLICT (saga) DO UPDATE "
    "SET phase = excluded.phase, lines = excluded.lines, email = excluded.email"
)
UPDATE_STOCK = driver_sql(
    f"UPDATE stock SET {', '.join(f'{c} = n.{c}' for c in _STOCK[1:])} "
    f"FROM {recordset(stock, _STOCK)} WHERE stock.sku = n.sku"
)
# A SKU without stock has no row to lock: if two batches add the same one, their units add up.
ADD_STOCK = driver_sql(
    f"INSERT INTO stock ({', '.join(_STOCK)}) SELECT * FROM {recordset(stock, _STOCK)} "
    "ORDER BY sku ON CONFLICT (sku) DO UPDATE SET "
    + ", ".join(f"{c} = stock.{c} + excluded.{c}" for c in _STOCK[1:])
)
LIST_STOCK = text(
    f"SELECT {', '.join(_STOCK)} FROM stock "
    "WHERE (CAST(:sku AS text) IS NULL OR sku = :sku) AND sku > :after ORDER BY sku LIMIT :limit"
)

# One statement reads one snapshot, so orders may be handled meanwhile.
BOOKS = {
    "stock": text(
        "SELECT sku, coalesce(on_hand, 0) AS on_hand, coalesce(reserved, 0) AS reserved, "
        "coalesce(shipped, 0) AS shipped, coalesce(put_in, 0) AS put_in, "
        "coalesce(orders_hold, 0) AS orders_hold, coalesce(orders_shipped, 0) AS orders_shipped "
        "FROM stock FULL JOIN (SELECT line ->> 'sku' AS sku, "
        "CAST(coalesce(sum(CAST(line ->> 'quantity' AS bigint)) "
        "FILTER (WHERE phase = 'reserved'), 0) AS bigint) AS orders_hold, "
        "CAST(coalesce(sum(CAST(line ->> 'quantity' AS bigint)) "
        "FILTER (WHERE phase = 'shipped'), 0) AS bigint) AS orders_shipped "
        "FROM reservation, jsonb_array_elements(lines) AS line "
        "WHERE phase IN ('reserved', 'shipped') GROUP BY 1) AS kept USING (sku) "
        "WHERE sku > :after ORDER BY sku LIMIT :limit"
    ),
    "reservations": text(
        "SELECT saga, phase = 'reserved' AS reserved, phase = 'shipped' AS shipped "
        "FROM reservation WHERE saga > :after ORDER BY saga LIMIT :limit"
    ),
}


class InventoryStore:
    """Stores reservations and stock in PostgreSQL; see `ports.Store`."""

    metadata = metadata

    def load(
        self, connection: Connection[Any], wanted: Mapping[str, Sequence[Trigger]]
    ) -> WorkingSet:
        """Load reservations, then the stock of every SKU they or their triggers touch. Rows are
        locked in sorted order, so batches that share SKUs wait for each other and cannot deadlock.
        """
        keys = {"keys": as_json(list(wanted))}
        rows = connection.execute(RESERVATIONS, keys).fetchall() if wanted else []
        states = {saga: _reservation(*row) for *row, saga in rows}
        skus = {
            key: skus_of(states.get(key, Reservation()), triggers)
            for key, triggers in wanted.items()
        }
        touched = sorted(set().union(*skus.values()))
        asked = {"keys": as_json(touched)}
        locked = connection.execute(LOCK_STOCK, asked).fetchall() if touched else []
        units = {sku: Stock(*numbers) for sku, *numbers in locked}
        return WorkingSet(states, units, skus, _Save(set(units)))


@dataclass(frozen=True, slots=True)
class _Save:
    """Writes a working set. `locked`: SKUs whose row exists and is locked by this transaction."""

    locked: set[str]

    def __call__(
        self,
        connection: Connection[Any],
        reservations: Mapping[str, Reservation],
        units: Mapping[str, Stock],
    ) -> None:
        if reservations:
            connection.execute(SAVE_RESERVATIONS, rows_of(_reservation_rows(reservations)))
        for statement, known in ((UPDATE_STOCK, True), (ADD_STOCK, False)):
            chosen = {sku: s for sku, s in units.items() if (sku in self.locked) is known}
            if chosen:
                connection.execute(
                    statement, rows_of([{"sku": sku, **asdict(s)} for sku, s in chosen.items()])
                )


class StockReader:
    """Reads the committed stock for the API. It blocks: call it in a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, sku: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        """Return rows by SKU: `sku`, `on_hand`, `reserved`, `shipped`, `put_in`, all in units."""
        asked = {"sku": sku, "after": after, "limit": limit}
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(LIST_STOCK, asked)]


def _reservation(phase: str, lines: Any, email: str | None) -> Reservation:
    return Reservation(Phase(phase), tuple(StockLine.from_dict(line) for line in lines), email)


def _reservation_rows(states: Mapping[str, Reservation]) -> list[dict[str, Any]]:
    return [
        {
            "saga": saga,
            "phase": state.phase,
            "lines": [line.to_dict() for line in state.lines],
            "email": state.email,
        }
        for saga, state in states.items()
    ]


# --- in memory ------------------------------------------------------------------------------------


class MemoryInventoryStore:
    """Stores the same in two dicts, for pure tests and the simulation; it needs no connection."""

    metadata = metadata

    def __init__(self) -> None:
        self.reservations: dict[str, Reservation] = {}
        self.stock: dict[str, Stock] = {}

    def load(
        self, connection: Connection[Any], wanted: Mapping[str, Sequence[Trigger]]
    ) -> WorkingSet:
        """See `ports.Store`."""
        skus = {
            key: skus_of(self.reservations.get(key, Reservation()), triggers)
            for key, triggers in wanted.items()
        }
        return WorkingSet(dict(self.reservations), dict(self.stock), skus, self._write)

    def _write(
        self,
        connection: Connection[Any],
        reservations: Mapping[str, Reservation],
        units: Mapping[str, Stock],
    ) -> None:
        self.reservations.update(reservations)
        self.stock.update(units)
