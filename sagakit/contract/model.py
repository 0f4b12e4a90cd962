"""Defines the contract of any application: event classes and Avro schemas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Contract:
    """Holds the event classes and schemas of an application.

    `event_types`: name -> generated class; `schemas`: name -> record schema as in its `.avsc`
    (shared records included); `released`: complete earlier sets of schemas, so that old records
    stay readable.
    """

    event_types: Mapping[str, type[Any]]
    schemas: Mapping[str, Mapping[str, Any]]
    released: Sequence[Mapping[str, Mapping[str, Any]]] = ()


def inline(name: str, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a record's schema with every named record it uses expanded at its first use.

    Raises ValueError for a recursive schema: hostile bytes could nest it without bound.
    """
    written: set[str] = set()

    def expand(avro: Any, within: tuple[str, ...]) -> Any:
        if isinstance(avro, list):
            return [expand(a, within) for a in avro]
        if isinstance(avro, str) and avro in records:
            if avro in within:
                raise ValueError(f"schema {avro} contains itself; events must have a bounded depth")
            if avro in written:
                return avro
            written.add(avro)
            avro = records[avro]
            within = (*within, avro["name"])
        if isinstance(avro, Mapping):
            inner = {k: v for k, v in avro.items() if k != "owner"}
            if "items" in inner:
                inner["items"] = expand(inner["items"], within)
            if "fields" in inner:
                inner["fields"] = [
                    {**f, "type": expand(f["type"], within)} for f in inner["fields"]
                ]
            return inner
        return avro

    expanded: dict[str, Any] = expand(name, ())
    return expanded
