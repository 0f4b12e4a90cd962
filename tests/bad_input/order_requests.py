"""Bad requests of the shop and the warehouse: orders to the order API, stock to inventory."""

from typing import Any

import orjson

from sagakit.web.app import MAX_BODY_BYTES
from tests.bad_input.case import DEEP, Call, Case, raw

FRONT, STOCK = "order, API", "inventory, API"
ORDER: dict[str, Any] = {
    "order_id": "http-1",
    "customer_id": "c-1",
    "email": "ada@customer.example",
    "currency": "EUR",
    "lines": [{"sku": "TEA-100", "quantity": 2, "unit_price_minor": 1250}],
    "card_token": "tok_ok",
    "ship_to": "1 Main Street",
}
SURROGATE = orjson.dumps(ORDER).replace(b'"http-1"', b'"\\ud800"')


def order(**changes: Any) -> Call:
    """An order to place, changed; `...` leaves a field out."""
    body = {name: value for name, value in (ORDER | changes).items() if value is not ...}
    return Call("POST", "/orders", json=body)


ORDERS = (
    Case("no lines", FRONT, order(lines=[]), "422", ("lines has 0 entries", "an order has 1 to")),
    Case(
        "zero quantity",
        FRONT,
        order(lines=[{"sku": "TEA", "quantity": 0, "unit_price_minor": 1}]),
        "422",
        ("lines[0].quantity is 0", "it must be 1 to"),
    ),
    Case("missing field", FRONT, order(email=...), "422", ("email is missing", "add it")),
    Case(
        "unknown field",
        FRONT,
        order(total_minor=1),
        "422",
        ("total_minor is not a field of this request",),
    ),
    Case("wrong types", FRONT, order(lines="none", currency=7), "422", ("lines is 'none'",)),
    Case(
        "price of 40 digits",
        FRONT,
        order(lines=[{"sku": "TEA", "quantity": 1, "unit_price_minor": 10**40}]),
        "422",
        ("lines[0].unit_price_minor is above 1000", "it must be 0 to"),
    ),
    Case(
        "price of 5000 digits",
        FRONT,
        raw(b'{"lines": [{"unit_price_minor": ' + b"9" * 5000 + b"}]}"),
        "422",
        ("body is not JSON",),
    ),
    Case(
        "order id of 10 kB",
        FRONT,
        order(order_id="x" * 10_240),
        "422",
        ("order_id 'xxx", "1 to 128 printable"),
    ),
    Case("NUL in the order id", FRONT, order(order_id="a\0b"), "422", ("order_id 'a\\\\x00b'",)),
    Case("lone surrogate", FRONT, raw(SURROGATE), "422", ("order_id '\\\\ud800'",)),
    Case(
        "NaN",
        FRONT,
        raw(b'{"fraud_score": NaN, ' + orjson.dumps(ORDER)[1:]),
        "422",
        ("fraud_score is nan", "from 0 to 1"),
    ),
    Case("100000 brackets", FRONT, raw(DEEP), "422", ("body is not JSON", "send a JSON object")),
    Case("no UTF-8", FRONT, raw(b'{"order_id": "\xff"}'), "422", ("body is not JSON",)),
    Case("no JSON", FRONT, raw(b"order=1"), "422", ("body is not JSON",)),
    Case("no body", FRONT, raw(b""), "422", ("body is missing",)),
    Case(
        "wrong content type",
        FRONT,
        raw(orjson.dumps(ORDER), kind="text/plain"),
        "422",
        ("send a JSON object",),
    ),
    Case("giant body", FRONT, raw(b" " * (MAX_BODY_BYTES + 1)), "413", ("send less at once",)),
    Case(
        "flow version of 5000 digits",
        FRONT,
        order(flow="order/" + "9" * 5000),
        "422",
        ("flow is 'order/999", "give one of order/1, order/2"),
    ),
    Case(
        "wait longer than allowed",
        FRONT,
        Call("GET", "/orders/x/wait?timeout_s=1e9"),
        "422",
        ("timeout_s is",),
    ),
    Case(
        "wait for no number of seconds",
        FRONT,
        Call("GET", "/orders/x/wait?timeout_s=nan"),
        "422",
        ("timeout_s is",),
    ),
    Case(
        "unknown order",
        FRONT,
        Call("GET", "/orders/never%20heard%20of"),
        "404",
        ("no order never heard of", "check the id"),
    ),
    Case("NUL in the path", FRONT, Call("GET", "/orders/a%00b"), "404", ("no order a b",)),
    Case(
        "Idempotency-Key of 10 kB",
        FRONT,
        order()._replace(headers={"Idempotency-Key": "x" * 10_240}),
        "422",
        ("idempotency-key",),
    ),
    Case(
        "cancelled by nobody",
        FRONT,
        Call("POST", "/orders/x/cancel", json={"actor": ""}),
        "422",
        ("actor is ''", "reason is missing"),
    ),
    Case(
        "stock below zero",
        STOCK,
        Call(
            "POST",
            "/stock",
            json={"sku": "TEA", "quantity": -1, "actor": "a", "reason": "r", "id": "1"},
        ),
        "422",
        ("body.quantity", "not -1"),
    ),
    Case(
        "NaN units of stock",
        STOCK,
        raw(b'{"quantity": NaN}', "/stock"),
        "422",
        ("body.quantity", "not nan"),
    ),
    Case(
        "stock of a lone surrogate",
        STOCK,
        raw(b'{"sku": "\\ud800"}', "/stock"),
        "422",
        ("body.sku",),
    ),
)
