"""Order: what it answers in every situation, and its API."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import orjson
import pytest
from fastapi import FastAPI

from sagakit.decider import (
    Callback,
    Command,
    Do,
    Effect,
    EffectResult,
    Observed,
    Trigger,
    Undo,
    fold,
)
from sagakit.errors import EventTooLarge
from sagakit.service.definition import Receipt
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from sagakit.web.app import make_app
from schemas import FLOWS
from schemas.events import (
    InventoryReleased,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderFacts,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    ShippedMailSent,
)
from services.order.api import routes
from services.order.decide import CancelOrder, Order, Phase, PlaceOrder, decide, digest, evolve
from services.order.store import store
from tests.gwt import NOW, Given, given, through_its_table
from tests.memory_key_service import MemoryVault
from tests.order_facts import TWO_TEAS

ORDER = Participant("order", decide, evolve, MemoryStore(Order()))
FACTS = TWO_TEAS
OTHER = replace(FACTS, ship_to="2 Main Street")
SHIPPED = ShippedMailSent(order_id="o1", to="ada@customer.example")
RELEASED = InventoryReleased(order_id="o1", lines=(), reason="out of tea")


def placed(facts: OrderFacts = FACTS) -> OrderPlaced:
    return OrderPlaced(order_id="o1", order=facts, placed_at=NOW)


def place(facts: OrderFacts = FACTS) -> Command:
    return Command("place", "api", "placed", PlaceOrder("o1", facts, NOW))


CANCEL = Command("cancel", "ada", "too late for tea", CancelOrder("o1"))
REQUESTED = OrderCancelRequested(order_id="o1", actor="ada", reason="too late for tea")
COMPLETED = OrderCompleted(order_id="o1")
CANCELLED = OrderCancelled(order_id="o1", reason="out of tea")
CONFLICT = OrderRejected(
    order_id="o1",
    code="conflict",
    reason="order o1 exists with other content; place this one under another id",
)

# --- the table ------------------------------------------------------------------------------------

SITUATIONS: dict[str, tuple[Any, ...]] = {
    "unknown": (),
    "placed": (placed(),),
    "placed, cancel asked": (placed(), REQUESTED),
    "completed": (placed(), COMPLETED),
    "completed, never placed": (COMPLETED,),
    "cancelled": (placed(), CANCELLED),
    "cancelled, never placed": (CANCELLED,),
}
TRIGGERS: dict[str, Trigger] = {
    "place": place(),
    "place other content": place(OTHER),
    "cancel": CANCEL,
    "placed by the shop": Observed("OrderPlaced", placed()),
    "placed by the shop with other content": Observed("OrderPlaced", placed(OTHER)),
    "completed": Observed("completed", SHIPPED),
    "undone": Observed("undone", RELEASED),
    "observed something else": Observed("else", SHIPPED),
    "verdict of another kind": Command("approve", "bob", "fine"),
    "place without an order": Command("place", "bob", "fine"),
    "cancel without an order": Command("cancel", "bob", "fine"),
    "do": Do(placed()),
    "undo": Undo(REQUESTED, "why"),
    "outcome": EffectResult(Effect("x", "x:o1", {}), None),
    "callback": Callback(None),
}


@dataclass(frozen=True)
class Answer:
    events: tuple[Any, ...] = ()
    adopted: tuple[Any, ...] = ()


NO = Answer()


def says(*events: Any) -> Answer:
    return Answer(events)


def nothing_but(**answers: Answer) -> dict[str, Answer]:
    """A column of the table; names as in SITUATIONS with `_` for what is between the words."""
    names = {s.replace(", ", "_").replace(" ", "_"): s for s in SITUATIONS}
    assert answers.keys() <= names.keys()
    return {names[name]: answers.get(name, NO) for name in names}


CONFLICTS = {name: says(CONFLICT) for name in ("placed", "placed_cancel_asked", "completed")}
CONFLICTS["cancelled"] = says(CONFLICT)
TABLE: dict[str, dict[str, Answer]] = {
    # of an order that ended before it was known here, nobody can tell whether this is it
    "place": nothing_but(
        unknown=says(placed()),
        completed_never_placed=says(CONFLICT),
        cancelled_never_placed=says(CONFLICT),
    ),
    "place other content": nothing_but(
        unknown=says(placed(OTHER)),
        completed_never_placed=says(CONFLICT),
        cancelled_never_placed=says(CONFLICT),
        **CONFLICTS,
    ),
    "cancel": nothing_but(placed=says(REQUESTED), placed_cancel_asked=says(REQUESTED)),
    "placed by the shop": nothing_but(
        unknown=Answer(adopted=(placed(),)),
        completed_never_placed=Answer(adopted=(placed(),)),
        cancelled_never_placed=Answer(adopted=(placed(),)),
    ),
    "placed by the shop with other content": nothing_but(
        unknown=Answer(adopted=(placed(OTHER),)),
        completed_never_placed=Answer(adopted=(placed(OTHER),)),
        cancelled_never_placed=Answer(adopted=(placed(OTHER),)),
        **CONFLICTS,
    ),
    "completed": nothing_but(
        unknown=says(COMPLETED), placed=says(COMPLETED), placed_cancel_asked=says(COMPLETED)
    ),
    "undone": nothing_but(
        unknown=says(CANCELLED), placed=says(CANCELLED), placed_cancel_asked=says(CANCELLED)
    ),
    **{
        name: nothing_but()
        for name in (
            "observed something else",
            "verdict of another kind",
            "place without an order",
            "cancel without an order",
            "do",
            "undo",
            "outcome",
            "callback",
        )
    },
}
CELLS = [(t, s) for t in TABLE for s in TABLE[t]]


def situation(name: str) -> Given:
    return given(ORDER, Order(), *SITUATIONS[name])


def test_no_cell_of_the_table_is_blank() -> None:
    assert {situation(name).state.phase for name in SITUATIONS} == set(Phase)
    assert set(CELLS) == set(product(TRIGGERS, SITUATIONS))


@pytest.mark.parametrize(("trigger", "name"), CELLS)
def test_every_cell(trigger: str, name: str) -> None:
    then = situation(name).when(TRIGGERS[trigger])
    then.then(*TABLE[trigger][name].events)
    assert then.decision.adopted == TABLE[trigger][name].adopted


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_state_survives_its_table(name: str) -> None:
    state = situation(name).state
    found = through_its_table(store(), state)  # a time comes back as text where no driver reads it
    assert replace(found, placed_at=state.placed_at) == replace(state, in_flight=frozenset())


# --- stories --------------------------------------------------------------------------------------


def test_an_order_of_the_shop_is_adopted_and_its_echo_is_nothing_new() -> None:
    adopted = given(ORDER, Order()).when(Observed("OrderPlaced", placed())).then()
    assert adopted.state.phase is Phase.PLACED
    again = adopted.when(Observed("OrderPlaced", placed())).then_nothing()
    again.when(place()).then_nothing().when(place(OTHER)).then(CONFLICT)


def test_the_end_may_be_heard_of_before_the_beginning() -> None:
    ended = given(ORDER, Order()).when(Observed("undone", RELEASED)).then(CANCELLED)
    adopted = ended.when(Observed("OrderPlaced", placed())).then()
    assert (adopted.state.phase, adopted.state.digest) == (Phase.CANCELLED, digest(FACTS))
    adopted.when(Observed("undone", RELEASED)).then_nothing()


def test_the_digest_is_that_of_the_content() -> None:
    assert digest(FACTS) == digest(OrderFacts.from_dict(FACTS.to_dict()))
    lines = (OrderLine(sku="tea", quantity=1, unit_price_minor=2500),)
    others = [OTHER, replace(FACTS, lines=lines), replace(FACTS, fraud_score=0.5)]
    assert len({digest(FACTS), *map(digest, others)}) == 4


def test_an_order_is_the_same_though_facts_were_added_that_it_does_not_give() -> None:
    before = json.dumps(
        {name: value for name, value in FACTS.to_dict().items() if name != "loyalty_card"},
        sort_keys=True,
        separators=(",", ":"),
    )
    assert digest(FACTS) == hashlib.sha256(before.encode()).hexdigest()
    assert digest(replace(FACTS, loyalty_card="L-1")) != digest(FACTS)


# --- the API --------------------------------------------------------------------------------------


class MemoryDoor:
    """A door onto states in memory; remembers message ids as the kit does."""

    def __init__(self) -> None:
        self.states: dict[str, Order] = {}
        self.handled: set[UUID] = set()
        self.events: list[Any] = []
        self.flows: list[str | None] = []
        self.too_large = False

    async def submit(
        self, key: str, trigger: Trigger, message_id: UUID, *, flow: str | None = None
    ) -> Receipt[Order]:
        if self.too_large:
            raise EventTooLarge("OrderPlaced has 600000 bytes, the limit is 524288")
        state = self.states.get(key, Order())
        if message_id in self.handled:
            return Receipt((), state, True)
        self.handled.add(message_id)
        self.flows.append(flow)
        return self.tell(key, trigger)

    def tell(self, key: str, trigger: Trigger) -> Receipt[Order]:
        state = self.states.get(key, Order())
        decision = decide(state, trigger, NOW)
        self.states[key] = fold(evolve, state, decision.adopted + decision.events)
        self.events += decision.events
        return Receipt(decision.events, self.states[key], False)

    async def state(self, key: str) -> Order:
        return self.states.get(key, Order())

    async def watch(self, key: str, until: Callable[[Order], bool], timeout_s: float) -> Order:
        state = await self.state(key)
        if not until(state) and timeout_s > 1 and state.phase is Phase.PLACED:
            self.tell(key, Observed("completed", replace(SHIPPED, order_id=key)))
        return await self.state(key)


class MemoryKeys:
    def __init__(self) -> None:
        self.keys: dict[str, str] = {}

    def claim(self, key: str, digest: str, now: datetime) -> bool:
        return self.keys.setdefault(key, digest) == digest


class Client:
    """Calls an app as over HTTP."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, url: str) -> httpx.Response:
        return asyncio.run(self._call("GET", url))

    def post(self, url: str, **body: Any) -> httpx.Response:
        return asyncio.run(self._call("POST", url, **body))

    async def _call(self, method: str, url: str, **body: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://order") as client:
            return await client.request(method, url, **body)


class Shop:
    """The API in front of a door."""

    def __init__(self) -> None:
        self.door = MemoryDoor()
        self.now = NOW
        self.vault = MemoryVault()
        app = make_app("order", {}, routes(MemoryKeys(), self.vault, lambda: self.now)(self.door))
        self.http = Client(app)

    def opened(self, facts: OrderFacts) -> OrderFacts:
        email, ship_to = self.vault.open([facts.email, facts.ship_to])
        assert email is not None
        assert ship_to is not None
        return replace(facts, email=email, ship_to=ship_to)

    def place(self, key: str | None = None, **changes: Any) -> Any:
        self.now += timedelta(seconds=1)
        body = {k: v for k, v in (BODY | changes).items() if v is not ...}
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post("/orders", json=body, headers=headers)


BODY = {
    "order_id": "o1",
    "customer_id": "c1",
    "email": "ada@customer.example",
    "currency": "EUR",
    "lines": [{"sku": "tea", "quantity": 2, "unit_price_minor": 1250}],
    "card_token": "tok_ok",
    "ship_to": "1 Main Street",
}


def test_placed_once_however_often_asked() -> None:
    shop = Shop()
    first, second = shop.place(), shop.place()
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.json()["order_id"] == "o1"
    assert first.json()["status"] == "placed"
    (event,) = shop.door.events
    assert "ada" not in str(event)
    assert "Main Street" not in str(event)
    assert shop.opened(event.order) == FACTS
    assert shop.door.flows == ["order/1"]


def test_the_flow_may_be_chosen() -> None:
    shop = Shop()
    assert shop.place(flow="order/2").status_code == 201
    assert shop.door.flows == ["order/2"]


def test_the_same_id_with_other_content_is_a_conflict() -> None:
    shop = Shop()
    shop.place()
    for _ in range(2):
        answer = shop.place(ship_to="2 Main Street")
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["code"], answer.json()["order_status"]) == ("conflict", "placed")
    assert [type(e) for e in shop.door.events] == [OrderPlaced, OrderRejected]
    assert shop.place().status_code == 200


def test_an_order_the_shop_published_itself_is_known() -> None:
    shop = Shop()
    shop.door.tell("o1", Observed("OrderPlaced", placed()))
    assert shop.place().status_code == 200
    assert shop.place(ship_to="2 Main Street").status_code == 409


def test_an_idempotency_key_belongs_to_one_request() -> None:
    shop = Shop()
    assert shop.place("k1").status_code == 201
    assert shop.place("k1").status_code == 200
    for other in ({"ship_to": "2 Main Street"}, {"order_id": "o2"}, {"flow": "order/2"}):
        answer = shop.place("k1", **other)
        assert answer.status_code == 409
        assert answer.json()["code"] == "idempotency_key_reuse"
    assert len(shop.door.events) == 1
    assert shop.place("k2", order_id="o2").status_code == 201


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [{"sku": "tea", "quantity": 0, "unit_price_minor": 1}]}, "lines[0].quantity"),
        ({"lines": [{"sku": "tea", "quantity": "2", "unit_price_minor": 1}]}, "lines[0].quantity"),
        ({"lines": [{"sku": "tea", "quantity": True, "unit_price_minor": 1}]}, "lines[0].quantity"),
        ({"lines": [{"quantity": 1, "unit_price_minor": 1}]}, "lines[0].sku"),
        ({"lines": [{"sku": "t", "quantity": 10**6, "unit_price_minor": 10**40}]}, "total_minor"),
        ({"currency": "XYZ"}, "currency"),
        ({"currency": 7}, "currency"),
        ({"email": "nobody"}, "email"),
        ({"order_id": ""}, "order_id"),
        ({"order_id": "x" * 129}, "order_id"),
        ({"order_id": "x" * 10_000}, "order_id"),
        ({"order_id": "a\nb"}, "order_id"),
        ({"order_id": "a\0b"}, "order_id"),
        ({"order_id": ...}, "order_id"),
        ({"fraud_score": 2}, "fraud_score"),
        ({"flow": "order/9"}, "flow"),
        ({"total_minor": 2500}, "total_minor"),
    ],
)
def test_what_is_not_valid_is_named_field_by_field(changes: Any, field: str) -> None:
    shop = Shop()
    answer = shop.place(**changes)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problems = answer.json()["problems"]
    assert field in [p["field"] for p in problems]
    assert all(p["reason"] and p["remedy"] for p in problems)
    assert len(answer.text) < 3000
    assert not shop.door.events


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"order_id": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"order_id": ' + b"[" * 500 + b"]" * 500 + b"}",
    ],
)
def test_no_body_breaks_it(body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = Shop().http.post("/orders", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["problems"]


def test_a_score_that_is_no_number_is_refused() -> None:
    body = b'{"fraud_score": NaN, ' + orjson.dumps(BODY)[1:]
    headers = {"content-type": "application/json"}
    answer = Shop().http.post("/orders", content=body, headers=headers)
    assert answer.status_code == 422
    assert [p["field"] for p in answer.json()["problems"]] == ["fraud_score"]


def test_an_order_too_large_for_an_event_is_refused() -> None:
    shop = Shop()
    shop.door.too_large = True
    answer = shop.place()
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["remedy"] == "split the order"


@pytest.mark.parametrize("order_id", ["o1", "with space", "2026/17", "ünï 🦆", "100%", "a?b#c"])
def test_what_became_of_an_order(order_id: str) -> None:
    shop = Shop()
    path = f"/orders/{quote(order_id, safe='')}"
    assert shop.http.get(path).status_code == 404
    shop.place(order_id=order_id)
    placed_ = shop.http.get(path).json()
    assert (placed_["order_id"], placed_["status"]) == (order_id, "placed")
    assert datetime.fromisoformat(placed_["placed_at"]).tzinfo == UTC
    shop.door.tell(order_id, Observed("undone", replace(RELEASED, order_id=order_id)))
    cancelled = shop.http.get(path).json()
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "out of tea")


@pytest.mark.parametrize("order_id", ["nobody", "%00", "x" * 10_000])
def test_an_order_nobody_knows(order_id: str) -> None:
    shop = Shop()
    for answer in (
        shop.http.get(f"/orders/{order_id}"),
        shop.http.get(f"/orders/{order_id}/wait?timeout_s=0"),
        shop.http.post(f"/orders/{order_id}/cancel", json={"actor": "a", "reason": "b"}),
    ):
        assert answer.status_code == 404
        assert answer.json()["code"] == "unknown_order"
    assert not shop.door.handled


def test_waiting_ends_with_the_order_or_with_the_time() -> None:
    shop = Shop()
    shop.place()
    assert shop.http.get("/orders/o1/wait?timeout_s=0").json()["status"] == "placed"
    assert shop.http.get("/orders/o1/wait?timeout_s=60").json()["status"] == "completed"
    for wrong in ("-1", "61", "nan", "x"):
        answer = shop.http.get(f"/orders/o1/wait?timeout_s={wrong}")
        assert answer.status_code == 422
        assert answer.json()["problems"][0]["field"] == "timeout_s"


def test_cancelling_is_a_request_and_too_late_at_the_end() -> None:
    shop = Shop()
    shop.place()
    asked = {"actor": "ada", "reason": "too late for tea"}
    answer = shop.http.post("/orders/o1/cancel", json=asked)
    assert answer.status_code == 202
    assert answer.json()["cancel_requested"] == "too late for tea"
    assert shop.door.events[-1] == REQUESTED
    shop.door.tell("o1", Observed("completed", SHIPPED))
    late = shop.http.post("/orders/o1/cancel", json=asked)
    assert late.status_code == 409
    assert (late.json()["code"], late.json()["order_status"]) == ("ended", "completed")
    assert shop.http.post("/orders/o1/cancel", json={"actor": ""}).status_code == 422


def test_a_newcomer_finds_everything_in_the_openapi_page() -> None:
    described = Shop().http.get("/openapi.json").json()
    operations = {
        (path, method): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/orders")
    }
    assert len(operations) == 4
    for operation in operations.values():
        assert operation["summary"]
        assert len(operation["description"]) > 40
    place_ = operations["/orders", "post"]
    assert set(place_["responses"]) == {"200", "201", "409", "422"}
    order = described["components"]["schemas"]["NewOrder"]["properties"]
    labels = [flow.label(v) for flow in FLOWS for v in flow.versions]
    assert order["flow"]["enum"][:-1] == labels


# --- personal data --------------------------------------------------------------------------------

ERASE = {"customer_id": "c1", "actor": "ada", "reason": "asked for by mail"}


def test_what_is_erased_cannot_be_opened_and_a_new_order_has_a_new_key() -> None:
    shop = Shop()
    shop.place()
    (event,) = shop.door.events
    texts = [event.order.email, event.order.ship_to]
    told = shop.http.post("/sealed/open", json={"texts": texts}).json()["texts"]
    assert told == [FACTS.email, FACTS.ship_to]
    answer = shop.http.post("/erasures", json=ERASE)
    assert answer.status_code == 200, answer.text
    assert answer.json()["erased_at"] is not None
    assert shop.http.post("/erasures", json=ERASE).json() == answer.json(), "once and for all"
    assert shop.vault.words == [("ada", "asked for by mail")]
    assert shop.http.post("/sealed/open", json={"texts": texts}).json()["texts"] == [None, None]
    shop.place(order_id="o2")
    assert shop.opened(shop.door.events[-1].order) == FACTS
    assert shop.http.post("/sealed/open", json={"texts": texts}).json()["texts"] == [None, None]


def test_nothing_is_erased_that_an_order_in_flight_needs_unless_it_is_forced() -> None:
    shop = Shop()
    shop.place()
    shop.vault.in_flight["c1"] = ("o1",)
    answer = shop.http.post("/erasures", json=ERASE)
    assert (answer.status_code, answer.json()["code"]) == (409, "in_flight")
    assert "o1" in answer.json()["detail"]
    assert shop.opened(shop.door.events[0].order) == FACTS
    forced = shop.http.post("/erasures", json={**ERASE, "force": True}).json()
    assert (forced["in_flight"], forced["erased_at"] is None) == (["o1"], False)


def test_a_publisher_from_outside_can_have_its_texts_sealed() -> None:
    shop = Shop()
    asked = {"customer_id": "c1", "texts": [FACTS.email, FACTS.ship_to, ""]}
    email, ship_to, empty = shop.http.post("/sealed", json=asked).json()["texts"]
    assert empty == ""
    shop.place()
    assert (shop.door.events[0].order.email, shop.door.events[0].order.ship_to) == (email, ship_to)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/erasures", {**ERASE, "customer_id": "a\0b"}),
        ("/erasures", {**ERASE, "customer_id": ""}),
        ("/erasures", {**ERASE, "reason": ""}),
        ("/erasures", {"customer_id": "c1"}),
        ("/sealed", {"customer_id": "c1", "texts": ["x" * 1001]}),
        ("/sealed", {"customer_id": "c1", "texts": ["a\0b"]}),
        ("/sealed/open", {"texts": "sealed"}),
        ("/sealed/open", {"texts": ["x"] * 101}),
    ],
)
def test_what_cannot_be_asked_about_a_customer(path: str, body: Any) -> None:
    answer = Shop().http.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "text", ["", "in clear", "sealed:1:x:y", f"sealed:1:{'0' * 32}:{'A' * 40}"]
)
def test_what_was_never_sealed_is_not_opened(text: str) -> None:
    assert Shop().http.post("/sealed/open", json={"texts": [text]}).json() == {"texts": [None]}


def test_whose_an_order_is_and_whether_it_came_in_clear() -> None:
    shop = Shop()
    shop.place()
    shop.door.tell("o2", Observed("OrderPlaced", replace(placed(), order_id="o2")))
    states = shop.door.states
    assert (states["o1"].customer_id, states["o1"].in_clear) == ("c1", False)
    assert (states["o2"].customer_id, states["o2"].in_clear) == ("c1", True)
