"""Represent a saga as a grow-only set of facts. Pure: no I/O, no clock.

`fold` is set union: the same events give the same saga, in whatever order and however often they
are read. `interpreter` derives what the facts mean for a flow.
"""

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sagakit.identity import split_key
from sagakit.messages.envelope import NAMESPACE

STARTS = "starts"
"""Name in a fact's detail: the offset of the record of a start event, all on one partition."""
SOURCE = "saga_monitor"
"""The `source` and the actor of the events the monitor itself emits."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def log_time(unix_ms: int) -> datetime:
    """Convert a LogAppendTime in Unix milliseconds to an aware datetime, without rounding."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def unix_ms(at: datetime) -> int:
    """Convert log time to Unix milliseconds, the reverse of `log_time`."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


MAX_REPEATED = 50
"""The most facts of one type that are kept of a saga, of the types that whoever starts one repeats.

The same saga id with other content is another event each time."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One event, reduced to what the monitor needs.

    id: the event's id, as text; at: log time (LogAppendTime), aware; seq: sequence number among the
    events of its source and saga, None if the source does not count; causation: id of the event
    that caused it; flow: label of the `flow` header; detail: the event's small scalar fields.
    """

    id: str
    type: str
    at: datetime
    source: str = ""
    seq: int | None = None
    causation: str | None = None
    flow: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source_order(self) -> tuple[int, datetime, str]:
        """Return the sort key among one participant's events: its sequence number, then log time.

        A republished event has a later log time, but its old sequence number.
        """
        return (self.seq or 0, self.at, self.id)

    @property
    def key(self) -> str:
        """Return the key among the facts of a saga."""
        return event_key(self.id, self.type)


@dataclass(frozen=True, slots=True)
class Saga:
    """All facts of one saga. `key`: its saga key; `facts`: `event_key` -> fact."""

    key: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the saga id, without the flow."""
        return split_key(self.key)[1]

    def find(self, id_: object, type_: str) -> Fact | None:
        """Return the event of a type under an id; None if it was not read."""
        return self.facts.get(event_key(id_, type_))

    @property
    def start(self) -> Fact | None:
        """Return the start event that the log has first; None if it was not read."""
        starts = [f for f in self.facts.values() if STARTS in f.detail]
        return min(starts, key=lambda f: (f.detail[STARTS], f.id), default=None)

    @property
    def flow(self) -> str | None:
        """Return the flow label of the start event that the log has first.

        Without one it is that of the earliest labelled event, None if no event has one.
        """
        if (start := self.start) is not None and start.flow:
            return start.flow
        labelled = [(f.at, f.id, f.flow) for f in self.facts.values() if f.flow]
        return min(labelled)[2] if labelled else None

    def timeline(self) -> list[Fact]:
        """Return the facts in log time, and within one millisecond causes first."""
        causes = {fact.id: fact.causation for _, fact in sorted(self.facts.items())}
        depths = _depths(causes)

        def sort_key(fact: Fact) -> tuple[Any, ...]:
            return (fact.at, depths[fact.id], *fact.source_order, fact.type)

        return sorted(self.facts.values(), key=sort_key)


def fold(saga: Saga, *facts: Fact) -> Saga:
    """Return the saga with `facts` added. Of an event read twice, the earlier record is kept."""
    merged = dict(saga.facts)
    for fact in facts:
        known = merged.get(fact.key)
        if known is None or _record_order(fact) < _record_order(known):
            merged[fact.key] = fact
    return Saga(saga.key, merged)


def keep_first(saga: Saga, types: Set[str], most: int = MAX_REPEATED) -> Saga:
    """Return the saga with the first `most` facts of each of these types, in log time.

    The same ones are kept, in whatever order they are read.
    """
    if len(saga.facts) <= most:
        return saga
    found: dict[str, list[Fact]] = defaultdict(list)
    for fact in saga.facts.values():
        if fact.type in types:
            found[fact.type].append(fact)
    dropped = {
        fact.key
        for facts in found.values()
        if len(facts) > most
        for fact in sorted(facts, key=lambda f: (f.at, f.id))[most:]
    }
    if not dropped:
        return saga
    return Saga(saga.key, {key: f for key, f in saga.facts.items() if key not in dropped})


def event_key(id_: object, type_: str) -> str:
    """Return the key of an event among those of its saga: its id and its type.

    Who may write one topic may give an event any id, also one that the monitor derives. An event
    type has one topic, so such an event hides no other.
    """
    return f"{id_} {type_}"


def emission_id(key: str, what: str, step: str, attempt: int = 1) -> UUID:
    """Derive the id of an event the monitor emits, equal in every monitor and after restarts."""
    return uuid5(NAMESPACE, f"{SOURCE}:{key}:{what}:{step}:{attempt}")


def _depths(causes: Mapping[str, str | None]) -> Mapping[str, int]:
    """Return event id -> number of known events in the chain of causes that led to it.

    Each event is visited once. Of events that cause each other in a circle, which nobody publishes
    who is honest, one is taken for the first.
    """
    found: dict[str, int] = {}
    for start in causes:
        chain: dict[str, None] = {}
        event: str | None = start
        while event is not None and event in causes and not (event in found or event in chain):
            chain[event] = None
            event = causes[event]
        depth = found[event] + 1 if event is not None and event in found else 0
        for one in reversed(chain):
            found[one] = depth
            depth += 1
    return found


def _record_order(fact: Fact) -> tuple[datetime, str]:
    # Two records of one event in the same millisecond differ only if their publisher is broken.
    # Comparing their text picks the same one in whatever order they are read.
    return fact.at, repr(fact)
