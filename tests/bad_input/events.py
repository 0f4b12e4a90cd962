"""Bad records. `given(key)` makes those of one order, of which the last is the bad one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from sagakit.contract.model import saga_id_of
from sagakit.handling.room import START_ROOM_BYTES
from sagakit.identity import saga_key
from sagakit.messages.codec import MAX_EVENT_BYTES, Codec
from sagakit.messages.envelope import NAMESPACE, Envelope, Trace, unreadable_header
from sagakit.messages.framing import SCHEMA_ID
from schemas import CONTRACT
from schemas.events import (
    InventoryReserved,
    OrderCancelRequested,
    OrderFacts,
    OrderLine,
    OrderPlaced,
)
from tests.bad_input.case import Case, Sent

CODEC = Codec(CONTRACT)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FACTS = OrderFacts(
    customer_id="c-1",
    email="ada@customer.example",
    currency="EUR",
    total_minor=200,
    lines=(OrderLine(sku="TEA-100", quantity=2, unit_price_minor=100),),
    card_token="tok_ok",
    ship_to="1 Main Street",
)
INVENTORY, ORDER = "inventory, record", "order, record"
Given = Callable[[str], list[Sent]]


def placed(key: str, **changes: Any) -> OrderPlaced:
    """An order, valid but for the changes."""
    return OrderPlaced(order_id=key, order=replace(FACTS, **changes), placed_at=NOW)


def sent(
    event: Any, seq: int | None = None, *, flow: str = "order/1", id_: UUID | None = None
) -> Sent:
    """An event as its owner publishes it; without a `seq` as a publisher from outside does."""
    key = saga_id_of(event)
    made = id_ or uuid5(NAMESPACE, f"{event.owner}/{key}/{seq}/{event.type}")
    row = CODEC.encode(
        Envelope(made, saga_key("order", key), event.owner, seq, NOW, event, trace=Trace(flow))
    )
    return Sent(row.topic, row.key.encode(), row.value, row.headers)


def line(**changes: Any) -> dict[str, Any]:
    """Facts with one line that is changed, and a total that fits it."""
    one = replace(FACTS.lines[0], **changes)
    return {"lines": (one,), "total_minor": one.quantity * one.unit_price_minor}


def bytes_(change: Callable[[bytes], bytes | None]) -> Given:
    """The body changed."""

    def make(key: str) -> list[Sent]:
        good = sent(placed(key))
        return [good._replace(value=change(good.value or b""))]

    return make


def _with_guid(key: str) -> list[Sent]:
    """As newer serializers of Confluent write it: the body alone, and the schema in a header."""
    good = sent(placed(key))
    header = (SCHEMA_ID, b"\1" + UUID(int=7).bytes)
    return [good._replace(value=(good.value or b"")[10:], headers=(*good.headers, header))]


def key_(change: Callable[[str], bytes | None]) -> Given:
    """The record key changed."""
    return lambda key: [sent(placed(key))._replace(key=change(key))]


def facts(**changes: Any) -> Given:
    """The order's facts changed."""
    return lambda key: [sent(placed(key, **changes))]


def flow(label: str) -> Given:
    """The `flow` header changed."""
    return lambda key: [sent(placed(key), flow=label)]


def _header(name: str, value: bytes, seq: int | None = None) -> Given:
    def make(key: str) -> list[Sent]:
        good = sent(placed(key), seq)
        kept = tuple(h for h in good.headers if h[0] != name)
        return [good._replace(headers=(*kept, (name, value)))]

    return make


def _cancel(key: str, seq: int, id_: UUID | None = None) -> Sent:
    return sent(OrderCancelRequested(order_id=key, actor="ada", reason="twice"), seq, id_=id_)


def _fingerprint(body: bytes) -> bytes:
    return b"\xc3\x01" + b"\x07" * 8 + body[10:]


def _after_order_id(tail: bytes) -> Callable[[bytes], bytes]:
    """The body with what follows the order id replaced."""
    return lambda body: body[: 10 + 1 + body[10] // 2] + tail


HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
"""2^63 - 1 as Avro writes it: a string of that many bytes, an array of that many items."""
SAME = uuid5(NAMESPACE, "the same id")

UNREADABLE = (
    Case(
        "garbage",
        INVENTORY,
        bytes_(lambda b: b"\xde\xad\xbe\xef" * 8),
        "undecodable",
        ("begins with deadbeef", "neither Avro single-object encoding"),
    ),
    Case(
        "JSON",
        INVENTORY,
        bytes_(lambda b: b'{"order_id": "o1"}'),
        "undecodable",
        ("begins with 7b226f72", "neither Avro"),
    ),
    Case("empty body", INVENTORY, bytes_(lambda b: b""), "undecodable", ("begins with nothing",)),
    Case("tombstone", INVENTORY, bytes_(lambda b: None), "undecodable", ("begins with nothing",)),
    Case(
        "only a mark",
        INVENTORY,
        bytes_(lambda b: b[:10]),
        "undecodable",
        ("is not a valid OrderPlaced",),
    ),
    Case(
        "unknown fingerprint",
        INVENTORY,
        bytes_(_fingerprint),
        "unknown_schema",
        ("0707070707070707", "publish with one of its contract's *.avsc"),
    ),
    Case(
        "schema id without a registry",
        INVENTORY,
        bytes_(lambda b: b"\0\0\0\x30\x39" + b[10:]),
        "undecodable",
        ("schema id 12345", "SAGA_SCHEMA_REGISTRY_URL is not set"),
    ),
    Case(
        "schema GUID in a header, without a registry",
        INVENTORY,
        _with_guid,
        "undecodable",
        (f"schema id {UUID(int=7)}", "SAGA_SCHEMA_REGISTRY_URL is not set"),
    ),
    Case(
        "wrong types",
        INVENTORY,
        bytes_(lambda b: b[:10] + b"\xff" * 24),
        "undecodable",
        ("is not a valid OrderPlaced",),
    ),
    Case(
        "truncated",
        INVENTORY,
        bytes_(lambda b: b[:-3]),
        "undecodable",
        ("is not a valid OrderPlaced",),
    ),
    Case(
        "trailing bytes",
        INVENTORY,
        bytes_(lambda b: b + b"\0"),
        "undecodable",
        ("1 extra bytes after the OrderPlaced",),
    ),
    Case(
        "string of 2^62 bytes",
        INVENTORY,
        bytes_(_after_order_id(HUGE)),
        "undecodable",
        ("is not a valid OrderPlaced",),
    ),
    Case(
        "string of negative length",
        INVENTORY,
        bytes_(_after_order_id(b"\x03ab")),
        "undecodable",
        ("is not a valid OrderPlaced",),
    ),
    Case(
        "invalid UTF-8 in a text",
        INVENTORY,
        bytes_(_after_order_id(b"\x04\xff\xfe")),
        "undecodable",
        ("is not a valid OrderPlaced", "utf-8"),
    ),
    Case(
        "time in no calendar",
        INVENTORY,
        bytes_(lambda b: b[:-8] + HUGE),
        "undecodable",
        ("OrderPlaced",),
    ),
    Case(
        "too large",
        INVENTORY,
        bytes_(lambda b: b + bytes(MAX_EVENT_BYTES)),
        "oversized",
        (f"the limit is {MAX_EVENT_BYTES}",),
    ),
    Case(
        "headers too large",
        INVENTORY,
        _header("x", bytes(MAX_EVENT_BYTES)),
        "oversized",
        (f"the limit is {MAX_EVENT_BYTES}",),
    ),
    Case(
        "no room for the events that follow",
        INVENTORY,
        facts(ship_to="x" * (MAX_EVENT_BYTES - START_ROOM_BYTES)),
        "oversized",
        ("need room", f"the limit here is {MAX_EVENT_BYTES - START_ROOM_BYTES}"),
    ),
    Case(
        "correlation id of 400 kB",
        INVENTORY,
        _header("ce_correlationid", b"c" * 400_000),
        "handled",
    ),
    Case(
        "headers that the client cannot read",
        INVENTORY,
        lambda key: [
            sent(placed(key))._replace(headers=unreadable_header("header names must be UTF-8"))
        ],
        "undecodable",
        ("header names must be UTF-8",),
    ),
)

MISPLACED = (
    Case(
        "no key",
        INVENTORY,
        key_(lambda k: None),
        "bad_key",
        ("has no key", "publish it with the saga id"),
    ),
    Case("empty key", INVENTORY, key_(lambda k: b""), "bad_key", ("has no key",)),
    Case(
        "key of 10 kB",
        INVENTORY,
        key_(lambda k: b"x" * 10_240),
        "bad_key",
        ("xxxx", "has 10240 characters", "1 to 128 printable"),
    ),
    Case(
        "control characters in the key",
        INVENTORY,
        key_(lambda k: f"{k}\n\x1b[31m".encode()),
        "bad_key",
        ("printable",),
    ),
    Case("NUL in the key", INVENTORY, key_(lambda k: f"{k}\0".encode()), "bad_key", ("\\x00",)),
    Case(
        "key that is no UTF-8",
        INVENTORY,
        key_(lambda k: b"\xff\xfe"),
        "bad_key",
        ("is not UTF-8", "use the saga id"),
    ),
    Case(
        "another order's key",
        INVENTORY,
        lambda k: [sent(placed(f"{k}-2"))._replace(key=k.encode())],
        "undecodable",
        ("body says order_id",),
    ),
    Case(
        "event on another's topic",
        INVENTORY,
        lambda k: [sent(placed(k))._replace(topic="payment.events")],
        "undecodable",
        ("belongs on order.events",),
    ),
    Case(
        "header names another type",
        INVENTORY,
        _header("ce_type", b"OrderCancelled"),
        "undecodable",
        ("header ce_type is OrderCancelled", "but the body is a OrderPlaced"),
    ),
    Case(
        "unknown flow version",
        INVENTORY,
        flow("order/99"),
        "unknown_flow",
        ("order/99", "known: order/1, order/2", "deploy the flow file"),
    ),
    Case("unknown flow", INVENTORY, flow("pizza/1"), "unknown_flow", ("pizza/1", "known: order/1")),
    Case(
        "flow version of 5000 digits",
        INVENTORY,
        flow("order/" + "9" * 5000),
        "unknown_flow",
        ("order/999", "known: order/1"),
    ),
    Case("NUL in the correlation id", INVENTORY, _header("ce_correlationid", b"a\0b"), "handled"),
    Case(
        "NUL in the source",
        INVENTORY,
        _header("ce_source", b"a\0b", seq=1),
        "handled",
    ),
    Case(
        "sequence number that is no number", INVENTORY, _header("ce_sequence", b"\xff"), "handled"
    ),
)

OUT_OF_ORDER = (
    Case(
        "gap in the sequence",
        INVENTORY,
        lambda k: [_cancel(k, 3)],
        "gap",
        ("event 3 of order arrived, but 1 is missing", "republish order's events of this saga"),
    ),
    Case(
        "another event at the same place",
        INVENTORY,
        lambda k: [_cancel(k, 1), _cancel(k, 1, id_=SAME)],
        "sequence_conflict",
        ("but id", "lost part of its database", "redrive"),
    ),
    Case(
        "event id again with other content",
        INVENTORY,
        lambda k: [sent(placed(k), id_=SAME), sent(placed(k, ship_to="2"), id_=SAME)],
        "repeat",
    ),
    Case(
        "order id again with other content",
        ORDER,
        lambda k: [sent(placed(k)), sent(placed(k, ship_to="2 Main Street"), id_=SAME)],
        "OrderRejected",
        ("exists with other content", "place this one under another id"),
    ),
    Case(
        "step done that was never asked for",
        INVENTORY,
        lambda k: [sent(InventoryReserved(order_id=k, order=FACTS), 1)],
        "handled",
    ),
)

INVALID = (
    Case(
        "no lines",
        INVENTORY,
        facts(lines=(), total_minor=0),
        "InventoryRejected",
        ("lines has 0 entries", "an order has 1 to"),
    ),
    Case(
        "1001 lines",
        INVENTORY,
        facts(lines=FACTS.lines * 1001, total_minor=200_200),
        "InventoryRejected",
        ("lines has 1001 entries",),
    ),
    Case(
        "zero quantity",
        INVENTORY,
        facts(**line(quantity=0)),
        "InventoryRejected",
        ("lines[0].quantity is 0", "it must be 1 to"),
    ),
    Case(
        "negative quantity",
        INVENTORY,
        facts(**line(quantity=-1)),
        "InventoryRejected",
        ("lines[0].quantity is -1", "it must be 1 to"),
    ),
    Case(
        "negative price",
        INVENTORY,
        facts(**line(unit_price_minor=-1)),
        "InventoryRejected",
        ("lines[0].unit_price_minor is -1", "0 to 1000000000000"),
    ),
    Case(
        "overflowing amounts",
        INVENTORY,
        facts(lines=(replace(FACTS.lines[0], unit_price_minor=2**62),) * 9, total_minor=2**63 - 1),
        "InventoryRejected",
        ("lines[0].unit_price_minor is 4611686018427387904", "it must be 0 to 1000000000000"),
    ),
    Case(
        "total that is not the sum",
        INVENTORY,
        facts(total_minor=199),
        "InventoryRejected",
        ("total_minor is 199, but the lines add up to 200", "correct one"),
    ),
    Case(
        "unknown currency",
        INVENTORY,
        facts(currency="ZZZ"),
        "InventoryRejected",
        ("currency 'ZZZ'", "ISO 4217"),
    ),
    Case(
        "SKU of 10 kB",
        INVENTORY,
        facts(**line(sku="x" * 10_240)),
        "InventoryRejected",
        ("lines[0].sku", "1 to 128 printable"),
    ),
    Case(
        "NUL in a SKU",
        INVENTORY,
        facts(**line(sku="TEA\0")),
        "InventoryRejected",
        ("lines[0].sku 'TEA\\x00'",),
    ),
    Case(
        "control characters in a mail address",
        INVENTORY,
        facts(email="ada\n@c.example"),
        "InventoryRejected",
        ("email 'ada\\n@c.example'", "write name@domain"),
    ),
    Case(
        "NUL in an address",
        INVENTORY,
        facts(ship_to="1 Main\0Street"),
        "InventoryRejected",
        ("ship_to '1 Main\\x00Street'", "no control characters"),
    ),
    Case(
        "fraud score that is no number",
        INVENTORY,
        facts(fraud_score=float("nan")),
        "InventoryRejected",
        ("fraud_score is nan", "give a number from 0 to 1"),
    ),
    Case(
        "a loyalty card without a number",
        INVENTORY,
        facts(loyalty_card=""),
        "InventoryRejected",
        ("loyalty_card is empty", "1 to 64 printable characters"),
    ),
)

EVENTS = (*UNREADABLE, *MISPLACED, *OUT_OF_ORDER, *INVALID)
