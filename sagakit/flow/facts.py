"""Digests the facts of a saga: the records in its start event, which later events carry on. Pure.

An event carries a fact if it has a field with the name of that record's field in the start event.
Fields that have their default count for nothing, so a field added later changes no digest.
"""

import json
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any

DIGEST_BYTES = 16
_FIELDS: dict[type[Any], tuple[tuple[str, Any], ...]] = {}
"""Record -> its fields; a cache."""


def facts_of(start: Any) -> str:
    """Return the digests of a start event's facts, as `name=digest` with a space in between."""
    return " ".join(
        f"{name}={digest(value)}"
        for name, _ in _fields(type(start))
        if is_dataclass(value := getattr(start, name))
    )


def differing_fact(event: Any, facts: str) -> str | None:
    """Return the name of a fact that an event carries with other content, None if there is none.

    `facts`: those of the start event, as from `facts_of`; other words in it count for nothing.
    """
    for known in facts.split():
        name, _, expected = known.partition("=")
        carried = getattr(event, name, None)
        if is_dataclass(carried) and digest(carried) != expected:
            return name
    return None


def digest(record: Any) -> str:
    """Return the digest of a record, hexadecimal."""
    text = json.dumps(_plain(record), separators=(",", ":"))
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if not is_dataclass(value):
        return value if isinstance(value, str | int | float | None) else str(value)
    return {
        name: _plain(inner)
        for name, default in _fields(type(value))
        if (inner := getattr(value, name)) != default
    }


def _fields(record: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Return the names of a record's fields, sorted, each with its default or MISSING."""
    if (found := _FIELDS.get(record)) is None:
        given = sorted(fields(record), key=lambda f: f.name) if is_dataclass(record) else ()
        found = _FIELDS[record] = tuple((f.name, f.default) for f in given)
    return found
