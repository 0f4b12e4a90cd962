"""Defines the contract of any application: event classes, Avro schemas and flows. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sagakit.contract.marks import MARKS
from sagakit.flow.model import Flow, Flows
from sagakit.flow.routing import topic


@dataclass(frozen=True)
class Contract:
    """Holds the event classes, schemas and flows of one or more applications.

    `event_types`: name -> generated class; `schemas`: name -> record schema as in its `.avsc`
    (shared records included); `released`: complete earlier sets of schemas, so that old records
    stay readable; `declared`: the flows of its flow files; `packages`: package that it was loaded
    from -> the names of the flows there.
    """

    event_types: Mapping[str, type[Any]]
    schemas: Mapping[str, Mapping[str, Any]]
    released: Sequence[Mapping[str, Mapping[str, Any]]] = ()
    declared: Sequence[Flow] = ()
    packages: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def flows(self) -> Flows:
        """The flows. Raises FlowError if none is declared."""
        return Flows(*self.declared)

    @cached_property
    def owners(self) -> dict[str, str]:
        """Event type -> owner."""
        return {name: event.owner for name, event in self.event_types.items()}

    @property
    def participants(self) -> list[str]:
        """The participants of all flows."""
        return list(dict.fromkeys(name for flow in self.declared for name in flow.participants))

    @property
    def topic_owners(self) -> list[str]:
        """The owners of topics: participants and the monitor."""
        return sorted(set(self.owners.values()))

    @property
    def topics(self) -> list[str]:
        """The topics that the events are on."""
        return [topic(owner) for owner in self.topic_owners]

    def events_of(self, owner: str) -> list[str]:
        """Return the events that an owner emits."""
        return [event for event, by in self.owners.items() if by == owner]

    def doc(self, event: str) -> str:
        """Return the documentation of an event, from its schema."""
        return str(self.schemas[event]["doc"])


def saga_id_of(event: Any) -> str:
    """Return the saga id in an event. Raises ValueError if the event belongs to no saga."""
    if event.saga_id_field is None:
        raise ValueError(f"{event.type} belongs to no saga")
    return str(getattr(event, event.saga_id_field))


def without_marks(avro: Mapping[str, Any], marks: Iterable[str]) -> dict[str, Any]:
    """Return a record or field without the project's own attributes."""
    return {key: value for key, value in avro.items() if key not in marks}


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
            inner = without_marks(avro, MARKS)
            if "items" in inner:
                inner["items"] = expand(inner["items"], within)
            if "fields" in inner:
                inner["fields"] = [
                    {**without_marks(f, MARKS), "type": expand(f["type"], within)}
                    for f in inner["fields"]
                ]
            return inner
        return avro

    expanded: dict[str, Any] = expand(name, ())
    return expanded
