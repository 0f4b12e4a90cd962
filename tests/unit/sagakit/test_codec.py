"""The codec on hostile input, one kind at a time, each refused with its reason."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import pytest

from sagakit.contract.model import Contract, inline
from sagakit.errors import (
    BadKey,
    EventTooLarge,
    RecordTooLarge,
    Undecodable,
    UnprocessableRecord,
)
from sagakit.identity import MAX_ID_CHARS
from sagakit.messages.codec import MAX_EVENT_BYTES, Codec
from sagakit.messages.envelope import NAMESPACE, Envelope, Record
from sagakit.messages.framing import SchemaId
from schemas import CONTRACT
from schemas.events import OrderPlaced
from tests.order_facts import TWO_TEAS
from tests.toy_saga import CONTRACT as TOYS
from tests.toy_saga import NOW, Started, Ticked, schema_of

FACTS = TWO_TEAS
PLACED = OrderPlaced(order_id="o1", order=FACTS, placed_at=NOW)


class FakeRegistry:
    """A schema registry in memory, whose ids ascend from 1; `lookups` counts questions."""

    def __init__(self) -> None:
        self.schemas: dict[SchemaId, Mapping[str, Any]] = {}
        self.subjects: dict[str, int] = {}
        self.lookups: list[SchemaId] = []

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        self.subjects[subject] = self.add(schema)
        return self.subjects[subject]

    def add(self, schema: Any) -> int:
        """Somebody else's schema."""
        number = len(self.schemas) + 1
        self.schemas[number] = schema
        return number

    def current_id(self, subject: str, schema: Mapping[str, Any]) -> int | None:
        return self.subjects.get(subject)

    def lookup(self, schema_id: SchemaId) -> list[Any]:
        self.lookups.append(schema_id)
        if schema_id not in self.schemas:
            raise KeyError(f"schema id {schema_id}")
        return list(json.loads(json.dumps([self.schemas[schema_id]])))


@pytest.fixture(params=["single object", "confluent"])
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec(CONTRACT, FakeRegistry() if request.param == "confluent" else None)


def envelope(event: Any = PLACED, **changes: Any) -> Envelope:
    return replace(Envelope(UUID(int=1), "order/o1", "order", 1, NOW, event), **changes)


def record(codec: Codec, event: Any = PLACED, **changes: Any) -> Record:
    row = codec.encode(envelope(event))
    good = Record(row.topic, 0, 9, 1_767_323_045_000, b"o1", row.value, row.headers)
    return replace(good, **changes)


def with_headers(codec: Codec, **headers: bytes | None) -> Record:
    """The good record with headers changed, or taken away (None)."""
    good = record(codec)
    changed = {**dict(good.headers), **headers}
    return replace(good, headers=tuple((k, v) for k, v in changed.items() if v is not None))


def refused(codec: Codec, bad: Record, error: type[UnprocessableRecord], *says: str) -> None:
    with pytest.raises(error) as raised:
        codec.decode(bad)
    for word in says:
        assert word in str(raised.value)


def test_the_time_is_the_logs_not_the_producers(codec: Codec) -> None:
    late = with_headers(codec, ce_time=b"2031-01-01T00:00:00+00:00")
    assert codec.decode(late).time == NOW


# --- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [None, b"", b"garbage", b"\xc3", b"\xc3\x01", b"{}", b"\0", b"\1"]
)
def test_garbage_is_undecodable(codec: Codec, value: bytes | None) -> None:
    refused(codec, record(codec, value=value), Undecodable)


def test_an_unknown_fingerprint_is_undecodable(codec: Codec) -> None:
    bad = b"\xc3\x01" + bytes(range(8)) + b"\2\2"
    refused(codec, record(codec, value=bad), Undecodable, "0001020304050607", "*.avsc")


def test_an_unknown_schema_id_is_undecodable() -> None:
    codec = Codec(CONTRACT, registry := FakeRegistry())
    bad = b"\0" + (77_777).to_bytes(4, "big") + b"\2\2"
    foreign = replace(record(codec, value=bad), headers=())
    refused(codec, foreign, Undecodable, "77777", "not in the registry")
    assert registry.lookups == [77_777]


def test_a_schema_id_is_undecodable_without_a_registry() -> None:
    codec = Codec(CONTRACT)
    refused(codec, record(codec, value=b"\0\0\0\0\1abc"), Undecodable, "SAGA_SCHEMA_REGISTRY_URL")


def test_both_framings_are_read_where_a_registry_is_configured() -> None:
    with_registry, without = Codec(CONTRACT, FakeRegistry()), Codec(CONTRACT)
    assert with_registry.decode(record(without)).event == PLACED
    assert record(with_registry).value != record(without).value


def test_schemas_are_registered_under_topic_and_record_name() -> None:
    Codec(CONTRACT, registry := FakeRegistry())
    assert "order.events-OrderPlaced" in registry.subjects
    assert len(registry.subjects) == len(CONTRACT.event_types)


def test_a_truncated_event_is_undecodable(codec: Codec) -> None:
    whole = record(codec).value
    assert whole
    for length in range(len(whole)):
        refused(codec, record(codec, value=whole[:length]), Undecodable)


@pytest.mark.parametrize("tail", [b"\0", b"\2", b"x" * 1000])
def test_extra_bytes_after_the_event_are_undecodable(codec: Codec, tail: bytes) -> None:
    whole = record(codec).value or b""
    refused(codec, record(codec, value=whole + tail), Undecodable, f"{len(tail)} extra bytes")


def test_a_text_that_is_not_utf_8_is_undecodable(codec: Codec) -> None:
    body = (record(codec).value or b"").replace(b"ada@", b"\xff\xfe")
    refused(codec, record(codec, value=body), Undecodable, "OrderPlaced")


@pytest.mark.parametrize("more", [4, 10, 1000, 100_000])
def test_an_integer_longer_than_64_bits_never_gets_in(codec: Codec, more: int) -> None:
    body = codec.body(PLACED)
    assert body.count(b"\x88\x27") == 1, "2500, zigzag"
    bad = body.replace(b"\x88\x27", b"\xff" * (6 + more) + b"\x7f")
    try:
        event = codec.decode(record(codec, value=bad)).event
    except Undecodable:
        return
    assert -(2**63) <= event.order.total_minor < 2**63


@pytest.mark.parametrize("minor", [2**63, -(2**63) - 1])
def test_an_own_integer_beyond_64_bits_is_not_written(codec: Codec, minor: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        codec.body(replace(PLACED, order=replace(FACTS, total_minor=minor)))


@pytest.mark.parametrize("score", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_no_number_is_read_as_such(codec: Codec, score: float) -> None:
    """NaN is Avro; whether it makes sense is for the rules to say (schemas/rules.py)."""
    event = replace(PLACED, order=replace(FACTS, fraud_score=score))
    assert repr(codec.decode(record(codec, event)).event.order.fraud_score) == repr(score)


def test_oversized_is_not_even_decoded(codec: Codec) -> None:
    bad = record(codec, value=b"\xc3\x01" + bytes(2_000_000), headers=())
    refused(codec, bad, RecordTooLarge, "2000002 bytes", str(MAX_EVENT_BYTES))
    headers = (("h", bytes(MAX_EVENT_BYTES)),)
    refused(codec, record(codec, headers=headers), RecordTooLarge)


def test_an_own_event_too_large_is_not_written(codec: Codec) -> None:
    large = replace(PLACED, order=replace(FACTS, ship_to="x" * MAX_EVENT_BYTES))
    with pytest.raises(EventTooLarge, match="OrderPlaced has 52"):
        codec.encode(envelope(large))


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (None, "no key"),
        (b"", "no key"),
        (b"\xff\xfe", "not UTF-8"),
        (b"o" * 10_000, "10000 characters"),
        (b"o" * (MAX_ID_CHARS + 1), "129 characters"),
        (b"o\n1", "printable"),
        (b"o\0", "printable"),
        ("o\u2028".encode(), "printable"),
        ("o\u202e1".encode(), "printable"),
        ("o\u200d1".encode(), "printable"),
        ("u\u0308".encode(), "NFC"),
    ],
)
def test_a_key_that_is_no_saga_id_is_refused(codec: Codec, key: bytes | None, says: str) -> None:
    refused(codec, record(codec, key=key), BadKey, says)


@pytest.mark.parametrize("key", ["o", "ü" * MAX_ID_CHARS, "Auftrag 7/ä", "🫖", "می\u200cروم"])
def test_a_key_that_is_a_saga_id_is_accepted(codec: Codec, key: str) -> None:
    event = replace(PLACED, order_id=key)
    assert codec.decode(record(codec, event, key=key.encode())).key == f"order/{key}"


def test_a_key_of_another_order_than_the_body(codec: Codec) -> None:
    refused(codec, record(codec, key=b"o2"), Undecodable, "'o2'", "'o1'")


def test_an_event_on_the_topic_of_another_owner_is_refused(codec: Codec) -> None:
    bad = record(codec, topic="payment.events")
    refused(codec, bad, Undecodable, "OrderPlaced belongs on order.events, not on payment.events")


# --- headers ------------------------------------------------------------------------------------


def test_a_type_header_that_contradicts_the_body_is_refused(codec: Codec) -> None:
    refused(codec, with_headers(codec, ce_type=b"PaymentCaptured"), Undecodable, "PaymentCaptured")
    refused(codec, with_headers(codec, ce_type=b"\xff"), Undecodable)


@pytest.mark.parametrize(
    "text",
    [b"", b"x", b"-1", b"0", b"1.0", b" 1", b"1e3", "\u0661".encode(), b"9" * 30, b"\xff", b"+1"],
)
def test_a_sequence_that_is_no_count_is_none(codec: Codec, text: bytes) -> None:
    assert codec.decode(with_headers(codec, ce_sequence=text)).seq is None


def test_a_sequence_without_a_source_is_none(codec: Codec) -> None:
    assert codec.decode(with_headers(codec, ce_source=None)).seq is None
    assert codec.decode(with_headers(codec, ce_source=b"")).seq is None


def test_headers_that_are_no_text_are_read_with_replacements(codec: Codec) -> None:
    bad = with_headers(
        codec, ce_correlationid=b"\xff", ce_causationid=b"no uuid", strange=b"\xff\0"
    )
    found = codec.decode(bad)
    assert (found.trace.correlation, found.causation) == ("\ufffd", None)


def test_a_record_without_any_header_is_an_event(codec: Codec) -> None:
    found = codec.decode(record(codec, headers=()))
    assert (found.event, found.source, found.seq) == (PLACED, "", None)


def test_a_publisher_without_ids_has_ids_by_order_and_content(codec: Codec) -> None:
    """A second publication is recognised, other content under the same order id as well."""
    same = replace(PLACED)
    other = replace(PLACED, order=replace(FACTS, total_minor=1))
    ids = [codec.decode(record(codec, e, headers=())).id for e in (PLACED, same, other)]
    assert ids[0] == ids[1] != ids[2]


def test_an_id_that_is_no_uuid_is_made_one_by_source(codec: Codec) -> None:
    found = codec.decode(with_headers(codec, ce_id=b"shop-7", ce_source=b"shop"))
    assert found.id == uuid5(NAMESPACE, "shop:shop-7")


@pytest.mark.parametrize("stamp_ms", [10**18, -(10**18)])
def test_a_time_outside_the_calendar_is_refused(codec: Codec, stamp_ms: int) -> None:
    """Only a topic that is not set to LogAppendTime can hold one."""
    refused(codec, record(codec, timestamp_ms=stamp_ms), Undecodable, "LogAppendTime")


# --- the time of what was republished -------------------------------------------------------------


def at_ms(codec: Codec, logged_at: bytes | None, stands_ms: int = 1_767_323_045_000) -> float:
    bad = replace(with_headers(codec, logged_at=logged_at), timestamp_ms=stands_ms)
    return codec.decode(bad).time.timestamp() * 1000


def test_a_republished_event_has_the_time_of_its_first_publication(codec: Codec) -> None:
    assert at_ms(codec, None) == 1_767_323_045_000
    assert at_ms(codec, b"1767000000001") == 1_767_000_000_001


def test_a_first_publication_is_never_later_than_the_record(codec: Codec) -> None:
    """Else whoever publishes could put a deadline off for ever."""
    assert at_ms(codec, b"1767323045001") == 1_767_323_045_000


@pytest.mark.parametrize("text", [b"", b"x", b"-1", b"1.5", b" 1", b"9" * 16, b"\xff"])
def test_a_malformed_time_of_the_first_publication_is_refused(codec: Codec, text: bytes) -> None:
    refused(codec, with_headers(codec, logged_at=text), Undecodable, "logged_at")


# --- schemas of others --------------------------------------------------------------------------


def released(fields: list[dict[str, Any]]) -> Contract:
    """The toys' contract with an older `Ticked`, and today's with a new field."""
    old = {**TOYS.schemas, "Ticked": schema_of("Ticked", fields=fields)}
    return Contract(TOYS.event_types, TOYS.schemas, [old])


ORDER_ID = {"name": "order_id", "type": "string"}
OLD_WORD = {"name": "word", "type": "string", "default": "old"}


def test_an_older_release_is_read_with_todays_defaults() -> None:
    today = [ORDER_ID, {"name": "word", "type": "string", "default": "new"}]
    old = Codec(
        replace(
            TOYS,
            schemas={"Ticked": schema_of("Ticked", fields=[ORDER_ID])},
            event_types={"Ticked": Ticked},
        )
    )
    now = Codec(
        Contract(
            {"Ticked": Ticked},
            {"Ticked": schema_of("Ticked", fields=today)},
            [{"Ticked": schema_of("Ticked", fields=[ORDER_ID])}],
        )
    )
    row = old.encode(Envelope(UUID(int=1), "toy/a", "left", 1, NOW, Ticked("a", "unheard of")))
    sent = Record(row.topic, 0, 0, 0, b"a", row.value, row.headers)
    assert now.decode(sent).event == Ticked("a", "new")
    with pytest.raises(Undecodable, match="not of this contract"):
        Codec(TOYS).decode(sent)


def test_every_released_set_is_still_read() -> None:
    today = Codec(CONTRACT)
    sets = [older for older in CONTRACT.released if PLACED.type in older]
    assert sets
    for older in sets:
        types = {n: t for n, t in CONTRACT.event_types.items() if n in older}
        body = Codec(Contract(types, older)).body(PLACED)
        assert today.decode(record(today, value=body)).event == PLACED


def registered(schema: Any, body: bytes = b"\2a\2b") -> tuple[Codec, Record]:
    """A record written with a schema that somebody else put into the registry."""
    codec = Codec(TOYS, registry := FakeRegistry())
    number = registry.add(schema)
    value = b"\0" + number.to_bytes(4, "big") + body
    return codec, Record("left.events", 0, 0, 0, b"a", value)


def test_a_newer_schema_of_the_registry_is_read() -> None:
    newer = [ORDER_ID, OLD_WORD, {"name": "more", "type": "long", "default": 0}]
    codec, sent = registered(schema_of("Ticked", fields=newer), b"\2a\2b\6")
    assert codec.decode(sent).event == Ticked("a", "b")
    codec.decode(sent)
    assert codec.registry.lookups == [len(TOYS.event_types) + 1], "asked once"  # type: ignore[union-attr]


def field(avro: Any) -> dict[str, Any]:
    return {"name": "more", "type": avro}


NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
EMPTY = {"type": "record", "name": "Empty", "fields": []}
NULLS = {"type": "record", "name": "Nulls", "fields": [{"name": "n", "type": "null"}]}


@pytest.mark.parametrize(
    "avro",
    [
        NODE,
        ["null", NODE],
        {"type": "array", "items": NODE},
        {"type": "array", "items": "null"},
        {"type": "array", "items": EMPTY},
        {"type": "array", "items": NULLS},
        "null",
        {"type": "array", "items": {"type": "null"}},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
        {"type": "map", "values": "Ticked"},
        {"type": {"type": "array", "items": "null"}},
    ],
    ids=str,
)
def test_a_schema_that_hostile_bytes_could_inflate_is_refused(avro: Any) -> None:
    codec, sent = registered(schema_of("Ticked", fields=[ORDER_ID, OLD_WORD, field(avro)]))
    refused(codec, sent, Undecodable)
    assert not any(schema for kept in codec._foreign.values() for _, schema, _ in kept.branches)


@pytest.mark.parametrize(
    "schema",
    [
        schema_of("Unknown"),
        {"type": "string"},
        "string",
        ["null", "string"],
        {"type": "record", "name": "Ticked"},
        {"type": "record", "name": "Ticked", "fields": [{"name": "x", "type": "nonsense"}]},
        {"type": "enum", "name": "Ticked", "symbols": ["A"]},
        schema_of("Ticked", fields=[ORDER_ID, {**OLD_WORD, "default": 7}]),
        None,
        7,
    ],
    ids=str,
)
def test_a_schema_that_is_no_event_of_the_contract_is_refused(schema: Any) -> None:
    codec, sent = registered(schema)
    refused(codec, sent, Undecodable)


def test_a_schema_without_what_we_need_is_refused() -> None:
    codec, sent = registered(schema_of("Ticked", fields=[ORDER_ID]), b"\2a")
    refused(codec, sent, Undecodable, "incompatible")


def test_a_contract_with_a_recursive_schema_does_not_load() -> None:
    with pytest.raises(ValueError, match="contains itself"):
        inline("Node", {"Node": NODE})


def test_a_shared_record_is_written_out_once() -> None:
    twice = {
        "type": "record",
        "name": "Two",
        "owner": "x",
        "fields": [{"name": "a", "type": "Part"}, {"name": "b", "type": ["null", "Part"]}],
    }
    part = {"type": "record", "name": "Part", "fields": []}
    expanded = inline("Two", {"Two": twice, "Part": part})
    assert [f["type"] for f in expanded["fields"]] == [part, ["null", "Part"]]
    assert "owner" not in expanded


def test_two_types_with_the_same_fields_have_different_fingerprints() -> None:
    """Two types of the same fields are told apart by their fingerprints."""
    codec = Codec(TOYS)
    assert codec.body(Started("a", "b")) != codec.body(Ticked("a", "b"))


def test_a_row_stored_before_a_field_was_added_gets_its_default() -> None:
    """Rows and effects of orders in flight, written by the code of before."""
    kept = PLACED.to_dict()
    for added in ("loyalty_card", "fraud_score"):
        del kept["order"][added]
    assert type(PLACED).from_dict(kept) == PLACED
