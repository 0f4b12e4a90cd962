"""Records of publishers whose schema is their own: read as the event, or refused by everybody."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest

from sagakit.contract.model import Contract, inline
from sagakit.errors import (
    RegistryUnavailable,
    Undecodable,
    UnknownSchema,
    UnregisteredSchema,
)
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.messages.framing import CONFLUENT, SCHEMA_ID, SchemaId
from schemas import CONTRACT
from schemas.events import OrderPlaced
from tests.order_facts import TWO_TEAS
from tests.toy_saga import NOW, schema_of

PLACED = OrderPlaced(order_id="o1", order=TWO_TEAS, placed_at=NOW)
GUID = UUID("01234567-89ab-4def-8123-456789abcdef")
FOREIGN = 900


class OneForeignSchema:
    """A registry in memory, with one schema of somebody else under a number and a GUID."""

    def __init__(self, *schemas: Any) -> None:
        self.schemas: list[Any] = list(schemas)
        self.asked: list[SchemaId] = []
        self._ids = 0

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        self._ids += 1
        return self._ids

    def current_id(self, subject: str, schema: Mapping[str, Any]) -> int | None:
        return None

    def lookup(self, schema_id: SchemaId) -> list[Any]:
        self.asked.append(schema_id)
        if schema_id not in (FOREIGN, GUID) or not self.schemas:
            raise KeyError(f"schema id {schema_id}")
        return list(json.loads(json.dumps(self.schemas)))


def avro(schema: Any, value: Any, *referred: Any) -> bytes:
    named: dict[str, Any] = {}
    for one in referred:
        fastavro.parse_schema(one, named)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema, named), value)
    return out.getvalue()


def record(
    value: bytes, *headers: tuple[str, bytes], topic: str = "order.events", key: str = "o1"
) -> Record:
    return Record(topic, 0, 9, 1_767_323_045_000, key.encode(), value, headers)


def framed(body: bytes) -> bytes:
    return CONFLUENT + FOREIGN.to_bytes(4, "big") + body


def changed(**types: Any) -> dict[str, Any]:
    """The schema of OrderPlaced with other types of some fields, also of its nested records."""

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(one) for one in node]
        if isinstance(node, dict):
            found = {name: walk(one) for name, one in node.items()}
            if node.get("name") in types and "fields" not in node:
                found["type"] = types[node["name"]]
            return found
        return node

    found: dict[str, Any] = walk(inline("OrderPlaced", CONTRACT.schemas))
    return found


def renamed(old: str, new: str, schema: Any = None) -> Any:
    return json.loads(json.dumps(schema or changed()).replace(f'"{old}"', f'"{new}"'))


def values(**other: Any) -> dict[str, Any]:
    return {**PLACED.to_dict(), **other}


# --- the types of a field -------------------------------------------------------------------------

MICROS = round(NOW.timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("avro_type", "value"),
    [
        ("long", MICROS),
        (["null", "long"], MICROS),
        ({"type": "long", "logicalType": "of-our-own"}, MICROS),
        ({"type": "long", "logicalType": "timestamp-micros"}, NOW),
        ({"type": "long", "logicalType": "timestamp-millis"}, NOW),
        ([{"type": "long", "logicalType": "timestamp-millis"}, "null"], NOW),
    ],
    ids=str,
)
def test_a_time_is_read_as_what_the_event_says(avro_type: Any, value: Any) -> None:
    """A plain long was handed on as a number: charged, then refused by the order service."""
    schema = changed(placed_at=avro_type)
    sent = record(framed(avro(schema, values(placed_at=value))))
    assert Codec(CONTRACT, OneForeignSchema(schema)).decode(sent).event == PLACED


def test_a_plain_long_means_the_same_without_a_registry() -> None:
    """Single-object encoding has no logical types in its fingerprint."""
    schema = changed(placed_at="long")
    codec = Codec(CONTRACT)
    mark = codec.body(PLACED)[:10]
    sent = record(mark + avro(schema, values(placed_at=MICROS)))
    assert codec.decode(sent).event == PLACED


def logical(base: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **more}


DECIMAL = logical("bytes", "decimal", precision=9, scale=2)


@pytest.mark.parametrize(
    ("field", "avro_type", "value"),
    [
        ("placed_at", logical("long", "local-timestamp-micros"), datetime(2026, 1, 2)),
        ("placed_at", logical("long", "local-timestamp-millis"), datetime(2026, 1, 2)),
        ("placed_at", logical("long", "timestamp-nanos"), 10**18),
        ("placed_at", logical("int", "date"), date(2026, 1, 2)),
        ("placed_at", logical("long", "time-micros"), time(1, 2)),
        ("placed_at", "string", "2026-01-02T00:00:00Z"),
        ("placed_at", "long", 2**62),
        ("ship_to", DECIMAL, Decimal("1.25")),
        ("total_minor", DECIMAL, Decimal("25.00")),
        ("total_minor", logical("long", "timestamp-micros"), NOW),
        ("total_minor", logical("int", "date"), date(2026, 1, 2)),
        ("total_minor", "double", 2500.0),
        ("total_minor", "string", "2500"),
        ("unit_price_minor", logical("long", "time-micros"), time(1, 2)),
    ],
    ids=str,
)
def test_another_meaning_is_refused_by_every_reader(field: str, avro_type: Any, value: Any) -> None:
    schema = changed(**{field: avro_type})
    facts = PLACED.order.to_dict()
    sent = values(order={**facts, field: value} if field in facts else facts)
    if field in sent:
        sent[field] = value
    if field == "unit_price_minor":
        sent["order"]["lines"] = [{**line, field: value} for line in facts["lines"]]
    body = framed(avro(schema, sent))
    with pytest.raises(Undecodable, match=f"{field}|a valid OrderPlaced|incompatible OrderPlaced"):
        Codec(CONTRACT, OneForeignSchema(schema)).decode(record(body))


@dataclass(frozen=True)
class Kept:
    """An event with a field of each type that a contract may have."""

    type = "Ticked"
    owner = "left"
    saga_id_field = "order_id"
    order_id: str
    text: str
    count: int
    wide: int
    ratio: float
    flag: bool
    at: datetime
    id: UUID

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "Kept":
        return cls(**found)


TYPES: dict[str, Any] = {
    "order_id": "string",
    "text": "string",
    "count": "int",
    "wide": "long",
    "ratio": "double",
    "flag": "boolean",
    "at": logical("long", "timestamp-micros"),
    "id": logical("string", "uuid"),
}
WHOLE: dict[str, Any] = {
    "order_id": "a",
    "text": "t",
    "count": 1,
    "wide": 2,
    "ratio": 0.5,
    "flag": True,
    "at": NOW,
    "id": GUID,
}
SAMPLES: list[tuple[Any, Any]] = [
    ("string", str(GUID)),
    ("string", "x"),
    ("bytes", b"x"),
    ("int", 5),
    ("long", 5),
    ("float", 0.5),
    ("double", 0.5),
    ("boolean", True),
    (DECIMAL, Decimal("1.25")),
    (logical("bytes", "uuid"), b"x"),
    (logical("string", "uuid"), GUID),
    (logical("string", "of-our-own"), "x"),
    (logical("int", "date"), date(2026, 1, 2)),
    (logical("int", "time-millis"), time(1, 2)),
    (logical("long", "time-micros"), time(1, 2)),
    *(
        (logical("long", f"{p}timestamp-{unit}"), NOW if not p else NOW.replace(tzinfo=None))
        for p in ("", "local-")
        for unit in ("millis", "micros")
    ),
    ({"type": "enum", "name": "E", "symbols": ["A"]}, "A"),
    ({"type": "fixed", "name": "F", "size": 16}, bytes(16)),
    ({"type": "array", "items": "string"}, ["x"]),
    ({"type": "map", "values": "string"}, {"x": "y"}),
]


@pytest.mark.parametrize("name", [name for name in TYPES if name != "order_id"])
@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize(("avro_type", "value"), SAMPLES, ids=str)
def test_whatever_is_read_has_the_type_that_the_event_says(
    name: str, optional: bool, avro_type: Any, value: Any
) -> None:
    own = schema_of("Ticked", fields=[{"name": n, "type": t} for n, t in TYPES.items()])
    written = ["null", avro_type] if optional else avro_type
    fields = [{"name": n, "type": written if n == name else t} for n, t in TYPES.items()]
    schema = schema_of("Ticked", fields=fields)
    body = framed(avro(schema, {**WHOLE, name: value}))
    codec = Codec(Contract({"Ticked": Kept}, {"Ticked": own}), OneForeignSchema(schema))
    sent = record(body, topic="left.events", key="a")
    try:
        found = asdict(codec.decode(sent).event)
    except Undecodable:
        return
    assert {n: type(v) for n, v in found.items()} == {n: type(v) for n, v in WHOLE.items()}
    assert found["at"].tzinfo is UTC or found["at"].utcoffset().total_seconds() == 0


# --- the shape of a schema ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        renamed("OrderLine", "Line"),
        renamed("OrderLine", "OrderFacts", renamed("OrderFacts", "com.example.Facts")),
        {**changed(), "namespace": "com.example"},
        renamed("OrderPlaced", "com.example.OrderPlaced"),
    ],
    ids=["nested", "two nested", "namespace", "full name"],
)
def test_other_names_of_records_change_nothing(schema: Any) -> None:
    sent = record(framed(avro(schema, values())))
    assert Codec(CONTRACT, OneForeignSchema(schema)).decode(sent).event == PLACED


def test_a_type_used_twice_and_in_a_field_that_the_event_does_not_have_is_read() -> None:
    schema = renamed("OrderLine", "Line")
    note = {"type": "record", "name": "Note", "fields": [{"name": "at", "type": "Line"}]}
    schema["fields"] += [{"name": "first", "type": "Line"}, {"name": "note", "type": note}]
    line = values()["order"]["lines"][0]
    sent = record(framed(avro(schema, values(first=line, note={"at": line}))))
    assert Codec(CONTRACT, OneForeignSchema(schema)).decode(sent).event == PLACED


LINE = {**CONTRACT.schemas["OrderLine"], "namespace": "com.example"}
FACTS = renamed(
    "OrderLine", "com.example.OrderLine", {**CONTRACT.schemas["OrderFacts"], "namespace": "f"}
)
EVENT = renamed("OrderFacts", "f.OrderFacts", dict(CONTRACT.schemas["OrderPlaced"]))


def test_the_schemas_that_a_schema_refers_to_are_used() -> None:
    sent = record(framed(avro(EVENT, values(), LINE, FACTS)))
    assert Codec(CONTRACT, OneForeignSchema(LINE, FACTS, EVENT)).decode(sent).event == PLACED


OTHER = {"type": "record", "name": "SomethingElse", "fields": [{"name": "x", "type": "string"}]}


@pytest.mark.parametrize("place", [0, 1, 2, 70])
def test_an_event_in_a_union_at_the_top_is_read(place: int) -> None:
    many: list[Any] = ["null", {**OTHER, "name": "First"}]
    many += [{**OTHER, "name": f"More{n}"} for n in range(80)]
    many.insert(place, changed())
    sent = record(framed(avro(many, values())))
    assert Codec(CONTRACT, OneForeignSchema(many)).decode(sent).event == PLACED


def test_a_union_of_names_is_read_through_its_references() -> None:
    union = ["com.example.SomethingElse", "OrderPlaced"]
    other = {**OTHER, "namespace": "com.example"}
    sent = record(framed(b"\x02" + avro(EVENT, values(), LINE, FACTS)))
    found = Codec(CONTRACT, OneForeignSchema(LINE, FACTS, EVENT, other, union)).decode(sent)
    assert found.event == PLACED


@pytest.mark.parametrize("value", [None, {"x": "y"}])
def test_what_is_no_event_in_a_union_is_an_unknown_schema(value: Any) -> None:
    union = ["null", OTHER, changed()]
    sent = record(framed(avro(union, value)))
    with pytest.raises(UnknownSchema, match="is not an event of this contract"):
        Codec(CONTRACT, OneForeignSchema(union)).decode(sent)


@pytest.mark.parametrize("index", [b"", b"\x80", b"\x06", b"\x01", b"\xff" * 9 + b"\x01"])
def test_a_body_that_ends_before_its_event_or_names_none_is_refused(index: bytes) -> None:
    sent = record(framed(index))
    with pytest.raises(Undecodable):
        Codec(CONTRACT, OneForeignSchema(["null", OTHER, changed()])).decode(sent)


def test_a_schema_that_doubles_at_every_level_is_refused_at_once() -> None:
    levels: list[Any] = [{**OTHER, "name": "L0"}]
    for n in range(1, 60):
        both = [{"name": side, "type": f"L{n - 1}"} for side in ("a", "b")]
        levels.append({"type": "record", "name": f"L{n}", "fields": both})
    schema = changed()
    schema["fields"].append({"name": "more", "type": ["null", "L59"]})
    codec = Codec(CONTRACT, OneForeignSchema(*levels, schema))
    with pytest.raises(UnknownSchema, match="more than"):
        codec.decode(record(framed(b"")))


# --- where the id stands --------------------------------------------------------------------------

NUMBER = FOREIGN.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("header", "prefix"),
    [
        (b"\x01" + GUID.bytes, b""),
        (b"\x00" + NUMBER, b""),
        (None, b"\x01" + GUID.bytes),
        (None, b"\x00" + NUMBER),
    ],
    ids=["GUID in a header", "id in a header", "GUID before the body", "id before the body"],
)
def test_the_schema_id_is_read_where_confluents_serializers_write_it(
    header: bytes | None, prefix: bytes
) -> None:
    registry = OneForeignSchema(changed())
    codec = Codec(CONTRACT, registry)
    headers = [(SCHEMA_ID, header)] if header else []
    sent = record(prefix + avro(changed(), values()), *headers)
    assert codec.asks_registry(sent)
    assert codec.decode(sent).event == PLACED
    assert not codec.asks_registry(sent)
    assert codec.decode(sent).event == PLACED
    assert len(registry.asked) == 1


def test_an_own_event_with_a_stray_header_is_read_as_it_is() -> None:
    codec = Codec(CONTRACT)
    sent = record(codec.body(PLACED), (SCHEMA_ID, b"\x01" + GUID.bytes))
    assert codec.decode(sent).event == PLACED
    assert not codec.asks_registry(sent)


@pytest.mark.parametrize("header", [b"", b"\x00", b"\x00\0\0", b"\x01" + bytes(15), b"\x02" * 17])
def test_a_header_that_holds_no_id_is_refused(header: bytes) -> None:
    sent = record(avro(changed(), values()), (SCHEMA_ID, header))
    with pytest.raises(Undecodable):
        Codec(CONTRACT, OneForeignSchema(changed())).decode(sent)


def test_without_a_registry_an_id_in_a_header_names_the_setting() -> None:
    sent = record(avro(changed(), values()), (SCHEMA_ID, b"\x01" + GUID.bytes))
    with pytest.raises(Undecodable, match=f"{GUID}.*SAGA_SCHEMA_REGISTRY_URL"):
        Codec(CONTRACT).decode(sent)


# --- what the registry does not have yet ----------------------------------------------------------


def test_a_schema_that_is_not_registered_yet_is_asked_for_again() -> None:
    registry = OneForeignSchema()
    codec = Codec(CONTRACT, registry)
    sent = record(framed(avro(changed(), values())))
    with pytest.raises(UnregisteredSchema) as error:
        codec.decode(sent)
    assert (error.value.code, isinstance(error.value, UnknownSchema)) == ("unknown_schema", True)
    registry.schemas.append(changed())
    assert codec.decode(sent).event == PLACED


def test_a_registry_that_does_not_answer_leaves_nothing_behind() -> None:
    class Silent(OneForeignSchema):
        def lookup(self, schema_id: SchemaId) -> list[Any]:
            if self.schemas:
                return super().lookup(schema_id)
            raise RegistryUnavailable("503")

    registry = Silent()
    codec = Codec(CONTRACT, registry)
    sent = record(framed(avro(changed(), values())))
    for _ in range(2):
        with pytest.raises(RegistryUnavailable):
            codec.decode(sent)
    registry.schemas.append(changed())
    assert codec.decode(sent).event == PLACED
