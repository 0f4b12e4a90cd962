"""Handles a micro-batch of messages for one participant in one transaction.

Read the sagas' inbox rows -> route -> load states -> for each message: admit (drop repeats, park
gaps and the records queued behind them), decide, evolve -> write states, inbox rows, effects and
outbox together, in one statement that fails if a saga was written meanwhile; then the batch is
handled again under row locks. Bus events, webhooks, people's commands and effect results all go
this way.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID, uuid5

from sagakit.decider import Decision, Effect, EffectResult, Trigger, fold
from sagakit.errors import (
    EffectKeyClash,
    SagaConflict,
    SequenceGap,
    StaleState,
    StartUnread,
    UnprocessableRecord,
)
from sagakit.faults import NO_FAULTS, Faults
from sagakit.flow.routing import Router
from sagakit.handling.binding import BatchRouting, RoutedMessage
from sagakit.handling.inbox import (
    check_sequence,
    fills_gap,
    is_repeat,
    remember,
    sagas_with_filled_gap,
)
from sagakit.handling.own_events import check_own
from sagakit.handling.parking import dead_letter, undecodable_message
from sagakit.handling.parking import decode_message as decode_message
from sagakit.handling.pause import HELD, is_forward, marks_after, sagas_to_release
from sagakit.handling.room import check_room
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import (
    EffectRow,
    Envelope,
    Message,
    OutboxRow,
    ParkedRow,
    Record,
    Trace,
    derive_id,
)
from sagakit.messages.trace_ids import event_traceparent
from sagakit.retry import is_refused, is_too_much
from sagakit.store.effects import as_stored, check_repeats
from sagakit.store.ports import (
    ASIDE,
    PAUSED,
    START,
    Changes,
    Clock,
    Database,
    InboxRow,
    Participant,
    Working,
)

S = TypeVar("S")
T = TypeVar("T")
Clashes = Mapping[UUID, EffectKeyClash]
"""Id of an effect -> why it cannot be added."""
REDRIVE = 500
"""Upper limit of parked records that one transaction handles again."""
MAX_ERROR_CHARS = 2000
"""The most that is kept of an error: it may quote what an outside publisher sent."""
WITHOUT_DEAD_LETTER = ("queued", SequenceGap.code, StartUnread.code, PAUSED)
"""Codes of parking without a dead-letter record: the record itself is not at fault."""


class Disposition(StrEnum):
    """The result of handling one message. STALE: its lease was lost."""

    HANDLED = "handled"
    REPEAT = "repeat"
    PARKED = "parked"
    HELD = "held"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class HandlingResult(Generic[S]):
    """Holds the fate of one message, the own `events` it caused, and the `state` after it."""

    message: Message
    disposition: Disposition
    events: tuple[Any, ...] = ()
    state: S | None = None


class MessageHandler(Protocol[S]):
    """Handles messages: a `Handler`, or a wrapper around one."""

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[S]]:
        """See `Handler.handle`."""
        ...


class Handler(Generic[S]):
    """Handles messages for one participant against one database; keeps no state of its own.

    `lease` may lease a new effect before it is inserted; `added` gets new effects after the commit.
    `review` may leave out parts of a decision before it is carried out (`recovery.answered`).
    """

    def __init__(
        self,
        participant: Participant[S],
        database: Database[S],
        router: Router,
        codec: Codec,
        clock: Clock,
        *,
        faults: Faults = NO_FAULTS,
        lease: Callable[[EffectRow], EffectRow] = lambda row: row,
        added: Callable[[Sequence[EffectRow]], None] = lambda rows: None,
        review: Callable[[Message, Decision], Decision] = lambda message, decision: decision,
    ) -> None:
        self.review = review
        self.participant = participant
        self.router = router
        self.codec = codec
        self.lease = lease
        self._database = database
        self._clock = clock
        self._faults = faults
        self._added = added

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[S]]:
        """Handle a micro-batch, and return the fates in the order given.

        Raises whatever the store raises, and what `decide` raises for a message that is no record
        (a record is parked instead); then nothing of the batch has been written."""
        try:
            return _without_clashes(partial(self._handle, messages, True))
        except StaleState:
            return _without_clashes(partial(self._handle, messages, False))

    def _handle(
        self, messages: Sequence[Message], optimistic: bool, clashes: Clashes
    ) -> list[HandlingResult[S]]:
        with self._database.transaction(optimistic=optimistic) as tx:
            inbox_rows = tx.lock(sorted({m.key for m in messages}))
            batch = _Batch(self, inbox_rows, self._clock(), clashes)
            batch.alive = tx.finish([m.lease for m in messages if m.lease])
            self._faults("after-inbox")
            planned = [batch.routing.plan(m) for m in messages]
            working = tx.load(_wanted(planned))
            fates = [batch.settle(p, working) for p in planned]
            added = tx.write(batch.changes, working)
            # Also after a repeat: the first attempt may have crashed before its redrive. A held
            # record counts as handled, so it can fill a gap.
            done = [
                f.message
                for f in fates
                if f.disposition in (Disposition.HANDLED, Disposition.REPEAT, Disposition.HELD)
            ]
            free = sagas_with_filled_gap(done, inbox_rows) | sagas_to_release(done, inbox_rows)
            free |= batch.bound
            self._faults("before-commit")
        self._faults("after-commit")
        self._added(added)
        for key in sorted(free):
            self.redrive(key)
        return fates

    def redrive(self, key: str) -> list[HandlingResult[S]]:
        """Handle a saga's parked records again, in order, up to the first that still fails.

        So are those of each saga to which a record belongs by now: its flow was not known before.
        """
        handled: list[HandlingResult[S]] = []
        limit, refusal = REDRIVE, ""
        while True:
            try:
                done, moved = _without_clashes(partial(self._redrive, key, limit, refusal))
            except Exception as error:
                if not is_refused(error) and not (limit > 1 and is_too_much(error)):
                    raise
                refusal = (
                    f"the database rejects the record: {str(error)[:300]}" if limit == 1 else ""
                )
                limit = 1
            else:
                handled += done
                if not moved:
                    break
        for moved_to in sorted({result.message.key for result in handled} - {key}):
            handled += self.redrive(moved_to)
        return handled

    def _redrive(
        self, key: str, limit: int, refusal: str, clashes: Clashes
    ) -> tuple[list[HandlingResult[S]], bool]:
        """Redrive in one transaction; return the handled records and whether to run another.

        A record handled or newly held may fill a gap earlier in the queue: only the next run sees
        that. With a `refusal`, the records are parked again with this error."""
        with self._database.transaction() as tx:
            inbox_rows = tx.lock([key])
            rows = tx.parked(key, limit)
            inbox_rows[key].parked, inbox_rows[key].gap = 0, None
            inbox_rows[key].marks = [mark for mark in inbox_rows[key].marks if mark != HELD]
            messages = [
                undecodable_message(self.codec, r.record, refusal)
                if refusal
                else decode_message(self.codec, r.record)
                for r in rows
            ]
            # A record whose flow is known by now moves from `/id` to `flow/id`, which sorts after.
            if moved := {message.key for message in messages} - {key}:
                inbox_rows |= tx.lock(sorted(moved))
            batch = _Batch(self, inbox_rows, self._clock(), clashes)
            batch.held = {row.record for row in rows if row.code == PAUSED}
            batch.dead_lettered = {
                row.record for row in rows if row.code not in WITHOUT_DEAD_LETTER
            }
            planned = [batch.routing.plan(message) for message in messages]
            working = tx.load(_wanted(planned))
            fates = [batch.settle(plan, working) for plan in planned]
            done = [
                fate.disposition not in (Disposition.PARKED, Disposition.HELD) for fate in fates
            ]
            batch.changes.unpark = [row.id for row, d in zip(rows, done, strict=True) if d]
            added = tx.write(batch.changes, working)
        self._added(added)
        held_now = any(
            f.disposition is Disposition.HELD and f.message.record not in batch.held for f in fates
        )
        progress = any(done) or held_now or bool(moved or batch.set_aside or batch.bound)
        return [fate for fate, d in zip(fates, done, strict=True) if d], progress


def _without_clashes(run: Callable[[Clashes], T]) -> T:
    """Run a transaction; if the store finds a clash of effect keys, run it again with that known.

    The decision is then refused as one that fails. A message that is no record raises the clash.
    """
    clashes: dict[UUID, EffectKeyClash] = {}
    while True:
        try:
            return run(clashes)
        except EffectKeyClash as clash:
            if clash.effect_id in clashes:
                raise
            clashes[clash.effect_id] = clash


def _wanted(planned: Sequence[RoutedMessage]) -> dict[str, list[Trigger]]:
    wanted: dict[str, list[Trigger]] = defaultdict(list)
    for plan in planned:
        if plan.triggers:
            wanted[plan.message.key] += plan.triggers
    return wanted


def _awaits_start(inbox_row: InboxRow) -> bool:
    """Tell whether records wait that the start event lets go on, whatever the first waits for.

    Behind a record that could not be read a start event queues: that record may be an earlier one.
    """
    return inbox_row.gap == START or (inbox_row.gap is not None and inbox_row.facts is None)


class _Batch(Generic[S]):
    """Collects the changes of one transaction: its inbox rows and the rows to write."""

    def __init__(
        self,
        handler: Handler[S],
        inbox_rows: dict[str, InboxRow],
        now: datetime,
        clashes: Clashes,
    ) -> None:
        self._handler = handler
        self._inbox_rows = inbox_rows
        self._now = now
        self._clashes = clashes
        self.routing = BatchRouting(handler.router, inbox_rows)
        self.set_aside = 0
        self.bound: set[str] = set()
        self.alive: set[UUID] = set()
        self.dead_lettered: set[Record] = set()
        self.held: set[Record] = set()
        self.changes = Changes(inbox_rows=list(inbox_rows.values()))

    def settle(self, plan: RoutedMessage, working: Working[S]) -> HandlingResult[S]:
        """Admit and decide one message."""
        message, inbox_row = plan.message, self._inbox_rows[plan.message.key]
        if message.lease:
            if message.lease.effect_id not in self.alive:
                return HandlingResult(message, Disposition.STALE)
            self.alive.remove(message.lease.effect_id)
        held = bool(self.held) and message.record in self.held
        try:
            if message.poison:
                raise message.poison
            if not held:
                if is_repeat(message, inbox_row):
                    state = working.get(message.key) if message.trigger else None
                    return HandlingResult(message, Disposition.REPEAT, (), state)
                if plan.starts and _awaits_start(inbox_row):
                    return self._bind(plan, inbox_row)
                if message.record and inbox_row.parked and not fills_gap(message, inbox_row):
                    return self._park(
                        message, "queued", "behind an earlier parked record of the same saga"
                    )
                check_sequence(message, inbox_row)
            if plan.refusal:
                raise plan.refusal
            if message.event and PAUSED in inbox_row.marks and is_forward(plan.triggers):
                return self._hold(plan, inbox_row)
            state, events = self._decide(plan, inbox_row, working)
        except SagaConflict as conflict:
            return self._set_aside(message, conflict)
        except UnprocessableRecord as poison:
            if message.record is None:
                raise
            if plan.starts and isinstance(poison, SequenceGap):
                inbox_row.flow, inbox_row.facts = plan.label, plan.facts
            return self._park(message, poison.code, str(poison))
        except Exception as error:
            if message.record is None:
                raise
            return self._park(message, "decide", f"{type(error).__name__}: {error}")
        if not held:
            remember(message, inbox_row)
        return HandlingResult(message, Disposition.HANDLED, events, state)

    def _decide(
        self, plan: RoutedMessage, inbox_row: InboxRow, working: Working[S]
    ) -> tuple[S | None, tuple[Any, ...]]:
        """Decide all triggers of one message or none: an exception discards the trial."""
        message, participant = plan.message, self._handler.participant
        if not plan.triggers:
            self._update_inbox_row(inbox_row, plan)
            return None, ()
        trial = _Trial(self._handler, message, inbox_row, plan.label, self._now, self._clashes)
        state = working.get(message.key)
        events: tuple[Any, ...] = ()
        folded: tuple[Any, ...] = ()
        for trigger in plan.triggers:
            if isinstance(trigger, EffectResult):
                trial.pending.discard(trigger.effect.key)
            seen = replace(state, in_flight=frozenset(trial.pending))  # type: ignore[type-var]
            decision = participant.decide(seen, trigger, self._now)
            decision = self._handler.review(message, decision)
            trial.take(decision)
            check_room(
                message,
                plan.triggers,
                starts=self._handler.router.is_start(message.event),
                has_effects=bool(decision.effects),
            )
            events += decision.events
            folded += decision.adopted + decision.events
            state = fold(participant.evolve, state, decision.adopted + decision.events)
        working.put(message.key, state, folded)
        self._update_inbox_row(inbox_row, plan)
        inbox_row.sent, inbox_row.in_flight = trial.sent, sorted(trial.pending)
        self.changes.outbox += trial.outbox
        self.changes.effects += trial.effects.values()
        return state, events

    def _update_inbox_row(self, inbox_row: InboxRow, plan: RoutedMessage) -> None:
        inbox_row.flow = plan.label
        inbox_row.facts = plan.facts
        inbox_row.marks = marks_after(plan.marks | set(inbox_row.marks), plan.triggers, plan.paused)

    def _hold(self, plan: RoutedMessage, inbox_row: InboxRow) -> HandlingResult[S]:
        """Hold a record: it counts as handled, but is parked before the decision."""
        if plan.message.record not in self.held:
            remember(plan.message, inbox_row)
        self._update_inbox_row(inbox_row, replace(plan, marks=plan.marks | {HELD}))
        self._park(plan.message, PAUSED, "the saga is paused; handled when it is resumed")
        return HandlingResult(plan.message, Disposition.HELD)

    def _bind(self, plan: RoutedMessage, inbox_row: InboxRow) -> HandlingResult[S]:
        """Bind a saga of which later events came first; all are handled in the order they came."""
        inbox_row.flow, inbox_row.facts, inbox_row.gap = plan.label, plan.facts, START
        self.bound.add(plan.message.key)
        return self._park(plan.message, "queued", "behind earlier records of the same saga")

    def _set_aside(self, message: Message, conflict: SagaConflict) -> HandlingResult[S]:
        """Park a record that is never handled: it counts as handled, so later records pass."""
        if message.record is None:
            raise conflict
        if message.record not in self.held:
            remember(message, self._inbox_rows[message.key])
        self.set_aside += 1
        return self._park(message, conflict.code, str(conflict))

    def _park(self, message: Message, code: str, error: str) -> HandlingResult[S]:
        inbox_row, record = self._inbox_rows[message.key], message.record
        if record is None:
            raise RuntimeError(f"only records can be parked, not {message}")
        if record in self.held:
            code = PAUSED  # it counts as handled: later records were admitted after it
        inbox_row.parked += code not in ASIDE
        if inbox_row.parked == 1 and code in (SequenceGap.code, StartUnread.code):
            inbox_row.gap = message.source if code == SequenceGap.code else START
        elif message.poison and inbox_row.facts is None:
            inbox_row.gap = None
        error = error[:MAX_ERROR_CHARS]
        self.changes.park.append(
            ParkedRow(message.key, code, error, record, message.source, message.seq)
        )
        if code not in WITHOUT_DEAD_LETTER and record not in self.dead_lettered:
            self.changes.outbox.append(
                dead_letter(self._handler.participant.name, record, message.key, code, error)
            )
        return HandlingResult(message, Disposition.PARKED)


class _Trial(Generic[S]):
    """Buffers the events and effects of one message until all its triggers are decided."""

    def __init__(
        self,
        handler: Handler[S],
        message: Message,
        inbox_row: InboxRow,
        flow: str | None,
        now: datetime,
        clashes: Clashes,
    ) -> None:
        self._handler, self._message, self._now = handler, message, now
        self._clashes = clashes
        given = message.trace
        self._cause = given.cause or str(message.id)
        self._trace = Trace(flow, given.correlation or message.key, given.traceparent, self._cause)
        self._counts: Counter[str] = Counter()
        self.sent = inbox_row.sent
        self.pending = set(inbox_row.in_flight)
        self.outbox: list[OutboxRow] = []
        self.effects: dict[str, EffectRow] = {}

    def take(self, decision: Decision) -> None:
        """Encode the events, and keep the effects; the store leaves out those pending already.

        Raises ForeignEvent, EventTooLarge, EffectKeyClash, and ValueError for a bad payload.
        """
        message, name = self._message, self._handler.participant.name
        for event in decision.adopted:
            check_own(name, event, message.key)
        for event in decision.events:
            check_own(name, event, message.key)
            event_id = derive_id(message.id, event.type, self._counts[event.type])
            self._counts[event.type] += 1
            self.sent += 1
            envelope = Envelope(
                event_id,
                message.key,
                name,
                self.sent,
                self._now,
                event,
                UUID(self._cause),
                replace(self._trace, traceparent=event_traceparent(event_id, message.key)),
            )
            self.outbox.append(self._handler.codec.encode(envelope))
        for effect in decision.effects:
            self._add(as_stored(effect))

    def _add(self, effect: Effect) -> None:
        named = replace(effect, saga=self._message.key)
        effect_id = uuid5(self._message.id, f"effect:{named.idempotency_key}")
        if clash := self._clashes.get(effect_id):
            raise clash
        row = EffectRow(effect_id, named, self._trace)
        if there := self.effects.get(effect.key):
            check_repeats([row], [there.effect])
        else:
            self.pending.add(effect.key)
            self.effects[effect.key] = self._handler.lease(row)
