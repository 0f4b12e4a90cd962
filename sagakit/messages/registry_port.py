"""Defines the port to a schema registry, and what a process has registered there."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sagakit.messages.framing import SchemaId


class Registry(Protocol):
    """The port to a Confluent-compatible schema registry."""

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Return the id of a schema; register it under its subject if it is new."""
        ...

    def current_id(self, subject: str, schema: Mapping[str, Any]) -> int | None:
        """Return the id that a schema has under its subject now, None if it has none."""
        ...

    def lookup(self, schema_id: SchemaId) -> Sequence[Any]:
        """Return the schemas that the one of an id refers to, and itself as the last.

        Raises KeyError if the registry does not have the id now, ValueError if it is none of Avro.
        """
        ...


class Registration(NamedTuple):
    """The id under which a schema was registered; events carry it."""

    subject: str
    schema: Mapping[str, Any]
    number: int
