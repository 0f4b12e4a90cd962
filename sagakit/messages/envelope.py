"""Defines records, events with their envelope, and the messages that the handler handles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sagakit.decider import Effect, Trigger
from sagakit.errors import UnprocessableRecord
from sagakit.identity import flow_name, saga_key

NAMESPACE = UUID("6f1f1b0e-6c0a-5d1e-9f7b-2f5c5d1c7a10")
"""The uuid5 namespace of ids that cannot be derived from a cause."""
LOGGED_AT = "logged_at"
"""Header of a republished record: LogAppendTime of its first publication, Unix ms as text."""
UNREADABLE = "unreadable"
"""Header in place of what a Kafka client could not read of a record; its value is the reason.

It is stored with the record, so a redrive knows the reason too. A record of an outside publisher
that has it is parked."""
TopicPartitionKey = tuple[str, int]
"""Topic and partition."""
RecordPlace = tuple[str, int, int]
"""Topic, partition and offset."""
SkippedRecords = Mapping[RecordPlace, str]
"""Place of a record that is passed over unread -> why."""
AppendTimes = Mapping[int, int | None]
"""Id of an outbox row -> LogAppendTime of its record, Unix ms; None if the broker gave none."""


def derive_id(cause: UUID, event_type: str, n: int) -> UUID:
    """Return the id of the n-th event of a type that a cause leads to; a replay repeats it."""
    return uuid5(cause, f"{event_type}:{n}")


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record as read. `timestamp_ms`: LogAppendTime, Unix milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def unreadable_header(reason: str) -> tuple[tuple[str, bytes], ...]:
    """Return the headers of a record of which the client could not read all: the reason."""
    return ((UNREADABLE, reason.encode("utf-8", "replace")[:1000]),)


def first_not_skipped(place: RecordPlace, skipped: SkippedRecords) -> int:
    """Return the offset of the first record from a place on that is to be read."""
    topic, partition, offset = place
    while (topic, partition, offset) in skipped:
        offset += 1
    return offset


def record_place_id(record: Record) -> UUID:
    """Return an id for a record whose own cannot be read: its topic, partition and offset."""
    return uuid5(NAMESPACE, f"{record.topic}/{record.partition}/{record.offset}")


@dataclass(frozen=True, slots=True)
class Trace:
    """Carries context from a cause to its events: `flow` label, correlation id, W3C traceparent.

    `cause`: for the outcome of an effect, the id of the event that the effect came from.
    """

    flow: str | None = None
    correlation: str | None = None
    traceparent: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with its CloudEvents attributes.

    `key`: the saga key, see `sagakit.identity`. `seq` counts a source's events of one key from 1;
    None if the publisher does not count.
    `time`: log-append time of its first publication; before publication, the time of the decision.
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
    """A worker's lease on a pending effect; an outcome with a stale `token` is dropped."""

    effect_id: UUID
    token: UUID


@dataclass(frozen=True, slots=True)
class Message:
    """A unit of work for the handler, from any source; `key` is the saga key.

    Exactly one of `event` (from Kafka), `trigger` (webhook, operator, effect outcome) and `poison`
    (why a record could not be read) is set. `record` is kept for parking.
    """

    id: UUID
    key: str
    source: str = ""
    seq: int | None = None
    trace: Trace = Trace()
    event: Any = None
    trigger: Trigger | None = None
    poison: UnprocessableRecord | None = None
    lease: Lease | None = None
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An encoded event awaiting publication; `key` is the record key."""

    topic: str
    key: str
    headers: tuple[tuple[str, bytes], ...]
    value: bytes
    id: int = 0

    @property
    def saga(self) -> str:
        """The saga key; its flow is that of the header `flow`."""
        label = next((value for name, value in self.headers if name == "flow"), b"")
        return saga_key(flow_name(label.decode("utf-8", "replace")), self.key)


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A pending effect. Its `id` is derived from its cause, so a replay repeats it.

    `attempts`: calls that ended without a result, by the death of their process as well. `deaths`:
    how many of the last ones in a row did so.
    """

    id: UUID
    effect: Effect
    trace: Trace
    attempts: int = 0
    lease: Lease | None = None
    lease_until: datetime | None = None
    deaths: int = 0
    created_at: datetime | None = None

    @property
    def saga(self) -> str:
        """The saga key."""
        return self.effect.saga


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """A record that could not be handled, or that is queued behind one, in order of `id`.

    `key`: the key of its saga, under which it is queued.
    """

    key: str
    code: str
    error: str
    record: Record
    source: str = ""
    seq: int | None = None
    id: int = 0


def contiguous_rows(rows: Sequence[OutboxRow], there: AppendTimes) -> AppendTimes:
    """Return the rows in `there` whose predecessors of the same topic and key are in it as well."""
    broken: set[tuple[str, str]] = set()
    safe = {}
    for row in rows:
        if row.id not in there:
            broken.add((row.topic, row.key))
        elif (row.topic, row.key) not in broken:
            safe[row.id] = there[row.id]
    return safe
