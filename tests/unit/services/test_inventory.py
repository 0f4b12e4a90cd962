"""Inventory: what it answers in every situation, the stock's arithmetic, and its API."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given as generated
from hypothesis import strategies as st

from sagakit.decider import (
    Callback,
    Command,
    Decision,
    Do,
    Effect,
    EffectResult,
    Observed,
    Trigger,
    Undo,
    fold,
)
from sagakit.service.definition import Receipt
from sagakit.store.memory import NO_CONNECTION
from sagakit.store.ports import Participant
from sagakit.testing import NOW, Arrival, DecisionMatrix, emits, given, row_of
from sagakit.web.app import make_app
from schemas.events import (
    InventoryRejected,
    InventoryReleased,
    InventoryReserved,
    InventoryShipped,
    OrderFacts,
    OrderLine,
    OrderPlaced,
    PaymentCaptured,
    PaymentDeclined,
    ShipmentPickedUp,
    StockLine,
    StockReceived,
)
from services.inventory.decide import Phase, Reservation, decide, evolve
from services.inventory.service import api
from services.inventory.store import MemoryInventoryStore, Stock, StockReader
from tests import in_memory_app

INVENTORY = Participant("inventory", decide, evolve, MemoryInventoryStore())
FACTS = OrderFacts(
    customer_id="c1",
    email="ada@customer.example",
    currency="EUR",
    total_minor=3000,
    lines=(
        OrderLine(sku="tea", quantity=2, unit_price_minor=500),
        OrderLine(sku="cup", quantity=1, unit_price_minor=1500),
        OrderLine(sku="tea", quantity=1, unit_price_minor=500),
    ),
    card_token="tok_ok",
    ship_to="1 Main Street",
)
MAIL = FACTS.email
LINES = (StockLine(sku="tea", quantity=3), StockLine(sku="cup", quantity=1))
ENOUGH, SHORT = {"tea": 3, "cup": 1}, {"tea": 2, "cup": 0}
REASON = "no money"

RESERVED = InventoryReserved(order_id="o1", order=FACTS)
REJECTED = InventoryRejected(
    order_id="o1",
    code="out_of_stock",
    reason="tea: 3 wanted, 2 on hand; cup: 1 wanted, 0 on hand",
    skus=("tea", "cup"),
    email=MAIL,
)
INVALID = InventoryRejected(
    order_id="o1",
    code="invalid",
    reason="lines has 0 entries: an order has 1 to 1000",
    skus=(),
    email=MAIL,
)
RELEASED = InventoryReleased(order_id="o1", lines=LINES, reason=REASON, email=MAIL)
AGAIN = replace(RELEASED, lines=())
FENCE = replace(AGAIN, email=None)
SHIPPED = InventoryShipped(order_id="o1", lines=LINES)
RECEIVED = StockReceived(sku="tea", quantity=5, actor="bob", reason="delivery")


def placed(facts: OrderFacts = FACTS) -> Do:
    return Do(OrderPlaced(order_id="o1", order=facts, placed_at=NOW))


def captured(late: bool) -> Do:
    return Do(
        PaymentCaptured(
            order_id="o1",
            order=FACTS,
            charge_id="ch1",
            amount_minor=3000,
            currency="EUR",
            late=late,
        )
    )


def undo(reason: str = REASON, email: str | None = None) -> Undo:
    return Undo(PaymentDeclined(order_id="o1", code="x", reason=reason, email=email), reason)


def restock(data: Any) -> Command:
    return Command("restock", "bob", "delivery", data)


# --- the matrix -----------------------------------------------------------------------------------

STATES: dict[str, tuple[Any, ...]] = {
    "new": (),
    "reserved": (RESERVED,),
    "rejected": (REJECTED,),
    "fenced": (FENCE,),
    "released": (RESERVED, RELEASED),
    "shipped": (RESERVED, SHIPPED),
}
PICKED_UP = ShipmentPickedUp(order_id="o1", order=FACTS, label_id="lb1", tracking="T1")
TRIGGERS: dict[str, Trigger | Arrival] = {
    "do": placed(),
    "do, after the payment": captured(late=False),
    "do, late capture": captured(late=True),
    "do, short": Arrival(placed(), initial=Reservation(on_hand=SHORT)),
    "do, nothing known of the stock": Arrival(placed(), initial=Reservation(on_hand={})),
    "do, invalid": placed(replace(FACTS, lines=())),
    "undo": undo(),
    "undo, address told": undo(email="eve@customer.example"),
    "picked up": Observed("ShipmentPickedUp", PICKED_UP),
    "read": Observed("read", None),
    "restock": restock({"sku": "tea", "quantity": 5}),
    "restock, nonsense": restock({"sku": "tea", "quantity": 0}),
    "other verdict": Command("approve", "bob", "so", {"sku": "tea", "quantity": 5}),
    "callback": Callback(object()),
    "outcome": EffectResult(Effect("x", "x", {}), object()),
}


row = partial(row_of, STATES)
EVERYWHERE = {name: emits(RECEIVED) for name in STATES}
UNKNOWN = replace(REJECTED, reason="tea: 3 wanted, 0 on hand; cup: 1 wanted, 0 on hand")
EVE = "eve@customer.example"
CELLS: dict[str, dict[str, Decision]] = {
    "do": row(new=emits(RESERVED)),
    "do, after the payment": row(new=emits(RESERVED)),
    "do, late capture": row(),
    "do, short": row(new=emits(REJECTED)),
    "do, nothing known of the stock": row(new=emits(UNKNOWN)),
    "do, invalid": row(new=emits(INVALID)),
    "undo": row(
        new=emits(FENCE),
        reserved=emits(RELEASED),
        rejected=emits(AGAIN),
        fenced=emits(FENCE),
        released=emits(AGAIN),
    ),
    "undo, address told": row(
        new=emits(replace(FENCE, email=EVE)),
        reserved=emits(RELEASED),
        rejected=emits(AGAIN),
        fenced=emits(replace(FENCE, email=EVE)),
        released=emits(AGAIN),
    ),
    "picked up": row(reserved=emits(SHIPPED)),
    "read": row(),
    "restock": EVERYWHERE,
    "restock, nonsense": row(),
    "other verdict": row(),
    "callback": row(),
    "outcome": row(),
}


MATRIX = DecisionMatrix(INVENTORY, Reservation(on_hand=ENOUGH), STATES, TRIGGERS, CELLS, Phase)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


# --- stories --------------------------------------------------------------------------------------


def test_the_straight_way_and_every_step_twice() -> None:
    reserved = MATRIX.given("new").when(placed()).then(RESERVED).when(placed()).then_nothing()
    pickup = Observed("ShipmentPickedUp", PICKED_UP)
    shipped = reserved.when(pickup).then(SHIPPED).when(pickup).then_nothing()
    shipped.when(undo()).then_nothing()


def test_undo_before_do_leaves_a_fence() -> None:
    MATRIX.given("new").when(undo()).then(FENCE).when(placed()).then_nothing().when(undo()).then(
        FENCE
    )


def test_lines_of_one_sku_are_added_up_before_they_are_compared() -> None:
    given(INVENTORY, Reservation(on_hand={"tea": 2, "cup": 1})).when(placed()).then(
        replace(REJECTED, reason="tea: 3 wanted, 2 on hand", skus=("tea",))
    )


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        "tea",
        {"sku": "tea"},
        {"sku": "tea", "quantity": 10**9 + 1},
        {"sku": "tea", "quantity": True},
        {"sku": "tea", "quantity": 1.5},
        {"sku": "", "quantity": 1},
        {"sku": " ", "quantity": 1},
        {"sku": "a\0b", "quantity": 1},
        {"sku": "x" * 125, "quantity": 1},
        {"sku": 7, "quantity": 1},
    ],
)
def test_what_is_no_stock_is_not_put_in(data: Any) -> None:
    MATRIX.given("new").when(restock(data)).then_nothing()


def test_reasons_are_stored_without_control_characters() -> None:
    MATRIX.given("new").when(undo("a\0b")).then(replace(FENCE, reason="a b"))


def test_a_rejection_of_a_thousand_lines_stays_short() -> None:
    lines = tuple(OrderLine(sku=f"s{i}", quantity=1, unit_price_minor=1) for i in range(1000))
    facts = replace(FACTS, lines=lines, total_minor=1000)
    (event,) = given(INVENTORY, Reservation(on_hand={})).when(placed(facts)).decision.events
    assert len(event.skus) == 1000
    assert len(event.reason) <= 500


# --- the stock's arithmetic -----------------------------------------------------------------------


def run(store: MemoryInventoryStore, *triggers: tuple[str, Trigger]) -> list[Any]:
    """One batch, as the kit's handler does it."""
    wanted: dict[str, list[Trigger]] = {}
    for key, trigger in triggers:
        wanted.setdefault(key, []).append(trigger)
    working = store.load(NO_CONNECTION, wanted)
    events: list[Any] = []
    for key, trigger in triggers:
        state = working.get(key)
        decision = decide(state, trigger, NOW)
        working.put(key, fold(evolve, state, decision.events), decision.events)
        events += decision.events
    working.save(NO_CONNECTION)
    return events


def order(order_id: str, **units: int) -> Do:
    lines = tuple(OrderLine(sku=s, quantity=q, unit_price_minor=1) for s, q in units.items())
    facts = replace(FACTS, lines=lines, total_minor=sum(units.values()))
    return Do(OrderPlaced(order_id=order_id, order=facts, placed_at=NOW))


def undo_of(order_id: str) -> Undo:
    return Undo(PaymentDeclined(order_id=order_id, code="x", reason=REASON), REASON)


def pickup_of(order_id: str) -> Observed:
    return Observed("ShipmentPickedUp", replace(PICKED_UP, order_id=order_id))


def test_orders_of_one_batch_see_each_others_reservations() -> None:
    store = MemoryInventoryStore()
    events = run(
        store,
        ("sku:tea", restock({"sku": "tea", "quantity": 5})),
        ("o1", order("o1", tea=3)),
        ("o2", order("o2", tea=3)),
        ("o1", undo_of("o1")),
        ("o3", order("o3", tea=4)),
    )
    kinds = [type(e) for e in events]
    assert kinds == [
        StockReceived,
        InventoryReserved,
        InventoryRejected,
        InventoryReleased,
        InventoryReserved,
    ]
    assert store.stock == {"tea": Stock(on_hand=1, reserved=4, shipped=0, put_in=5)}
    run(store, ("o3", pickup_of("o3")))
    assert store.stock == {"tea": Stock(on_hand=1, reserved=0, shipped=4, put_in=5)}


ORDERS = ("o1", "o2", "o3")
triggers = st.one_of(
    st.builds(
        lambda o, tea, cup: (o, order(o, tea=tea, cup=cup)),
        st.sampled_from(ORDERS),
        st.integers(1, 5),
        st.integers(1, 5),
    ),
    st.sampled_from([(o, undo_of(o)) for o in ORDERS]),
    st.sampled_from([(o, pickup_of(o)) for o in ORDERS]),
    st.builds(
        lambda sku, n: (f"sku:{sku}", restock({"sku": sku, "quantity": n})),
        st.sampled_from(["tea", "cup"]),
        st.integers(1, 6),
    ),
)


@generated(st.lists(st.lists(triggers, min_size=1, max_size=6), max_size=8))
def test_no_unit_is_lost_or_invented(batches: list[list[tuple[str, Trigger]]]) -> None:
    store = MemoryInventoryStore()
    events: list[Any] = []
    for batch in batches:
        events += run(store, *batch)
        for units in store.stock.values():
            assert min(units.on_hand, units.reserved, units.shipped) >= 0
            assert units.on_hand + units.reserved + units.shipped == units.put_in
    for sku, units in store.stock.items():
        received = [e.quantity for e in events if isinstance(e, StockReceived) and e.sku == sku]
        assert units.put_in == sum(received)


# --- the API --------------------------------------------------------------------------------------


class MemoryReader(StockReader):
    """The stock of a store in memory."""

    def __init__(self, store: MemoryInventoryStore) -> None:
        self._store = store

    def page(self, sku: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        units = self._store.stock
        found = [s for s in sorted(units) if sku in (None, s) and s > after][:limit]
        return [{"sku": s, "on_hand": units[s].on_hand} for s in found]


class MemoryStock:
    """A submitter with a store in memory; remembers message ids of a key as the kit does."""

    def __init__(self) -> None:
        self.store = MemoryInventoryStore()
        self.handled: set[tuple[str, UUID]] = set()

    async def submit(
        self, key: str, trigger: Trigger, message_id: UUID, *, flow: str | None = None
    ) -> Receipt[Reservation]:
        repeat = (key, message_id) in self.handled
        self.handled.add((key, message_id))
        events = [] if repeat else run(self.store, (key, trigger))
        return Receipt(tuple(events), Reservation(), repeat)

    async def state(self, key: str) -> Reservation:
        return self.store.reservations[key]

    async def watch(
        self, key: str, until: Callable[[Reservation], bool], timeout_s: float
    ) -> Reservation:
        return await self.state(key)

    async def early_for(self, key: str, message_id: UUID) -> timedelta:
        return timedelta()


def ask(submitter: MemoryStock, method: str, path: str, **request: Any) -> httpx2.Response:
    app = make_app("inventory", {}, api(MemoryReader(submitter.store))(submitter))
    return in_memory_app.ask(app, method, path, **request)


DELIVERY = {"sku": "tea", "quantity": 5, "actor": "bob", "reason": "delivery", "id": "d1"}


def test_a_delivery_counts_once() -> None:
    submitter = MemoryStock()
    answers = [ask(submitter, "POST", "/stock", json=DELIVERY) for _ in range(3)]
    assert [a.status_code for a in answers] == [201, 200, 200]
    assert answers[-1].json() == {"sku": "tea", "on_hand": 5, "repeat": True}
    assert ask(submitter, "POST", "/stock", json={**DELIVERY, "id": "d2"}).json()["on_hand"] == 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": 0},
        {"quantity": 10**9 + 1},
        {"quantity": "5"},
        {"sku": ""},
        {"sku": "x" * 125},
        {"sku": "a\0b"},
        {"actor": ""},
        {"reason": "a\0b"},
        {"id": ""},
        {"id": "x" * 129},
        {"colour": "green"},
    ],
)
def test_a_delivery_that_makes_no_sense_is_refused_with_the_field(wrong: dict[str, Any]) -> None:
    submitter = MemoryStock()
    answer = ask(submitter, "POST", "/stock", json=DELIVERY | wrong)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.text
    assert not submitter.handled


def test_the_stock_is_listed_in_pages() -> None:
    submitter = MemoryStock()
    for sku in ("cup", "tea", "pot"):
        ask(submitter, "POST", "/stock", json={**DELIVERY, "sku": sku})
    one = ask(submitter, "GET", "/stock", params={"sku": "tea"}).json()
    assert [row["sku"] for row in one["data"]] == ["tea"]
    first = ask(submitter, "GET", "/stock", params={"limit": 2}).json()["data"]
    rest = ask(submitter, "GET", "/stock", params={"after": first[-1]["sku"]}).json()["data"]
    assert [row["sku"] for row in first + rest] == ["cup", "pot", "tea"]


@pytest.mark.parametrize("sku", ["unheard", "a\0b"])
def test_stock_nobody_put_in_is_not_found(sku: str) -> None:
    answer = ask(MemoryStock(), "GET", "/stock", params={"sku": sku})
    assert answer.status_code == 404
    assert len(answer.json()["detail"]) > 20
