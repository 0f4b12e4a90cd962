"""POST /batches: each order by itself, one result each, and nothing placed twice."""

from typing import Any

import pytest

from sagakit.testing import NOW
from sagakit.web.app import make_app
from schemas.events import OrderPlaced
from services.order.api import routes
from services.order.batch import MAX_BATCH, batch_routes
from tests.memory_key_service import MemoryVault
from tests.unit.services.order_app import BODY, Client, MemoryKeys, MemoryOrders


class Shop:
    """The order API's API on states in memory."""

    def __init__(self) -> None:
        self.submitter = MemoryOrders()
        keys, vault = MemoryKeys(), MemoryVault()
        router = batch_routes(keys, vault, lambda: NOW)(self.submitter)
        router.include_router(routes(keys, vault, lambda: NOW)(self.submitter))
        self.app = make_app("order", {}, router)
        self.http = Client(self.app)

    def send(self, *orders: Any, batch_id: str = "b1") -> Any:
        return self.http.post("/batches", json={"batch_id": batch_id, "orders": orders})

    def results(self, *orders: Any) -> list[tuple[str | None, int]]:
        answer = self.send(*orders)
        assert answer.status_code == 200, answer.text
        return [(r.get("order_id"), r["status"]) for r in answer.json()["results"]]


def order(order_id: str, **changes: Any) -> dict[str, Any]:
    return {**BODY, "order_id": order_id, **changes}


def test_an_order_that_fails_does_not_fail_the_others_of_its_batch() -> None:
    shop = Shop()
    assert shop.http.post("/orders", json=order("taken")).status_code == 201
    found = shop.results(
        order("o1"),
        order("taken", ship_to="2 Main Street"),
        order("o2", lines=[]),
        {"order_id": "o3"},
        {"nonsense": True},
        order("o4", flow="order/2"),
    )
    assert found == [
        ("o1", 201),
        ("taken", 409),
        ("o2", 422),
        ("o3", 422),
        (None, 422),
        ("o4", 201),
    ]
    placed = [e for e in shop.submitter.events if isinstance(e, OrderPlaced) and e.batch_id]
    assert [(e.order_id, e.batch_id) for e in placed] == [("o1", "b1"), ("o4", "b1")]


@pytest.mark.parametrize("digits", [19, 4_299])
def test_a_number_of_any_length_is_refused_by_its_name(digits: int) -> None:
    """Python prints no number of more than 4,300 digits, and their product may have more."""
    line = {"sku": "T", "quantity": 10**6, "unit_price_minor": int("9" * digits)}
    result = Shop().send(order("o1", lines=[line]), order("o2")).json()["results"]
    assert [r["status"] for r in result] == [422, 201]
    (problem,) = result[0]["problem"]["problems"]
    assert problem["field"] == "lines[0].unit_price_minor"
    assert len(problem["reason"]) < 100


def test_what_is_wrong_with_an_order_is_reported_as_if_it_had_come_alone() -> None:
    shop = Shop()
    wrong = [order("o1", lines=[]), order("o2", caused_by=" "), order("o3", caused_by="o3"), {}]
    results = shop.send(*wrong).json()["results"]
    alone = [shop.http.post("/orders", json=one).json() for one in wrong]
    assert [r["problem"] for r in results] == alone
    assert [r["problem"]["problems"][0]["field"] for r in results] == [
        "lines",
        "caused_by",
        "caused_by",
        "order_id",
    ]


def test_the_same_batch_again_places_nothing_twice() -> None:
    shop = Shop()
    orders = [order("o1"), order("o2")]
    assert [status for _, status in shop.results(*orders)] == [201, 201]
    assert [status for _, status in shop.results(*orders)] == [200, 200]
    assert len(shop.submitter.events) == 2


def test_a_batch_id_belongs_to_one_batch() -> None:
    shop = Shop()
    shop.results(order("o1"))
    answer = shop.send(order("o2"))
    assert (answer.status_code, answer.json()["code"]) == (409, "batch_id_reuse")
    assert len(shop.submitter.events) == 1
    key = shop.http.post("/orders", json=order("o2"), headers={"Idempotency-Key": "batch"})
    assert key.status_code == 201


def test_one_order_twice_in_a_batch() -> None:
    assert Shop().results(order("o1"), order("o1")) == [("o1", 201), ("o1", 200)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"batch_id": "b", "orders": []}, "orders"),
        ({"batch_id": "b", "orders": [{}] * (MAX_BATCH + 1)}, "orders"),
        ({"batch_id": "b", "orders": ["o1"]}, "orders[0]"),
        ({"batch_id": "b"}, "orders"),
        ({"batch_id": " ", "orders": [{}]}, "batch_id"),
        ({"batch_id": "b\n", "orders": [{}]}, "batch_id"),
        ({"batch_id": "b" * 129, "orders": [{}]}, "batch_id"),
        ({"batch_id": "b", "orders": [{}], "more": 1}, "more"),
    ],
)
def test_what_is_no_batch(body: Any, field: str) -> None:
    answer = Shop().http.post("/batches", json=body)
    assert answer.status_code == 422
    assert [p["field"] for p in answer.json()["problems"]] == [field]


def test_an_order_says_which_led_to_it() -> None:
    shop = Shop()
    shop.http.post("/orders", json=order("o2", caused_by="o1"))
    (event,) = shop.submitter.events
    assert (event.caused_by, event.batch_id) == ("o1", None)


def test_the_page_says_what_an_order_of_a_batch_is() -> None:
    page = Shop().app.openapi()
    items = page["components"]["schemas"]["NewBatch"]["properties"]["orders"]["items"]
    assert items["$ref"].rpartition("/")[2] in page["components"]["schemas"]
