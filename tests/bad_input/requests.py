"""Bad HTTP requests: webhooks, the order API, stock, the monitor, the operator's routes, the
sandbox. `given` is a Call, or for what is signed a function of the time."""

import time
from collections.abc import Callable
from typing import Any

import orjson

from sagakit.web.app import MAX_BODY_BYTES
from sagakit.web.signed_webhook import HEADER, TOLERANCE_S, sign
from tests.bad_input.apps import SECRET
from tests.bad_input.case import Call, Case

PAYMENT, SHIPPING = "payment, webhook", "shipping, webhook"
FRONT, STOCK, MONITOR, ADMIN = "order, API", "inventory, API", "monitor, API", "order, admin"
PROVIDER, CARRIER, MAIL = "provider, API", "carrier, API", "mail, API"
KNOWN = "an order that payment knows"
CAPTURED: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.captured",
    "data": {"id": "ch_1", "order_id": KNOWN, "amount_minor": 200, "currency": "EUR"},
}
PICKED: dict[str, Any] = {
    "id": "evt_1",
    "type": "label.picked_up",
    "data": {"id": "lb_1", "order_id": KNOWN, "tracking": "TRK1"},
}
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
DEEP = b"[" * 100_000
JSON = {"content-type": "application/json"}


def signed(body: bytes, path: str = "/webhooks/provider", *, ago_s: int = 0) -> Callable[[], Call]:
    """A webhook signed when it is sent, or some time before."""

    def make() -> Call:
        header = sign(SECRET, body, int(time.time()) - ago_s)
        return Call("POST", path, content=body, headers={HEADER: header})

    return make


def charge(**changes: Any) -> Callable[[], Call]:
    """A capture told by the provider, its data changed."""
    return signed(orjson.dumps({**CAPTURED, "data": CAPTURED["data"] | changes}))


def event(**changes: Any) -> Callable[[], Call]:
    """The same, the event itself changed."""
    return signed(orjson.dumps(CAPTURED | changes))


def parcel(**changes: Any) -> Callable[[], Call]:
    """A pickup told by the carrier, its data changed."""
    return signed(orjson.dumps({**PICKED, "data": PICKED["data"] | changes}), "/webhooks/carrier")


def unsigned(header: str | None) -> Callable[[], Call]:
    """A webhook with another header; `{now}` is the time."""

    def make() -> Call:
        headers = {} if header is None else {HEADER: header.format(now=int(time.time()))}
        return Call("POST", "/webhooks/provider", content=orjson.dumps(CAPTURED), headers=headers)

    return make


def order(**changes: Any) -> Call:
    """An order to place, changed; `...` leaves a field out."""
    body = {name: value for name, value in (ORDER | changes).items() if value is not ...}
    return Call("POST", "/orders", json=body)


def raw(body: bytes, path: str = "/orders", kind: str = "application/json") -> Call:
    """A body that may be no JSON."""
    return Call("POST", path, content=body, headers={"content-type": kind})


WEBHOOKS = (
    Case(
        "no signature",
        PAYMENT,
        unsigned(None),
        "401",
        ("header Saga-Signature is missing", "sign the body"),
    ),
    Case(
        "wrong signature",
        PAYMENT,
        unsigned("t={now},v1=00"),
        "401",
        ("does not match the body", "check the shared secret"),
    ),
    Case(
        "signature that is no ASCII",
        PAYMENT,
        unsigned("t={now},v1=\xe9"),
        "401",
        ("does not match the body",),
    ),
    Case("signature without a time", PAYMENT, unsigned("v1=00"), "401", ("has no time",)),
    Case("time of 5000 digits", PAYMENT, unsigned("t=" + "9" * 5000), "401", ("has no time",)),
    Case(
        "stale",
        PAYMENT,
        signed(orjson.dumps(CAPTURED), ago_s=TOLERANCE_S + 60),
        "401",
        (f"more than {TOLERANCE_S} s ago", "compare the clocks"),
    ),
    Case(
        "from the future",
        PAYMENT,
        signed(orjson.dumps(CAPTURED), ago_s=-TOLERANCE_S - 60),
        "401",
        ("or in the future", "compare the clocks"),
    ),
    Case("no JSON", PAYMENT, signed(b"{"), "400", ("is no JSON", "send an event of the provider")),
    Case("no UTF-8", PAYMENT, signed(b'{"id": "\xff"}'), "400", ("is no JSON",)),
    Case("100000 brackets", PAYMENT, signed(DEEP), "400", ("is no JSON",)),
    Case("no object", PAYMENT, signed(b"[]"), "400", ("is a JSON object with id, type and data",)),
    Case("no type", PAYMENT, event(type=None), "400", ("type is missing",)),
    Case("type not asked for", PAYMENT, event(type="payout.paid"), "200"),
    Case("no data", PAYMENT, event(data=None), "400", ("data is missing",)),
    Case("event id of 10 kB", PAYMENT, event(id="x" * 10_240), "400", ("1 to 255 printable",)),
    Case("amount below zero", PAYMENT, charge(amount_minor=-1), "400", ("amount_minor must be",)),
    Case("amount with a fraction", PAYMENT, charge(amount_minor=1.5), "400", ("amount_minor",)),
    Case(
        "amount beyond all numbers", PAYMENT, charge(amount_minor=2**63), "400", ("amount_minor",)
    ),
    Case(
        "control characters in the order id",
        PAYMENT,
        charge(order_id="a\nb"),
        "400",
        ("order_id must be a text", "printable"),
    ),
    Case(
        "unknown order",
        PAYMENT,
        charge(order_id="never heard of"),
        "503",
        ("'never heard of': no charge of this order", "deliver it again"),
    ),
    Case("unknown charge", PAYMENT, charge(id="ch_other"), "200"),
    Case("wrong amount", PAYMENT, charge(amount_minor=1), "200"),
    Case("wrong currency", PAYMENT, charge(currency="JPY"), "200"),
    Case(
        "NUL in the decline code",
        PAYMENT,
        signed(
            orjson.dumps(
                {
                    "id": "e",
                    "type": "charge.declined",
                    "data": CAPTURED["data"] | {"decline_code": "\0"},
                }
            )
        ),
        "400",
        ("decline_code must be a text",),
    ),
    Case(
        "decline code of 600 kB",
        PAYMENT,
        signed(
            orjson.dumps(
                {
                    "id": "e",
                    "type": "charge.declined",
                    "data": CAPTURED["data"] | {"decline_code": "x" * 600_000},
                }
            )
        ),
        "400",
        ("decline_code must be a text of 1 to 255",),
    ),
    Case(
        "giant body",
        PAYMENT,
        signed(bytes(MAX_BODY_BYTES + 1)),
        "413",
        (f"more than {MAX_BODY_BYTES} bytes", "send less at once"),
    ),
    Case(
        "no label known yet",
        SHIPPING,
        parcel(),
        "503",
        ("the label of this order is not stored", "deliver it again"),
    ),
    Case("no tracking", SHIPPING, parcel(tracking=None), "400", ("data.tracking must be a text",)),
    Case(
        "NUL in the tracking",
        SHIPPING,
        parcel(tracking="T\0"),
        "400",
        ("data.tracking must be a text",),
    ),
    Case(
        "label id of 600 kB",
        SHIPPING,
        parcel(id="x" * 600_000),
        "400",
        ("data.id must be a text of 1 to 255",),
    ),
)

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
        ("total_minor is 1000", "it must be 1 to"),
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

OPERATORS = (
    Case(
        "unknown order",
        MONITOR,
        Call("GET", "/sagas/never%20heard%20of"),
        "404",
        ("never heard of", "check the id, or try again"),
    ),
    Case("NUL in the path", MONITOR, Call("GET", "/sagas/a%00b"), "404", ("a\\\\x00b",)),
    Case(
        "unknown status",
        MONITOR,
        Call("GET", "/sagas?status=lost"),
        "422",
        ("query.status", "not 'lost'"),
    ),
    Case(
        "limit below one",
        MONITOR,
        Call("GET", "/unreadable?limit=-1"),
        "422",
        ("query.limit", "not '-1'"),
    ),
    Case(
        "verdict on an unknown order",
        MONITOR,
        Call(
            "POST",
            "/verdicts",
            json={
                "order_id": "x\0",
                "step": "payment",
                "verdict": "approve",
                "actor": "a",
                "reason": "r",
            },
        ),
        "404",
        ("check the id",),
    ),
    Case(
        "cancelling a lone surrogate",
        MONITOR,
        raw(b'{"order_id": "\\ud800", "actor": "a", "reason": "r"}', "/cancellations"),
        "422",
        ("body.order_id",),
    ),
    Case(
        "verdict that is neither yes nor no",
        MONITOR,
        Call(
            "POST",
            "/verdicts",
            json={
                "order_id": "x",
                "step": "payment",
                "verdict": "maybe",
                "actor": "a",
                "reason": "r",
            },
        ),
        "422",
        ("body.verdict", "not 'maybe'"),
    ),
    Case(
        "NaN for a reason",
        MONITOR,
        raw(b'{"reason": NaN}', "/cancellations"),
        "422",
        ("body.reason", "not nan"),
    ),
    Case(
        "lone surrogate for an actor",
        MONITOR,
        raw(b'{"actor": "\\ud800"}', "/cancellations"),
        "422",
        ("body.actor",),
    ),
    Case("limit below one", ADMIN, Call("GET", "/admin/parked?limit=-1"), "422", ("query.limit",)),
    Case(
        "limit of 40 digits",
        ADMIN,
        Call("GET", f"/admin/outbox?limit={10**40}"),
        "422",
        ("query.limit",),
    ),
    Case(
        "NUL in an order id",
        ADMIN,
        Call("GET", "/admin/effects?order=%00"),
        "422",
        ("query.order",),
    ),
    Case(
        "record beyond all numbers",
        ADMIN,
        Call("DELETE", f"/admin/parked/{2**63}?actor=a&reason=r"),
        "422",
        ("path.number",),
    ),
    Case(
        "unknown record",
        ADMIN,
        Call("DELETE", "/admin/parked/999999?actor=a&reason=r"),
        "404",
        ("no parked record 999999", "GET /admin/parked lists them"),
    ),
    Case("discarded by nobody", ADMIN, Call("DELETE", "/admin/parked/1"), "422", ("query.actor",)),
    Case(
        "key of 10 kB",
        ADMIN,
        Call("POST", f"/admin/parked/{'x' * 10_240}/redrive"),
        "422",
        ("path.key",),
    ),
    Case("NUL in a key", ADMIN, Call("POST", "/admin/parked/%00/redrive"), "422", ("path.key",)),
    Case("no such route", ADMIN, Call("GET", "/nowhere"), "404", ("Not Found",)),
)

CHARGE = {"order_id": "o", "amount_minor": 1, "currency": "EUR", "card_token": "tok_ok"}
WORLD = (
    Case(
        "no Idempotency-Key",
        PROVIDER,
        Call("POST", "/v1/charges", json=CHARGE),
        "400",
        ("Idempotency-Key is missing", "send one key"),
    ),
    Case(
        "offset beyond all numbers",
        MAIL,
        Call("GET", f"/v1/mails?offset={2**63}"),
        "400",
        ("offset",),
    ),
    Case(
        "quantity beyond all numbers",
        CARRIER,
        Call(
            "POST",
            "/v1/labels",
            json={
                "order_id": "o",
                "ship_to": "x",
                "email": "e",
                "lines": [{"sku": "s", "quantity": 2**70}],
            },
            headers={"Idempotency-Key": "k"},
        ),
        "400",
        ("lines.0.quantity",),
    ),
    Case(
        "outage that never ends",
        CARRIER,
        raw(b'{"seconds": Infinity}', "/control/outage"),
        "400",
        ("seconds",),
    ),
    Case(
        "NaN for an amount",
        PROVIDER,
        raw(
            b'{"order_id": "o", "amount_minor": NaN, "currency": "EUR", "card_token": "x"}',
            "/v1/charges",
        )._replace(headers={"Idempotency-Key": "k", **JSON}),
        "400",
        ("amount_minor",),
    ),
    Case(
        "refund of an unknown charge",
        PROVIDER,
        Call(
            "POST",
            "/v1/refunds",
            json={"order_id": "o", "charge_id": "ch_x", "amount_minor": 1},
            headers={"Idempotency-Key": "r"},
        ),
        "404",
        ("'ch_x'", "name its charge_key"),
    ),
)

REQUESTS = (*WEBHOOKS, *ORDERS, *OPERATORS, *WORLD)
