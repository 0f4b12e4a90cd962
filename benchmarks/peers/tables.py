"""Creates the peers' tables and checks them after a run.

They must hold the required end of every order."""

from collections import Counter
from collections.abc import Mapping, Sequence

import psycopg

from benchmarks.figures import WrongEnds
from benchmarks.orders import kinds_of, run_of
from shop.workload import ShopOrder
from shop.workload.orders import stock_for

_DONE = "create table done (key text primary key, answer text not null)"
_TABLES = {
    "order": ("create table placed (order_id text primary key, facts jsonb not null)",),
    "inventory": (
        "create table stock (sku text primary key, on_hand bigint not null check (on_hand >= 0), "
        "reserved bigint not null check (reserved >= 0))",
        "create table reservation (order_id text primary key, phase text not null, lines jsonb)",
    ),
    "payment": (
        "create table ledger (order_id text, kind text, amount_minor bigint not null, "
        "currency text not null, primary key (order_id, kind))",
    ),
    "shipping": (
        "create table shipment (order_id text primary key, ship_to text not null, "
        "tracking text not null, picked_up boolean not null default true, facts jsonb)",
    ),
    "notification": (
        "create table mail (order_id text, kind text, address text not null, "
        "primary key (order_id, kind))",
    ),
}
_ROWS = {
    "ledger": ("payment", "kind = 'charge'"),
    "shipment": ("shipping", "picked_up"),
    "mail": ("notification", "kind = 'shipped'"),
}
"""Table -> its service, and the condition under which each completed order has one row there."""


class PeerTables:
    """The peers' tables in their databases.

    `urls`: service -> URL; one URL may serve all. The order API's is missing where none runs.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls

    def create(self) -> None:
        """Create the tables."""
        for name, url in self._urls.items():
            with psycopg.connect(url) as connection:
                for statement in _TABLES[name]:
                    connection.execute(statement)
        for url in dict.fromkeys(self._urls.values()):
            with psycopg.connect(url) as connection:
                connection.execute(_DONE)

    def stock(self, orders: Sequence[ShopOrder]) -> None:
        """Add to the stock the units that these orders may need."""
        with psycopg.connect(self._urls["inventory"]) as connection:
            connection.cursor().executemany(
                "insert into stock values (%s, %s, 0) on conflict (sku) "
                "do update set on_hand = stock.on_hand + excluded.on_hand",
                sorted(stock_for(orders).items()),
            )

    def ends(self, orders: Sequence[ShopOrder]) -> dict[str, int]:
        """Return orders per kind, after checking that the tables hold exactly the required rows.

        Raises `WrongEnds`.
        """
        ids = {
            kind: sorted(order.order_id for order in orders if order.kind.name == kind)
            for kind in ("plain", "declined", "out_of_stock")
        }
        phases = {"plain": "reserved", "declined": "released", "out_of_stock": "rejected"}
        wanted = {i: phase for kind, phase in phases.items() for i in ids[kind]}
        found = dict(self._rows("inventory", "reservation", "phase", "true", orders))
        self._same("reservation", found, wanted)
        for table, (service, condition) in _ROWS.items():
            rows = sorted(i for i, _ in self._rows(service, table, "1", condition, orders))
            self._same(table, rows, ids["plain"])
        self._check_stock()
        return kinds_of(orders)

    def _rows(
        self, service: str, table: str, column: str, condition: str, orders: Sequence[ShopOrder]
    ) -> list[tuple[str, str]]:
        with psycopg.connect(self._urls[service]) as connection:
            return connection.execute(
                f"select order_id, {column} from {table} where {condition} and order_id like %s",
                [f"{run_of(orders)}%"],
            ).fetchall()

    def _same(self, table: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise WrongEnds(f"table {table} holds {found}, not {wanted}"[:1000])

    def _check_stock(self) -> None:
        """Check that the reserved stock of each SKU equals the units of the open reservations."""
        with psycopg.connect(self._urls["inventory"]) as connection:
            still_reserved = connection.execute(
                "select line ->> 'sku', (line ->> 'quantity')::bigint "
                "from reservation, jsonb_array_elements(lines) line where phase = 'reserved'"
            ).fetchall()
            reserved = connection.execute("select sku, reserved from stock where reserved > 0")
            wanted = Counter[str]()
            for sku, quantity in still_reserved:
                wanted[sku] += quantity
            self._same("stock", dict(reserved.fetchall()), dict(wanted))
