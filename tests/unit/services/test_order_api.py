"""The order API: placing, reading, waiting, cancelling, erasing."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from sagakit.decider import (
    Observed,
)
from schemas import FLOWS
from schemas.events import (
    OrderPlaced,
    OrderRejected,
)
from services.order.vault import Opener
from tests.unit.services.order_app import BODY, OrderApi
from tests.unit.services.test_order import FACTS, RELEASED, REQUESTED, SHIPPED, placed


def test_placed_once_however_often_asked() -> None:
    shop = OrderApi()
    first, second = shop.place(), shop.place()
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.json()["order_id"] == "o1"
    assert first.json()["status"] == "placed"
    (event,) = shop.submitter.events
    assert "ada" not in str(event)
    assert "Main Street" not in str(event)
    assert shop.opened(event.order) == FACTS
    assert shop.submitter.flows == ["order/1"]


def test_the_flow_may_be_chosen() -> None:
    shop = OrderApi()
    assert shop.place(flow="order/2").status_code == 201
    assert shop.submitter.flows == ["order/2"]


def test_the_same_id_with_other_content_is_a_conflict() -> None:
    shop = OrderApi()
    shop.place()
    for _ in range(2):
        answer = shop.place(ship_to="2 Main Street")
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["code"], answer.json()["order_status"]) == ("conflict", "placed")
    assert [type(e) for e in shop.submitter.events] == [OrderPlaced, OrderRejected]
    assert shop.place().status_code == 200


def test_an_order_the_shop_published_itself_is_known() -> None:
    shop = OrderApi()
    shop.submitter.tell("order/o1", Observed("OrderPlaced", placed()))
    assert shop.place().status_code == 200
    assert shop.place(ship_to="2 Main Street").status_code == 409


def test_an_idempotency_key_belongs_to_one_request() -> None:
    shop = OrderApi()
    assert shop.place("k1").status_code == 201
    assert shop.place("k1").status_code == 200
    for other in ({"ship_to": "2 Main Street"}, {"order_id": "o2"}, {"flow": "order/2"}):
        answer = shop.place("k1", **other)
        assert answer.status_code == 409
        assert answer.json()["code"] == "idempotency_key_reuse"
    assert len(shop.submitter.events) == 1
    assert shop.place("k2", order_id="o2").status_code == 201


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [{"sku": "tea", "quantity": 0, "unit_price_minor": 1}]}, "lines[0].quantity"),
        ({"lines": [{"sku": "tea", "quantity": "2", "unit_price_minor": 1}]}, "lines[0].quantity"),
        ({"lines": [{"sku": "tea", "quantity": True, "unit_price_minor": 1}]}, "lines[0].quantity"),
        ({"lines": [{"quantity": 1, "unit_price_minor": 1}]}, "lines[0].sku"),
        ({"lines": [{"sku": "t", "quantity": 10**6, "unit_price_minor": 10**12}]}, "total_minor"),
        (
            {"lines": [{"sku": "t", "quantity": 1, "unit_price_minor": 10**40}]},
            "lines[0].unit_price_minor",
        ),
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
    shop = OrderApi()
    answer = shop.place(**changes)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problems = answer.json()["problems"]
    assert field in [p["field"] for p in problems]
    assert all(p["reason"] and p["remedy"] for p in problems)
    assert len(answer.text) < 3000
    assert not shop.submitter.events


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
def test_any_malformed_body_is_refused_with_its_problems(body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = OrderApi().http.post("/orders", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["problems"]


def test_a_score_that_is_no_number_is_refused() -> None:
    body = b'{"fraud_score": NaN, ' + orjson.dumps(BODY)[1:]
    headers = {"content-type": "application/json"}
    answer = OrderApi().http.post("/orders", content=body, headers=headers)
    assert answer.status_code == 422
    assert [p["field"] for p in answer.json()["problems"]] == ["fraud_score"]


def test_an_order_too_large_for_an_event_is_refused() -> None:
    shop = OrderApi()
    shop.submitter.too_large = True
    answer = shop.place()
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["remedy"] == "split the order"


@pytest.mark.parametrize("order_id", ["o1", "with space", "2026/17", "ünï 🦆", "100%", "a?b#c"])
def test_the_status_of_an_order_is_shown(order_id: str) -> None:
    shop = OrderApi()
    path = f"/orders/{quote(order_id, safe='')}"
    assert shop.http.get(path).status_code == 404
    shop.place(order_id=order_id)
    placed_ = shop.http.get(path).json()
    assert (placed_["order_id"], placed_["status"]) == (order_id, "placed")
    assert datetime.fromisoformat(placed_["placed_at"]).tzinfo == UTC
    shop.submitter.tell(
        f"order/{order_id}", Observed("undone", replace(RELEASED, order_id=order_id))
    )
    cancelled = shop.http.get(path).json()
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "out of tea")


@pytest.mark.parametrize("order_id", ["nobody", "%00", "x" * 10_000])
def test_an_order_nobody_knows(order_id: str) -> None:
    shop = OrderApi()
    for answer in (
        shop.http.get(f"/orders/{order_id}"),
        shop.http.get(f"/orders/{order_id}/wait?timeout_s=0"),
        shop.http.post(f"/orders/{order_id}/cancel", json={"actor": "a", "reason": "b"}),
    ):
        assert answer.status_code == 404
        assert answer.json()["code"] == "unknown_order"
    assert not shop.submitter.handled


@pytest.mark.parametrize("order_id", ["o1/wait", "o1/cancel"])
def test_an_id_that_ends_like_a_route_is_an_id(order_id: str) -> None:
    """Given two orders of which one has the name of a route behind the id of the other; when one is
    asked for with its slash encoded; then it is shown, waited for and cancelled, not the other."""
    shop = OrderApi()
    shop.place()
    shop.place(order_id=order_id)
    path = f"/orders/{quote(order_id, safe='')}"
    asked = {"actor": "ada", "reason": "too late"}
    assert shop.http.get(path).json()["order_id"] == order_id
    assert shop.http.get(f"{path}/wait?timeout_s=0").json()["order_id"] == order_id
    assert shop.http.post(f"{path}/cancel", json=asked).json()["order_id"] == order_id
    assert "cancel_requested" not in shop.http.get("/orders/o1").json()


def test_waiting_ends_with_the_order_or_with_the_time() -> None:
    shop = OrderApi()
    shop.place()
    assert shop.http.get("/orders/o1/wait?timeout_s=0").json()["status"] == "placed"
    assert shop.http.get("/orders/o1/wait?timeout_s=60").json()["status"] == "completed"
    for wrong in ("-1", "61", "nan", "x"):
        answer = shop.http.get(f"/orders/o1/wait?timeout_s={wrong}")
        assert answer.status_code == 422
        assert answer.json()["problems"][0]["field"] == "timeout_s"


def test_cancelling_is_a_request_and_too_late_at_the_end() -> None:
    shop = OrderApi()
    shop.place()
    asked = {"actor": "ada", "reason": "too late for tea"}
    answer = shop.http.post("/orders/o1/cancel", json=asked)
    assert answer.status_code == 202
    assert answer.json()["cancel_requested"] == "too late for tea"
    assert shop.submitter.events[-1] == REQUESTED
    shop.submitter.tell("order/o1", Observed("completed", SHIPPED))
    late = shop.http.post("/orders/o1/cancel", json=asked)
    assert late.status_code == 409
    assert (late.json()["code"], late.json()["order_status"]) == ("ended", "completed")
    assert shop.http.post("/orders/o1/cancel", json={"actor": ""}).status_code == 422


def test_a_newcomer_finds_everything_in_the_openapi_page() -> None:
    described = OrderApi().http.get("/openapi.json").json()
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
    shop = OrderApi()
    shop.place()
    (event,) = shop.submitter.events
    texts = [event.order.email, event.order.ship_to]
    answer = shop.http.post("/sealed/open", json={"texts": texts}).json()["texts"]
    assert answer == [FACTS.email, FACTS.ship_to]
    answer = shop.http.post("/erasures", json=ERASE)
    assert answer.status_code == 200, answer.text
    assert answer.json()["erased_at"] is not None
    assert shop.http.post("/erasures", json=ERASE).json() == answer.json(), "once and for all"
    assert shop.vault.words == [("ada", "asked for by mail")]
    assert shop.http.post("/sealed/open", json={"texts": texts}).json()["texts"] == [None, None]
    shop.place(order_id="o2")
    assert shop.opened(shop.submitter.events[-1].order) == FACTS
    assert shop.http.post("/sealed/open", json={"texts": texts}).json()["texts"] == [None, None]


def test_an_order_whose_customer_is_erased_meanwhile_is_refused_and_cancelled() -> None:
    # Given a customer whose key is gone by the time the order is placed
    shop = OrderApi()
    shop.vault.erased_meanwhile = True
    # When it is placed, then it is refused, and what was placed is cancelled
    answer = shop.place()
    assert (answer.status_code, answer.json()["code"]) == (409, "erased")
    assert [type(event).__name__ for event in shop.submitter.events] == [
        "OrderPlaced",
        "OrderCancelRequested",
    ]


def test_who_opens_texts_is_handed_to_the_keys() -> None:
    shop = OrderApi()
    headers = {"Saga-Caller": "dispatch"}
    shop.http.post("/sealed/open", json={"texts": ["in clear"]}, headers=headers)
    assert shop.vault.openers == [Opener("dispatch", "127.0.0.1")]


@pytest.mark.parametrize(
    "name", ["system_timeout", "Saga-Monitor", "\uff33\uff39\uff33\uff34\uff25\uff2d", "a\u202eb"]
)
def test_nobody_cancels_or_erases_under_a_name_of_the_machine(name: str) -> None:
    shop = OrderApi()
    shop.place()
    for path, body in (("/orders/o1/cancel", {"reason": "r"}), ("/erasures", ERASE)):
        answer = shop.http.post(path, json={**body, "actor": name})
        assert answer.status_code == 422, answer.text
        assert answer.json()["problems"][0]["field"] == "actor"
    assert shop.vault.words == []


def test_nothing_is_erased_that_an_order_in_flight_needs_unless_it_is_forced() -> None:
    shop = OrderApi()
    shop.place()
    shop.vault.in_flight["c1"] = ("o1",)
    answer = shop.http.post("/erasures", json=ERASE)
    assert (answer.status_code, answer.json()["code"]) == (409, "in_flight")
    assert "o1" in answer.json()["detail"]
    assert shop.opened(shop.submitter.events[0].order) == FACTS
    forced = shop.http.post("/erasures", json={**ERASE, "force": True}).json()
    assert (forced["in_flight"], forced["erased_at"] is None) == (["o1"], False)


def test_a_publisher_from_outside_can_have_its_texts_sealed() -> None:
    shop = OrderApi()
    asked = {"customer_id": "c1", "texts": [FACTS.email, FACTS.ship_to, ""]}
    email, ship_to, empty = shop.http.post("/sealed", json=asked).json()["texts"]
    assert empty == ""
    shop.place()
    assert (shop.submitter.events[0].order.email, shop.submitter.events[0].order.ship_to) == (
        email,
        ship_to,
    )


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
def test_a_malformed_request_about_a_customer_is_refused(path: str, body: Any) -> None:
    answer = OrderApi().http.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "text", ["", "in clear", "sealed:1:x:y", f"sealed:1:{'0' * 32}:{'A' * 40}"]
)
def test_what_was_never_sealed_is_not_opened(text: str) -> None:
    assert OrderApi().http.post("/sealed/open", json={"texts": [text]}).json() == {"texts": [None]}


def test_the_state_keeps_the_customer_and_whether_the_order_came_in_clear() -> None:
    shop = OrderApi()
    shop.place()
    shop.submitter.tell("order/o2", Observed("OrderPlaced", replace(placed(), order_id="o2")))
    states = shop.submitter.states
    assert (states["order/o1"].customer_id, states["order/o1"].in_clear) == ("c1", False)
    assert (states["order/o2"].customer_id, states["order/o2"].in_clear) == ("c1", True)
