"""What travels: an event with its envelope, and what the handler is given to handle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sagakit.decider import Effect, Trigger
from sagakit.errors import Poison

NAMESPACE = UUID("6f1f1b0e-6c0a-5d1e-9f7b-2f5c5d1c7a10")
"""Ids that have no cause to be derived from are uuid5 in this namespace."""
LOGGED_AT = "logged_at"
"""Header of a republished record: Unix ms as text, when the broker took the first one like it."""
Place = tuple[str, int]
"""Topic and partition."""
Logged = Mapping[int, int | None]
"""Id of an outbox row -> LogAppendTime of its record, Unix ms; None where the broker told none."""


def derived_id(cause: UUID, event_type: str, n: int) -> UUID:
    """The id of the n-th event of a type that a cause brings about: the same on every replay."""
    return uuid5(cause, f"{event_type}:{n}")


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record as it was read. `timestamp_ms`: LogAppendTime, Unix milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def place_id(record: Record) -> UUID:
    """The id of a record that has none to be read: where it stands in the log."""
    return uuid5(NAMESPACE, f"{record.topic}/{record.partition}/{record.offset}")


@dataclass(frozen=True, slots=True)
class Trace:
    """What is handed on from cause to event: `flow` label, correlation id, W3C traceparent;
    `cause`: for the outcome of an effect, the id of the event that the effect came from."""

    flow: str | None = None
    correlation: str | None = None
    traceparent: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with its CloudEvents attributes.

    `seq` counts a source's events of one key from 1; None where the publisher keeps no count.
    `time`: log time of its first publication; before that, when it was decided.
    """

    id: UUID
    key: str
    source: str
    seq: int | None
    time: datetime
    event: Any
    causation: UUID | None = None
    trace: Trace = Trace()


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's hold on a pending effect; an outcome with a stale `token` is dropped."""

    effect_id: UUID
    token: UUID


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to handle, whatever door it came through.

    Exactly one of `event` (from the bus), `trigger` (webhook, operator, effect outcome) and
    `poison` (a record that could not be read) is set. `record` is kept for parking.
    """

    id: UUID
    key: str
    source: str = ""
    seq: int | None = None
    trace: Trace = Trace()
    event: Any = None
    trigger: Trigger | None = None
    poison: Poison | None = None
    lease: Lease | None = None
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event awaiting publication, encoded."""

    topic: str
    key: str
    headers: tuple[tuple[str, bytes], ...]
    value: bytes
    id: int = 0


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A pending effect. `id` is derived from its cause, so a replay repeats it."""

    id: UUID
    order_key: str
    effect: Effect
    trace: Trace
    attempts: int = 0
    lease: Lease | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """A record that could not be handled, or that queues behind one. `id` gives the order."""

    key: str
    code: str
    error: str
    record: Record
    source: str = ""
    seq: int | None = None
    id: int = 0


def without_gaps(rows: Sequence[OutboxRow], there: Logged) -> Logged:
    """Of the rows that are `there`, those whose predecessors of the same key all are too."""
    broken: set[tuple[str, str]] = set()
    safe = {}
    for row in rows:
        if row.id not in there:
            broken.add((row.topic, row.key))
        elif (row.topic, row.key) not in broken:
            safe[row.id] = there[row.id]
    return safe
