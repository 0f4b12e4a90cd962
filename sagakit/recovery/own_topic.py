"""Folds a participant's own topic: states, the number of own events, and what they answered."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sagakit.decider import Observed, Trigger, fold
from sagakit.errors import UnprocessableRecord
from sagakit.flow.facts import digest, facts_of
from sagakit.flow.routing import Router
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, ParkedRow, Record
from sagakit.recovery.answered import OwnEvent
from sagakit.store.ports import Changes, InboxRow, Participant, Transaction

S = TypeVar("S")
WAITS = "rebuild"
"""Code of parking of own events that wait for one before them; none is left at the end."""
MOST_WAITING = 10_000
MISSING = "an own event of it is not in the log"
BEGAN_BEFORE = "its first own events are older than what the log holds"


@dataclass(frozen=True, slots=True)
class FoldedBatch:
    """Holds the own events that were folded, with the keys of their sagas; sagas not recovered."""

    events: Sequence[tuple[str, OwnEvent]]
    lost: Mapping[str, str]


class _Queue:
    """Holds own events that wait for one before them; they are kept among the parked records.

    new: to be parked; gone: ids of parked ones that were taken.
    """

    def __init__(self, codec: Codec, tx: Transaction[Any], rows: Mapping[str, InboxRow]) -> None:
        self._waiting: dict[tuple[str, int], tuple[Envelope, ParkedRow]] = {}
        for key, row in rows.items():
            parked = tx.parked(key, MOST_WAITING) if row.parked else ()
            for one in parked:
                if one.code == WAITS and one.seq is not None:
                    self._waiting[key, one.seq] = codec.decode(one.record), one
        self.gone: list[int] = []

    @property
    def new(self) -> list[ParkedRow]:
        return [parked for _, parked in self._waiting.values() if not parked.id]

    def add(self, envelope: Envelope, record: Record) -> None:
        assert envelope.seq is not None
        why = "an own event before it was not read yet"
        parked = ParkedRow(envelope.key, WAITS, why, record, envelope.source, envelope.seq)
        self._waiting.setdefault((envelope.key, envelope.seq), (envelope, parked))

    def take(self, row: InboxRow) -> Envelope | None:
        """Return the next event of a saga if it waits."""
        envelope, parked = self._waiting.pop((row.key, row.sent + 1), (None, None))
        if parked is not None and parked.id:
            self.gone.append(parked.id)
        return envelope

    def first(self, key: str) -> int | None:
        """Return the first number of a saga that waits."""
        return min((seq for saga, seq in self._waiting if saga == key), default=None)


class OwnTopic(Generic[S]):
    """Folds batches of the own topic into a participant's tables, each saga in sequence.

    An event whose predecessor comes later (the broker had refused it) waits among the parked
    records. It stays there for good only if the predecessor is not in the log at all.
    """

    def __init__(self, participant: Participant[S], router: Router, codec: Codec) -> None:
        self._participant, self._router, self._codec = participant, router, codec

    def fold(self, tx: Transaction[S], records: Sequence[Record], cut: Set[int]) -> FoldedBatch:
        """Fold a batch. cut: partitions whose first records the log no longer holds."""
        found = list(self._decoded(records))
        rows = tx.lock(sorted({envelope.key for envelope, _ in found}))
        queue, lost = _Queue(self._codec, tx, rows), dict[str, str]()
        own = list[Envelope]()
        for envelope, record in found:
            row, seq = rows[envelope.key], envelope.seq
            counted = self._is_counted(envelope)
            if counted and record.partition in cut and row.sent == 0 and seq > 1:  # type: ignore[operator]
                lost[envelope.key], row.sent = BEGAN_BEFORE, seq - 1  # type: ignore[operator]
            if counted and seq > row.sent + 1:  # type: ignore[operator]
                queue.add(envelope, record)
            elif self._admit(envelope, row):
                own.append(envelope)
                while following := queue.take(row):
                    own += [following] if self._admit(following, row) else []
        self._write(tx, own, Changes(list(rows.values()), park=queue.new, unpark=queue.gone))
        return FoldedBatch([_noted(envelope) for envelope in own], lost)

    def give_up(self, tx: Transaction[S], key: str) -> FoldedBatch:
        """Fold what still waits of a saga, although an event before it is not in the log."""
        rows = tx.lock([key])
        queue, row, own = _Queue(self._codec, tx, rows), rows[key], list[Envelope]()
        while (first := queue.first(key)) is not None:
            row.sent = first - 1
            while following := queue.take(row):
                own += [following] if self._admit(following, row) else []
        self._write(tx, own, Changes([row], unpark=queue.gone))
        return FoldedBatch([_noted(envelope) for envelope in own], {key: MISSING})

    def _decoded(self, records: Sequence[Record]) -> Iterator[tuple[Envelope, Record]]:
        """Yield what can be decoded; the rest was parked by whoever consumed it."""
        for record in records:
            if self._codec.is_foreign(record):
                continue
            try:
                yield self._codec.decode(record), record
            except UnprocessableRecord:
                continue

    def _is_counted(self, envelope: Envelope) -> bool:
        name = self._participant.name
        return envelope.seq is not None and envelope.source == envelope.event.owner == name

    def _admit(self, envelope: Envelope, row: InboxRow) -> bool:
        """Advance the saga's row by an event of the own topic; tell whether it is folded.

        Not folded: a repeat, an event of another owner or of an unknown flow, and a start event
        that the log has another one of before it.
        """
        if self._is_counted(envelope) and envelope.seq is not None:
            if envelope.seq <= row.sent:
                return False
            row.sent = envelope.seq
        given = envelope.trace.flow
        if given is not None or envelope.source != self._participant.name:
            try:
                row.flow = self._router.label(given, envelope.event, row.flow) or row.flow
            except UnprocessableRecord:
                return False
        if envelope.event.owner != self._participant.name:
            return False
        if self._router.is_start(envelope.event):
            facts = f"{envelope.id} {facts_of(envelope.event)}".rstrip()
            row.facts = row.facts or facts
            return row.facts == facts
        return True

    def _write(self, tx: Transaction[S], own: Sequence[Envelope], changes: Changes) -> None:
        if not changes.inbox_rows:
            return
        participant = self._participant
        wanted: dict[str, list[Trigger]] = defaultdict(list)
        for envelope in own:
            wanted[envelope.key].append(Observed(envelope.event.type, envelope.event))
        working = tx.load(wanted)
        for envelope in own:
            events: tuple[Any, ...] = (envelope.event,)
            state = working.get(envelope.key)
            if envelope.source != participant.name:
                # another publisher's event of an own type: folded only if `decide` adopts it
                seen = Observed(envelope.event.type, envelope.event)
                events = participant.decide(state, seen, envelope.time).adopted
            working.put(envelope.key, fold(participant.evolve, state, events), events)
        tx.write(changes, working)


def _noted(envelope: Envelope) -> tuple[str, OwnEvent]:
    at_ms = round(envelope.time.timestamp() * 1000)
    return envelope.key, OwnEvent(
        envelope.event.type, envelope.causation, at_ms, digest(envelope.event)
    )
