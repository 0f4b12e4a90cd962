"""Checks a set of Avro records and reads the marks that say what an event is. Pure.

    {"type": "record", "name": "Booked", "doc": "...", "owner": "dispatch",
     "saga_id": "visit_id", "void_when": "late", "fields": [
        {"name": "visit_id", "type": "string"},
        {"name": "late", "type": "boolean", "default": false},
        {"name": "guest", "type": "string", "pii": true}]}

`owner` makes the record an event; a record without one is a part that events share. `saga_id` names
the field with the saga id, which is the record key too; null: the event belongs to no saga.
`void_when` names a boolean field: an event in which it is true marks no step done. `pii` marks a
text about a person.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sagakit.errors import ContractError

MARKS = ("owner", "saga_id", "void_when", "pii")
"""The project's own attributes of records and fields; Avro knows none of them."""
PRIMITIVES = {"string": "str", "int": "int", "long": "int", "double": "float", "boolean": "bool"}
"""Avro type -> Python type."""
LOGICAL = {"timestamp-micros": "datetime", "uuid": "UUID"}
_RECORD_KEYS = {"type", "name", "doc", "fields", "owner", "saga_id", "void_when"}
_FIELD_KEYS = {"name", "type", "doc", "default", "pii"}
_TEXTS = ("string", ["null", "string"], ["string", "null"], {"type": "array", "items": "string"})
Records = Mapping[str, Mapping[str, Any]]
"""Record name -> record schema, as in a folder of `.avsc` files."""


@dataclass(frozen=True, slots=True)
class EventMarks:
    """Holds the marks of an event; `pii`: dotted paths of its texts about a person."""

    owner: str
    saga_id: str | None
    void_when: str | None
    pii: tuple[str, ...]


def marks_of(name: str, records: Records) -> EventMarks | None:
    """Return the marks of a record of a checked set; None for a shared record."""
    schema = records[name]
    if "owner" not in schema:
        return None
    found = tuple(_pii_paths(schema, records))
    return EventMarks(schema["owner"], schema["saga_id"], schema.get("void_when"), found)


def _pii_paths(schema: Mapping[str, Any], records: Records) -> Iterator[str]:
    for field in schema["fields"]:
        if field.get("pii"):
            yield field["name"]
        for named in _named(field["type"]):
            if named in records:
                yield from (
                    f"{field['name']}.{path}" for path in _pii_paths(records[named], records)
                )


def check_records(records: Records, at: str = "") -> None:
    """Check a set of records; `at` is the prefix of their file names.

    Raises ContractError, which names file, place, reason and remedy.
    """
    for name, schema in records.items():
        problem = next(_problems(name, schema, records), None)
        if problem:
            raise ContractError(f"{at}{name}.avsc, {problem}")


def _problems(name: str, schema: Any, records: Records) -> Iterator[str]:
    if not isinstance(schema, Mapping) or schema.get("type") != "record":
        yield f'type: it holds no record; write {{"type": "record", "name": "{name}", ...}}'
    elif schema.get("name") != name:
        yield f"name: it is {_shown(schema.get('name'))}; give record and file the same name"
    else:
        yield from _unknown("the record", schema, _RECORD_KEYS)
        if not isinstance(schema.get("doc"), str):
            yield "doc: it is missing; say in a sentence what the record means"
        fields = schema.get("fields")
        if not isinstance(fields, list) or not all(_is_field(field) for field in fields):
            yield "fields: it is no list of fields, each with a name and a type; write it as one"
            return
        for field in fields:
            yield from _field_problems(field, records)
        if name in _reached(schema, records):
            yield "fields: the record contains itself; events must have a bounded depth"
        yield from _mark_problems(schema, {field["name"]: field["type"] for field in fields})


def _is_field(field: Any) -> bool:
    return isinstance(field, Mapping) and isinstance(field.get("name"), str) and "type" in field


def _unknown(place: str, raw: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    for key in sorted(raw.keys() - known):
        yield f"{place}: {_shown(key)} is not known; use {', '.join(sorted(known))}"


def _field_problems(field: Mapping[str, Any], records: Records) -> Iterator[str]:
    place = f"field {field['name']}"
    if not field["name"].isidentifier():
        yield f"{place}: the name is no Python name; use letters, digits and underscores"
    yield from _unknown(place, field, _FIELD_KEYS)
    for named in _named(field["type"]):
        if named not in PRIMITIVES and named not in records:
            yield (
                f"{place}: type {_shown(named)} is not known; use {', '.join(PRIMITIVES)}, a "
                "record of this folder, an array, or a union of null and one of them"
            )
    if "pii" in field and field["pii"] is not True:
        yield f"{place}, pii: it is {_shown(field['pii'])}; write true, or remove it"
    if "pii" in field and field["type"] not in _TEXTS:
        yield (
            f"{place}, pii: the type is {_shown(field['type'])}, and only a text can be sealed; "
            "mark fields of type string, in a record the fields within it"
        )


def _named(avro: Any) -> Iterator[str]:
    """Yield the names of types in a field's type; an unknown form yields itself as a text."""
    match avro:
        case str():
            yield avro
        case ["null", inner] | [inner, "null"]:
            yield from _named(inner)
        case {"type": "array", "items": inner}:
            yield from _named(inner)
        case {"type": str() as inner, "logicalType": str() as logical} if logical in LOGICAL:
            yield inner
        case _:
            yield str(avro)


def _reached(schema: Mapping[str, Any], records: Records) -> set[str]:
    """Return the names of all records within a record."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        fields = waiting.pop().get("fields")
        for field in fields if isinstance(fields, list) else ():
            for named in _named(field.get("type")) if isinstance(field, Mapping) else ():
                if named in records and named not in found:
                    found.add(named)
                    waiting.append(records[named])
    return found


def _mark_problems(schema: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[str]:
    if "owner" not in schema:
        for mark in ("saga_id", "void_when"):
            if mark in schema:
                yield f"{mark}: a record without an owner is no event; add the owner, or remove it"
        return
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(schema["owner"])):
        yield (
            f"owner: {_shown(schema['owner'])} is no name of a participant; use letters, digits, "
            "dashes and underscores"
        )
    if "saga_id" not in schema:
        yield (
            'saga_id: it is missing; add "saga_id": "<field>", or null if the event belongs to no '
            "saga"
        )
        return
    yield from _named_field("saga_id", schema["saga_id"], types, "string")
    yield from _named_field("void_when", schema.get("void_when"), types, "boolean")


def _named_field(mark: str, name: Any, types: Mapping[str, Any], wanted: str) -> Iterator[str]:
    if name is None:
        return
    if not isinstance(name, str):
        yield f"{mark}: it is {_shown(name)}; name one field, as a text"
    elif name not in types:
        yield f"{mark}: there is no field {_shown(name)}; name one of {', '.join(types)}"
    elif types[name] != wanted:
        yield f"{mark}: field {name} is {_shown(types[name])}; name a field of type {wanted}"


def _shown(value: Any) -> str:
    return ascii(value)[:80]
