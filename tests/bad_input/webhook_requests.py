"""Bad webhooks of the provider and the carrier.

Signed ones are given as a function of the time.
"""

import time
from collections.abc import Callable
from typing import Any

import orjson

from sagakit.web.app import MAX_BODY_BYTES
from sagakit.web.signed_webhook import HEADER, TOLERANCE_S, sign
from tests.bad_input.apps import SECRET
from tests.bad_input.case import DEEP, Call, Case

PAYMENT, SHIPPING = "payment, webhook", "shipping, webhook"
KNOWN = "order/an order that payment knows"
CAPTURED: dict[str, Any] = {
    "id": "evt_1",
    "type": "charge.captured",
    "data": {"id": "ch_1", "reference": KNOWN, "amount_minor": 200, "currency": "EUR"},
}
PICKED: dict[str, Any] = {
    "id": "evt_1",
    "type": "label.picked_up",
    "data": {"id": "lb_1", "reference": KNOWN, "tracking": "TRK1"},
}


def signed(body: bytes, path: str = "/webhooks/provider", *, ago_s: int = 0) -> Callable[[], Call]:
    """A webhook signed when it is sent, or some time before."""

    def make() -> Call:
        header = sign(SECRET, body, int(time.time()) - ago_s)
        return Call("POST", path, content=body, headers={HEADER: header})

    return make


def charge(**changes: Any) -> Callable[[], Call]:
    """A capture told by the provider, its data changed."""
    return signed(orjson.dumps({**CAPTURED, "data": CAPTURED["data"] | changes}))


def decline(event_id: str, code: str) -> Callable[[], Call]:
    """A decline told by the provider, with a code that is none of its own."""
    data = CAPTURED["data"] | {"decline_code": code}
    return signed(orjson.dumps({"id": event_id, "type": "charge.declined", "data": data}))


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
        "control characters in the reference",
        PAYMENT,
        charge(reference="a\nb"),
        "400",
        ("reference must be a text", "printable"),
    ),
    Case(
        "unknown order",
        PAYMENT,
        charge(reference="order/never heard of"),
        "503",
        ("'order/never heard of': no charge of this order", "deliver it again"),
    ),
    Case(
        "reference that is no saga key",
        PAYMENT,
        charge(reference="o1"),
        "400",
        ("'o1' is no saga key", "send back the reference of the call"),
    ),
    Case("unknown charge", PAYMENT, charge(id="ch_other"), "200"),
    Case("wrong amount", PAYMENT, charge(amount_minor=1), "200"),
    Case("wrong currency", PAYMENT, charge(currency="JPY"), "200"),
    Case("NUL in the decline code", PAYMENT, decline("NUL in the decline code", "\0"), "200"),
    Case(
        "decline code of 600 kB", PAYMENT, decline("decline code of 600 kB", "x" * 600_000), "200"
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
