"""A made-up saga for tests of the kit: small enough to see through, no word about orders.

`left` ticks, `counter` counts. The word of a tick says what the counter makes of it: nothing
special (one `Counted`), `boom` (an error), `twice` (two events), `huge` (too large an event),
`foreign` (an event of `left`), `stray` (one of another saga), `call` (an effect), `again` (the
same effect twice), `other` (another effect under its key), `pair` (both), `odd` (an effect with a
payload that is no JSON). Helpers take the bare id of a saga of the flow `toy`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID, uuid5

from sqlalchemy import ARRAY, Column, Engine, MetaData, Table, Text, text

from sagakit.contract.loader import join, load_platform
from sagakit.contract.model import Contract, saga_id_of
from sagakit.contract.platform import SagaPaused, SagaResumed
from sagakit.decider import (
    NOTHING,
    Callback,
    Decision,
    Do,
    Effect,
    EffectResult,
    Event,
    Observed,
    Trigger,
)
from sagakit.faults import NO_FAULTS, Faults
from sagakit.flow.loader import load
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router
from sagakit.handling.handler import Disposition, Handler, HandlingResult, decode_message
from sagakit.identity import flow_name, saga_key, split_key
from sagakit.messages.codec import MAX_EVENT_BYTES, Codec
from sagakit.messages.envelope import (
    NAMESPACE,
    EffectRow,
    Envelope,
    Message,
    OutboxRow,
    ParkedRow,
    Record,
    Trace,
)
from sagakit.store.memory import MemoryDatabase, MemoryStore
from sagakit.store.ports import InboxRow, Participant
from sagakit.store.postgres import PostgresDatabase
from sagakit.store.schema import KIT
from sagakit.store.state_table import TableStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STARTED = text(
    "INSERT INTO inbox (key, facts) VALUES (:key, :facts) ON CONFLICT (key) DO UPDATE"
    " SET facts = excluded.facts, version = inbox.version + 1 WHERE coalesce(inbox.facts, '') = ''"
)


@dataclass(frozen=True)
class ToyEvent:
    """All toy events look alike."""

    type: ClassVar[str]
    owner: ClassVar[str]
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    order_id: str
    word: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"order_id": self.order_id, "word": self.word}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "ToyEvent":
        return cls(record["order_id"], record["word"])


class Started(ToyEvent):
    type, owner = "Started", "front"


class LeftDone(ToyEvent):
    type, owner = "LeftDone", "left"


class LeftUndone(ToyEvent):
    type, owner = "LeftUndone", "left"


class Ticked(ToyEvent):
    type, owner = "Ticked", "left"


class RightDone(ToyEvent):
    type, owner = "RightDone", "right"


class RightUndone(ToyEvent):
    type, owner = "RightUndone", "right"


class Counted(ToyEvent):
    type, owner = "Counted", "counter"


class Asked(ToyEvent):
    type, owner = "Asked", "saga"


EVENTS: tuple[type[ToyEvent], ...] = (
    Started,
    LeftDone,
    LeftUndone,
    Ticked,
    RightDone,
    RightUndone,
    Counted,
    Asked,
)
OWNERS = {event.type: event.owner for event in EVENTS}


def paused(key: str) -> SagaPaused:
    """Nothing new starts after it."""
    return SagaPaused(saga_id=key, actor="ada", reason="wait")


def resumed(key: str) -> SagaResumed:
    """It goes on after it."""
    return SagaResumed(saga_id=key, actor="ada", reason="go on")


def schema_of(name: str, **changes: Any) -> dict[str, Any]:
    """The Avro schema of a toy event."""
    fields = [{"name": "order_id", "type": "string"}, {"name": "word", "type": "string"}]
    return {"type": "record", "name": name, "fields": fields, **changes}


CONTRACT = join(
    load_platform(),
    Contract({e.type: e for e in EVENTS}, {e.type: schema_of(e.type) for e in EVENTS}),
)
FLOW = """
name = "toy"
start = "Started"
cancel = "Asked"
default_version = 1

[versions]
1 = ["counter"]
2 = ["left", "counter"]
3 = [["left", "right"], "counter"]

[steps.left]
kind = "compensatable"
done = "LeftDone"
undone = "LeftUndone"
deadline = "1m"

[steps.right]
kind = "compensatable"
done = "RightDone"
undone = "RightUndone"
deadline = "1m"

[steps.counter]
kind = "retriable"
done = "Counted"
deadline = "1m"

[observes]
counter = ["Ticked"]
"""
FLOWS = Flows(load(FLOW, OWNERS))
CONTRACT = replace(CONTRACT, declared=tuple(FLOWS))


def toy(saga_id: str) -> str:
    """The key of a toy saga."""
    return saga_key("toy", saga_id)


@dataclass(frozen=True)
class Count:
    """The counter's state: what it counted."""

    words: tuple[str, ...] = ()
    in_flight: frozenset[str] = frozenset()


def decide(state: Count, trigger: Trigger, now: datetime) -> Decision:
    """See the module: the word of the trigger says what is to happen."""
    match trigger:
        case Do(event):
            return Decision((Counted(event.order_id, "do"),))
        case Observed(_, event):
            return _ticked(event.order_id, event.word)
        case EffectResult(effect, result):
            return Decision((Counted(split_key(effect.saga)[1], f"outcome {result}"),))
        case Callback((str() as key, str() as word)):
            return _ticked(key, word)
    return NOTHING


def _ticked(key: str, word: str) -> Decision:
    match word:
        case "boom":
            raise ZeroDivisionError("boom")
        case "twice":
            return Decision((Counted(key, "one"), Counted(key, "two")))
        case "huge":
            return Decision((Counted(key, "x" * MAX_EVENT_BYTES),))
        case "foreign":
            return Decision((Ticked(key, "mine"),))
        case "stray":
            return Decision((Counted("elsewhere", "lost"),))
    effects: Mapping[str, tuple[Effect, ...]] = {
        "call": (call := Effect("call", "call", {"n": 1}),),
        "again": (call, call),
        "other": (replace(call, payload={"n": 2}),),
        "pair": (call, replace(call, payload={"n": 2})),
        "odd": (replace(call, payload={"n": Decimal(1)}),),  # type: ignore[dict-item]
    }
    if word.rstrip() in effects:
        return Decision((Counted(key, "called"),), effects[word.rstrip()])
    return Decision((Counted(key, word),))


def evolve(state: Count, event: ToyEvent) -> Count:
    """Remember the word."""
    return replace(state, words=(*state.words, event.word))


COUNTS = Table(
    "counts",
    MetaData(),
    Column("saga", Text, primary_key=True),
    Column("words", ARRAY(Text), nullable=False),
)


def table_store() -> TableStore[Count]:
    """The counter's rows in PostgreSQL."""
    return TableStore(COUNTS, Count, {"words": tuple})


def create_tables(engine: Engine) -> None:
    """The kit's tables and the counter's, in an empty database."""
    KIT.create_all(engine)
    COUNTS.metadata.create_all(engine)


def event_id(source: str, key: str, n: int) -> UUID:
    """The id of the n-th event of a source, as `record` gives it."""
    return uuid5(NAMESPACE, f"{source}/{key}/{n}")


class Wire:
    """Makes records as they come from the topics, each at an offset of its own."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._offset = 0

    def record(
        self, event: Event, seq: int | None = None, *, id_: UUID | None = None, **trace: Any
    ) -> Record:
        """An event of its owner; `seq` None where the publisher keeps no count."""
        key = saga_id_of(event)
        if id_ is None:
            number = -1 - self._offset if seq is None else seq
            id_ = event_id(event.owner, key, number)
        saga = saga_key(flow_name(trace.get("flow")) or "toy", key)
        envelope = Envelope(id_, saga, event.owner, seq, NOW, event, trace=Trace(**trace))
        row = self.codec.encode(envelope)
        return self.raw(row.topic, row.key.encode(), row.value, row.headers)

    def raw(
        self, topic: str, key: bytes | None, value: bytes, headers: Any = (), partition: int = 0
    ) -> Record:
        """Any bytes."""
        self._offset += 1
        return Record(topic, partition, self._offset, 1_767_323_045_000, key, value, headers)


def participant(store: Any) -> Participant[Count]:
    """The counter."""
    return Participant("counter", decide, evolve, store)


class StartedHandler(Handler[Count]):
    """Takes start events as read before, but for a saga whose own comes: it acts when it comes."""

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[Count]]:
        starts = {m.key: str(m.id) for m in reversed(messages) if isinstance(m.event, Started)}
        for key in sorted({m.key for m in messages if m.event or m.record}):
            known = self._known.get(key)
            if not known and (facts := starts.get(key, "")) != known:
                self.begin(key, facts)
        return super().handle(messages)

    def begin(self, key: str, facts: str) -> None:
        """Let it be known what start event a saga has. `facts`: as in its inbox row."""
        self._known[key] = facts
        mark_started(self._database, [key], facts)  # type: ignore[arg-type]

    @cached_property
    def _known(self) -> dict[str, str]:
        return {}


def handler_on(
    database: "MemoryDatabase[Count] | PostgresDatabase[Count]",
    store: Any,
    kind: type[Handler[Count]] = StartedHandler,
    **options: Any,
) -> Handler[Count]:
    """The counter's handler on a database."""
    codec = Codec(CONTRACT)
    router = Router(FLOWS, "counter")
    return kind(participant(store), database, router, codec, lambda: NOW, **options)


def mark_started(
    database: "MemoryDatabase[Count] | PostgresDatabase[Count]",
    keys: Iterable[str],
    facts: str = "",
) -> None:
    """Let it be known that the start events of these sagas were read. `facts`: what is known."""
    known = database.cache.take(keys)
    if isinstance(database, PostgresDatabase):
        with database.engine.begin() as connection:
            for key in keys:
                connection.execute(STARTED, {"key": key, "facts": facts})
        return
    rows = database.tables.inbox_rows
    for key in keys:
        row = known[key][0] if key in known else rows.get(key, InboxRow(key))
        rows[key] = replace(row, facts=row.facts or facts)


@dataclass
class Counter:
    """The counter on the in-memory store, with everything it holds to be looked at."""

    faults: Faults = NO_FAULTS
    wire: Wire = field(default_factory=lambda: Wire(Codec(CONTRACT)))
    store: MemoryStore[Count] = field(default_factory=lambda: MemoryStore(Count()))
    added: list[EffectRow] = field(default_factory=list)
    kind: type[Handler[Count]] = StartedHandler

    def __post_init__(self) -> None:
        self.database: MemoryDatabase[Count] = MemoryDatabase(self.store, NOW)
        self.handler = self.with_faults(self.faults)

    def with_faults(self, faults: Faults) -> Handler[Count]:
        """A new process on the same database."""
        return handler_on(
            self.database, self.store, self.kind, faults=faults, added=self.added.extend
        )

    def reads(self, *records: Record) -> list[Disposition]:
        """Handle records in one micro-batch."""
        messages = [decode_message(self.wire.codec, r) for r in records]
        return [handled.disposition for handled in self.handler.handle(messages)]

    def begins_with(self, start: Record) -> None:
        """Let it be known that this start event was read, although it is handled later."""
        message = decode_message(self.wire.codec, start)
        assert isinstance(self.handler, StartedHandler)
        self.handler.begin(message.key, str(message.id))

    def hears(self, *messages: Message) -> list[Disposition]:
        """Handle messages in one micro-batch."""
        return [handled.disposition for handled in self.handler.handle(messages)]

    def words(self, key: str) -> tuple[str, ...]:
        """What was counted in a saga."""
        return self.store.states.get(toy(key), self.store.initial).words

    def inbox_row(self, key: str) -> InboxRow:
        """The kit's row of a saga."""
        return self.database.tables.inbox_rows[toy(key)]

    @property
    def outbox(self) -> list[OutboxRow]:
        """Everything to be published, in order."""
        return list(self.database.tables.outbox.values())

    @property
    def published(self) -> list[Envelope]:
        """Own events in the outbox, as their readers will see them."""
        return [self.wire.codec.decode(as_record(r)) for r in self.outbox if is_event(r)]

    @property
    def dead(self) -> list[OutboxRow]:
        """Dead-letter records in the outbox."""
        return [r for r in self.outbox if not is_event(r)]

    def parked(self, key: str | None = None) -> list[ParkedRow]:
        """What is parked, in order."""
        rows = self.database.tables.parked.values()
        return [r for r in rows if key is None or r.key == toy(key)]


def is_event(row: OutboxRow) -> bool:
    """Outbox rows that are no dead-letter records."""
    return not row.topic.endswith(".dlt")


def as_record(row: OutboxRow) -> Record:
    """An outbox row as it arrives at a reader."""
    return Record(row.topic, 0, row.id, 0, row.key.encode(), row.value, row.headers)


def words_of(events: Sequence[Any]) -> list[str]:
    """The words of toy events."""
    return [e.word for e in events]
