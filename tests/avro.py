"""Hypothesis strategies that build events of the contract from their Avro schemas."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import normalize

from hypothesis import strategies as st

from schemas import CONTRACT, EVENT_TYPES

LONG = st.integers(-(2**63), 2**63 - 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PRIMITIVES: Mapping[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=20),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": LONG,
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "null": st.none(),
}
order_ids = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20
).map(lambda text: normalize("NFC", text))


def values(avro: Any) -> st.SearchStrategy[Any]:
    """Values of an Avro type, as fastavro reads them."""
    if isinstance(avro, list):
        return st.one_of(*(values(a) for a in avro))
    if isinstance(avro, str):
        return _PRIMITIVES[avro] if avro in _PRIMITIVES else records(avro)
    if avro["type"] == "array":
        return st.lists(values(avro["items"]), max_size=3)
    match avro["logicalType"]:
        case "timestamp-micros":
            return st.integers(0, 2**52).map(lambda n: _EPOCH + timedelta(microseconds=n))
        case "uuid":
            return st.uuids()
    raise NotImplementedError(f"no strategy for {avro}; add one")


def records(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Records of a named schema."""
    fields = CONTRACT.schemas[name]["fields"]
    return st.fixed_dictionaries({f["name"]: values(f["type"]) for f in fields})


def events(name: str) -> st.SearchStrategy[Any]:
    """Events of a type, each of an order that may be a record key."""
    kind = EVENT_TYPES[name]
    found = records(name)
    if named := kind.saga_id_field:
        found = st.builds(lambda r, key: {**r, named: key}, found, order_ids)
    return found.map(kind.from_dict)


any_event = st.sampled_from(sorted(EVENT_TYPES)).flatmap(events)
