"""Inventory's tables in a real PostgreSQL: a hot SKU, sorted locks, and the double held to it."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

import services.inventory
from sagakit.decider import Command, Do, Observed, Trigger, Undo, fold
from sagakit.store.connections import Connections
from sagakit.store.memory import MemoryDatabase
from sagakit.store.migrate import migrate
from sagakit.store.ports import Changes, Transaction
from sagakit.store.postgres import PostgresDatabase, engine_for
from schemas.events import (
    InventoryRejected,
    InventoryReserved,
    OrderFacts,
    OrderLine,
    OrderPlaced,
    PaymentDeclined,
    ShipmentPickedUp,
)
from services.inventory.decide import Reservation, decide, evolve
from services.inventory.store import InventoryStore, MemoryInventoryStore, StockReader

NOW = datetime(2026, 1, 2, tzinfo=UTC)
THREADS = 8
KeyedTrigger = tuple[str, Trigger]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_for(database_url, pool_size=THREADS)
    migrate(made, Path(services.inventory.__file__).parent / "migrations")
    yield made
    made.dispose()


def facts(units: dict[str, int]) -> OrderFacts:
    return OrderFacts(
        customer_id="c1",
        email="ada@customer.example",
        currency="EUR",
        total_minor=sum(units.values()),
        lines=tuple(OrderLine(sku=s, quantity=q, unit_price_minor=1) for s, q in units.items()),
        card_token="tok_ok",
        ship_to="1 Main Street",
    )


def order(order_id: str, **units: int) -> KeyedTrigger:
    placed = OrderPlaced(order_id=order_id, order=facts(units), placed_at=NOW)
    return order_id, Do(placed)


def undo(order_id: str) -> KeyedTrigger:
    return order_id, Undo(PaymentDeclined(order_id=order_id, code="x", reason="x"), "x")


def pickup(order_id: str) -> KeyedTrigger:
    event = ShipmentPickedUp(order_id=order_id, order=facts({}), label_id="lb", tracking="T")
    return order_id, Observed("ShipmentPickedUp", event)


def restock(sku: str, quantity: int) -> KeyedTrigger:
    return f"sku:{sku}", Command("restock", "bob", "so", {"sku": sku, "quantity": quantity})


def decided(transaction: Transaction[Reservation], batch: Sequence[KeyedTrigger]) -> list[Any]:
    """What the kit's handler does with a batch."""
    wanted: dict[str, list[Trigger]] = {}
    for key, trigger in batch:
        wanted.setdefault(key, []).append(trigger)
    inbox_rows = transaction.lock(sorted(wanted))
    working = transaction.load(wanted)
    events: list[Any] = []
    for key, trigger in batch:
        state = working.get(key)
        decision = decide(state, trigger, NOW)
        working.put(key, fold(evolve, state, decision.events), decision.events)
        events += decision.events
    transaction.write(Changes(inbox_rows=list(inbox_rows.values())), working)
    return events


@cache
def database(engine: Engine) -> PostgresDatabase[Reservation]:
    return PostgresDatabase(engine, InventoryStore(), lambda: NOW)


def run(engine: Engine, *batch: KeyedTrigger) -> list[Any]:
    """One batch in one transaction."""
    with database(engine).transaction() as transaction:
        return decided(transaction, batch)


def units(engine: Engine, sku: str) -> tuple[int, int, int, int]:
    (row,) = StockReader(engine).page(sku, "", 1)
    return row["on_hand"], row["reserved"], row["shipped"], row["put_in"]


def of(kind: type, events: Sequence[Any]) -> int:
    return sum(isinstance(event, kind) for event in events)


def at_once(engine: Engine, batches: Sequence[Sequence[KeyedTrigger]]) -> list[Any]:
    """All batches, on several connections at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        return [e for events in pool.map(lambda b: run(engine, *b), batches) for e in events]


def test_a_hot_sku_gives_out_exactly_what_is_there(engine: Engine) -> None:
    run(engine, restock("tea", 100))
    batches = [[order(f"o{b}-{i}", tea=1) for i in range(8)] for b in range(40)]
    events = at_once(engine, batches)
    assert (of(InventoryReserved, events), of(InventoryRejected, events)) == (100, 220)
    assert units(engine, "tea") == (0, 100, 0, 100)


def test_orders_over_many_skus_in_any_order_never_dead_lock(engine: Engine) -> None:
    rng = random.Random(7)
    skus = [f"s{i}" for i in range(12)]
    run(engine, *(restock(sku, 150) for sku in skus))
    batches = []
    for b in range(60):
        picks = [rng.sample(skus, 4) for _ in range(8)]
        batches.append([order(f"o{b}-{i}", **dict.fromkeys(p, 1)) for i, p in enumerate(picks)])
    events = at_once(engine, batches)
    at_once(engine, [[undo(f"o{b}-{i}") for i in (7, 3, 5)] for b in range(60)])
    assert of(InventoryReserved, events) > 400
    for sku in skus:
        on_hand, reserved, shipped, put_in = units(engine, sku)
        assert on_hand + reserved + shipped == put_in == 150
        assert min(on_hand, reserved, shipped) >= 0


def test_many_put_in_the_first_units_of_a_sku_at_once(engine: Engine) -> None:
    batches = [[restock("cup", 3), restock("tea", 2), restock("cup", 1)] for _ in range(40)]
    at_once(engine, batches)
    assert units(engine, "tea") == (80, 0, 0, 80)
    assert units(engine, "cup") == (160, 0, 0, 160)


def test_new_stock_and_an_order_for_it_in_one_batch(engine: Engine) -> None:
    run(engine, restock("tea", 5), order("o1", tea=3), order("o2", tea=3))
    assert units(engine, "tea") == (2, 3, 0, 5)
    run(engine, undo("o1"), order("o3", tea=5), pickup("o3"))
    assert units(engine, "tea") == (0, 0, 5, 5)


def test_a_hostile_sku_is_rejected_and_harms_nobody(engine: Engine) -> None:
    events = run(engine, order("o1", **{"a\0b": 1}), restock("tea", 1), order("o2", tea=1))
    assert [e.code for e in events if isinstance(e, InventoryRejected)] == ["invalid"]
    assert units(engine, "tea") == (0, 1, 0, 1)


def test_looking_at_a_state_locks_nothing(engine: Engine) -> None:
    run(engine, restock("tea", 5), order("o1", tea=3))
    with engine.begin() as busy:
        busy.execute(text("SELECT * FROM stock FOR UPDATE"))
        with Connections(engine).use() as reader, reader.transaction():
            reader.execute("SET LOCAL lock_timeout = '1s'")
            working = InventoryStore().load(reader, {"o1": [Observed("read", None)]})
            assert working.get("o1").lines[0].quantity == 3


def test_the_database_itself_refuses_less_than_nothing(engine: Engine) -> None:
    run(engine, restock("tea", 1))
    with pytest.raises(Exception, match="stock_on_hand_check"), engine.begin() as connection:
        connection.execute(text("UPDATE stock SET on_hand = on_hand - 2"))


def test_the_double_and_postgres_agree(engine: Engine) -> None:
    rng, double = random.Random(11), MemoryInventoryStore()
    skus, keys = ["tea", "cup", "pot"], [f"o{i}" for i in range(12)]

    def one() -> KeyedTrigger:
        key, sku = rng.choice(keys), rng.choice(skus)
        some = dict.fromkeys(rng.sample(skus, 2), rng.randint(1, 4))
        choices = [order(key, **some), undo(key), pickup(key), restock(sku, rng.randint(1, 9))]
        return rng.choice(choices)

    for _ in range(60):
        batch = [one() for _ in range(rng.randint(1, 6))]
        with MemoryDatabase(double, NOW).transaction() as transaction:
            events = decided(transaction, batch)
        assert events == run(engine, *batch)
    with Connections(engine).use() as connection:
        rows = {row["sku"]: row for row in StockReader(engine).page(None, "", 100)}
        working = InventoryStore().load(connection, {key: [Observed("read", None)] for key in keys})
        for key in keys:
            kept = double.reservations.get(key, Reservation())
            assert working.get(key) == replace(kept, on_hand={})
    for sku, stock in double.stock.items():
        assert (rows[sku]["on_hand"], rows[sku]["put_in"]) == (stock.on_hand, stock.put_in)
