"""Fits a foreign writer's Avro schema to the schema of an event, or says why it does not fit. Pure.

Avro's resolution alone lets through what is no value of an event: fastavro takes the logical type
from the writer, so a plain `long` stays a number where the event has a time, and a decimal becomes
the value of a text. The fitted schema has the event's logical types, or there is none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schemas = Mapping[str, Any]
"""Full name -> parsed schema of a named type."""
MOST_NODES = 5000
"""The largest number of types in a schema, with each named type written out where it is used."""
_COMPLEX = frozenset(("record", "error", "array", "map", "fixed", "enum"))
_PRIMITIVE = frozenset(("null", "boolean", "int", "long", "float", "double", "bytes", "string"))
_LOGICAL = frozenset(
    ("decimal", "big-decimal", "uuid", "date", "time-millis", "time-micros", "duration")
).union(f"{p}timestamp-{unit}" for p in ("", "local-") for unit in ("millis", "micros", "nanos"))
"""The logical types of Avro 1.12. A reader ignores others, such as a length."""
_READ_AS = {
    (None, None): None,
    (None, "timestamp-micros"): "timestamp-micros",
    ("timestamp-micros", "timestamp-micros"): "timestamp-micros",
    ("timestamp-millis", "timestamp-micros"): "timestamp-millis",
    (None, "uuid"): "uuid",
    ("uuid", "uuid"): "uuid",
    ("uuid", None): None,
}
"""The writer's logical type and the event's -> the one to decode with; other pairs do not fit.

A time without a zone does not: no reader knows which moment it is. A plain number is what the event
says, as it is in single-object encoding, whose fingerprint has no logical types.
"""
_BASES = {"timestamp-micros": ("int", "long"), "uuid": ("string",)}
"""Logical type of an event -> the types that may carry it."""


class DoesNotFit(ValueError):
    """A writer's schema cannot be read as the event; the message names the field and the reason."""


def branches(schema: Any, named: Schemas) -> Iterator[tuple[str, Any]]:
    """Yield the unqualified name and the schema of each branch of a union at the top.

    A branch that is no record has no name. A schema that is no union is the only branch.
    """
    for one in schema if isinstance(schema, list) else [schema]:
        found = named.get(one, one) if isinstance(one, str) else one
        record = isinstance(found, Mapping) and found.get("type") == "record"
        yield (unqualified(found["name"]) if record else ""), found


def unqualified(name: str) -> str:
    """Return a full name without its namespace."""
    return name.rpartition(".")[2]


def fitted(writer: Any, named: Schemas, reader: Any, event_named: Schemas) -> dict[str, Any]:
    """Return the schema to decode a writer's records with, before they are resolved to `reader`.

    `named`, `event_named`: the named types of the two. Nested records get the event's names, since
    a name alone changes no byte. Each named type is written out where it is used, in a namespace of
    its own. Raises DoesNotFit, also for a schema by which a few bytes decode to any number of
    values: one with recursion, or with a type of zero width outside a union.
    """
    found: dict[str, Any] = _Fit(named, event_named).type(writer, reader, ())
    return found


class _Fit:
    """Walks the two schemas side by side; `reader` is None where the event has no such field."""

    def __init__(self, named: Schemas, event_named: Schemas) -> None:
        self._named, self._event_named = named, event_named
        self._nodes = 0

    def type(self, writer: Any, reader: Any, path: tuple[str, ...], *, union: bool = False) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES or len(path) > 100:
            raise DoesNotFit(f"{_at(path)} it contains itself, or has more than {MOST_NODES} types")
        if isinstance(writer, list):
            return self._union(writer, reader, path)
        if isinstance(writer, str):
            writer = {"type": writer} if writer in _PRIMITIVE else self._named[writer]
        reader = self._event_type(reader)
        kind = writer["type"]
        if kind in ("record", "error"):
            return self._record(writer, reader, path)
        if kind in ("array", "map"):
            inner = "items" if kind == "array" else "values"
            wanted = reader["items"] if reader and reader["type"] == kind == "array" else None
            return {"type": kind, inner: self.type(writer[inner], wanted, (*path, "[]"))}
        if kind in ("fixed", "enum"):
            return self._sized(writer, path)
        if kind not in _PRIMITIVE:
            return self.type(kind, reader, path, union=union)
        if kind == "null":
            if not union:
                raise DoesNotFit(f"{_at(path)} null has no width: no bytes hold any number of them")
            return kind
        return self._primitive(kind, writer.get("logicalType"), reader, path)

    def _event_type(self, reader: Any) -> Any:
        """Return the event's type as a mapping: of an optional, the type that is not null."""
        if isinstance(reader, list):
            reader = next(one for one in reader if one != "null")
        if isinstance(reader, str):
            reader = self._event_named.get(reader, {"type": reader})
        return reader

    def _union(self, writer: list[Any], reader: Any, path: tuple[str, ...]) -> list[Any]:
        several = len([one for one in writer if one != "null"]) > 1
        reader = self._event_type(reader)
        fitted_ones = []
        for (name, _), one in zip(branches(writer, self._named), writer, strict=True):
            # of several records only the name tells which one the event has
            other = several and reader and name not in ("", reader.get("name"))
            fitted_ones.append(self.type(one, None if other else reader, path, union=True))
        return fitted_ones

    def _record(self, writer: Any, reader: Any, path: tuple[str, ...]) -> dict[str, Any]:
        is_record = reader is not None and reader["type"] == "record"
        types = {f["name"]: f["type"] for f in reader["fields"]} if is_record else {}
        name = unqualified((reader if is_record else writer)["name"])
        if not writer["fields"]:
            raise DoesNotFit(f"{_at(path)} a record without fields has no width")
        namespace = f"n{self._nodes}"
        fields = [
            {
                "name": f["name"],
                "type": self.type(f["type"], types.get(f["name"]), (*path, f["name"])),
            }
            for f in writer["fields"]
        ]
        return {"type": "record", "name": f"{namespace}.{name}", "fields": fields}

    def _sized(self, writer: Any, path: tuple[str, ...]) -> dict[str, Any]:
        what = "size" if writer["type"] == "fixed" else "symbols"
        if not writer[what]:
            raise DoesNotFit(f"{_at(path)} a {writer['type']} of no {what} has no width")
        name = f"n{self._nodes}.{unqualified(writer['name'])}"
        return {"type": writer["type"], "name": name, what: writer[what]}

    def _primitive(self, kind: str, logical: Any, reader: Any, path: tuple[str, ...]) -> Any:
        if reader is None or reader["type"] in _COMPLEX:
            return kind
        wanted = reader.get("logicalType")
        written = logical if logical in _LOGICAL else None
        if (written, wanted) not in _READ_AS or kind not in _BASES.get(wanted, _PRIMITIVE):
            raise DoesNotFit(
                f"{_at(path)} it is written as {written or kind}, and the event has "
                f"{wanted or reader['type']}; publish it as the contract's .avsc says"
            )
        found = _READ_AS[written, wanted]
        base = "long" if kind == "int" and reader["type"] == "long" else kind  # the same bytes
        return base if found is None else {"type": base, "logicalType": found}


def _at(path: tuple[str, ...]) -> str:
    return f"field {'.'.join(path[:10])}:" if path else "the record:"
