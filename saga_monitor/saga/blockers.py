"""Find the one cause that blocks a saga in flight. Pure: no I/O, no clock.

The cause is derived from the events the log says the saga awaits, from what the awaited participant
keeps of the saga, and from how far that participant has read.

An event passes through a participant as log, inbox, decision, effect, outbox, log. A cause found
further down that path is closer to the real one, so the kinds rank in this order:

| kind | the saga waits for |
|---|---|
| paused | the person who paused it, to resume it |
| parked | a parked record of its own; all later records queue behind it |
| outbox | an event that is decided and not yet published |
| gateway | a call to the outside world that is being made or retried |
| person | a person who is asked for a verdict, or has to close an intervention |
| silent | a participant, or the broker, that does not answer when asked about the saga |
| lag | a participant that has not read as far as the event it has to act on |
| monitor | the monitor itself, which has not read the log to its end |
| overdue | nobody known: all is read, nothing is pending, and the deadline has passed |
| on_time | an event that is due, and its deadline has not passed |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from saga_monitor.saga.facts import SOURCE
from saga_monitor.saga.view import ENDED, UNDONE_PAST_PIVOT, Approval, Awaited, SagaView

BROKER = "kafka"
"""Key of the broker among the participants: it is asked how far each of them has read."""


class CauseKind(StrEnum):
    """Kinds of cause, the most reliable first; see the table above."""

    PAUSED = "paused"
    PARKED = "parked"
    OUTBOX = "outbox"
    GATEWAY = "gateway"
    PERSON = "person"
    SILENT = "silent"
    LAG = "lag"
    MONITOR = "monitor"
    OVERDUE = "overdue"
    ON_TIME = "on_time"


_RANK = {kind: rank for rank, kind in enumerate(CauseKind)}


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """A pending call to the outside world, as a participant's admin API reports it.

    due_at: time of the next attempt.
    """

    key: str
    kind: str
    attempts: int
    last_error: str | None
    due_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Unpublished:
    """An outbox row that is not published yet."""

    topic: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A parked record, or (code `queued`) a record that is queued behind one."""

    code: str
    error: str
    topic: str
    partition: int
    offset: int
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class Holds:
    """Everything a participant keeps of one saga, oldest first.

    silent: why the participant could not be asked.
    """

    effects: tuple[PendingEffect, ...] = ()
    outbox: tuple[Unpublished, ...] = ()
    parked: tuple[ParkedRecord, ...] = ()
    silent: str | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """A partition that is not read as far as an event; depth: records left to its end."""

    topic: str
    partition: int
    depth: int


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause that blocks a saga.

    who: participant, broker, monitor or person; told: a description that does not depend on when it
    is made; since: when it began; until: the next try, or the deadline.
    """

    kind: CauseKind
    who: str
    told: str
    since: datetime | None = None
    until: datetime | None = None


def held_by(
    view: SagaView, holds: Mapping[str, Holds], lags: Mapping[str, Lag], now: datetime | None
) -> Cause | None:
    """Return the cause that blocks a saga; None once the saga has ended.

    holds: participant -> what it keeps of the saga, for those that were asked, the monitor itself
    included; lags: step -> where its participant is behind the event it has to act on; now: log
    time up to which the log is read, None while that is unknown.
    """
    if view.status in ENDED:
        return None
    if view.paused:
        told = f"{view.paused.actor} paused it: {view.paused.reason}; `saga resume` lets it go on"
        return Cause(CauseKind.PAUSED, view.paused.actor, told, view.paused.since)
    found = [c for item in view.awaited for c in _of_step(item, holds, lags, now)]
    found += _of_monitor(view, holds.get(SOURCE, Holds()))
    if not view.awaited:
        found += _of_start(view, holds, now)
    return min(found, key=lambda c: _RANK[c.kind])


def asks(who: Approval) -> str:
    """Describe who is asked for a verdict, and when the role was reminded or the wait escalated."""
    told = f"{who.event} asks {who.role}"
    if who.escalated:
        return f"{told}, escalated to {who.senior} at {who.escalated.isoformat(timespec='seconds')}"
    if who.reminded:
        return f"{told}, reminded at {who.reminded.isoformat(timespec='seconds')}"
    return told


def _of_step(
    item: Awaited, holds: Mapping[str, Holds], lags: Mapping[str, Lag], now: datetime | None
) -> Iterator[Cause]:
    if item.code == UNDONE_PAST_PIVOT:
        told = (
            f"{item.step} was undone, and yet the order is past its pivot; only a person can help"
        )
        yield Cause(CauseKind.PERSON, "a person", told, item.since)
        return
    theirs, lag = holds.get(item.step), lags.get(item.step)
    if theirs is not None:
        yield from _kept(item.step, theirs)
    if item.asked:
        told = f"{asks(item.asked)}; `saga approve` or `saga reject` answers"
        yield Cause(CauseKind.PERSON, item.asked.turn, told, item.since, item.asked.until)
    unread = lag and f"{lag.topic}/{lag.partition}, {lag.depth} records behind"
    if theirs is not None and theirs.silent:
        told = f"{item.step} does not answer: {theirs.silent}"
        told += f"; it has not read {unread}" if unread else ""
        yield Cause(CauseKind.SILENT, item.step, told, item.since, item.due)
    elif unread:
        told = f"{item.step} has not read {unread}"
        yield Cause(CauseKind.LAG, item.step, told, item.since, item.due)
    broker = holds.get(BROKER)
    if broker is not None and broker.silent:
        told = f"the broker does not answer: {broker.silent}"
        yield Cause(CauseKind.SILENT, BROKER, told, item.since, item.due)
    yield _by_time(item, theirs, now)


def _kept(who: str, theirs: Holds) -> Iterator[Cause]:
    """Yield the causes among the rows that a participant keeps."""
    if theirs.parked:
        head, *behind = theirs.parked
        place = f"{head.topic}/{head.partition}@{head.offset}"
        told = f"{who} parked {place}: {head.code}: {head.error}"
        told += f"; {len(behind)} more queue behind it" if behind else ""
        yield Cause(CauseKind.PARKED, who, told, head.parked_at)
    if theirs.outbox:
        head_row = theirs.outbox[0]
        told = f"{who} has not published {len(theirs.outbox)} of its events to {head_row.topic}"
        yield Cause(CauseKind.OUTBOX, who, told, head_row.created_at)
    if theirs.effects:
        worst = max(theirs.effects, key=lambda e: e.attempts)
        told = f"{who} makes the call {worst.kind} for the first time"
        if worst.attempts:
            told = f"{who} failed {worst.attempts} times at {worst.kind}, last: {worst.last_error}"
        until = worst.due_at if worst.attempts else None
        yield Cause(CauseKind.GATEWAY, who, told, worst.created_at, until)


def _of_monitor(view: SagaView, mine: Holds) -> Iterator[Cause]:
    """Yield the monitor's causes: unpublished events, open interventions, unreadable records."""
    yield from _kept(SOURCE, Holds(outbox=mine.outbox))
    if view.interventions:
        told = f"a case is open: {', '.join(view.interventions)}; `saga resolve` closes it"
        yield Cause(CauseKind.PERSON, "a person", told)
    if mine.parked and not view.awaited:
        head = mine.parked[0]
        place = f"{head.topic}/{head.partition}@{head.offset}"
        told = f"the monitor cannot read {place}: {head.code}: {head.error}"
        yield Cause(CauseKind.PARKED, SOURCE, told, head.parked_at)


def _of_start(view: SagaView, holds: Mapping[str, Holds], now: datetime | None) -> Iterator[Cause]:
    """Yield the causes for a saga that awaits nothing: its start event or its flow is unknown."""
    for who, theirs in holds.items():
        if who != SOURCE:
            yield from _kept(who, theirs)
            if theirs.silent:
                told = f"{who} does not answer: {theirs.silent}"
                yield Cause(CauseKind.SILENT, who, told)
    if now is None:
        yield Cause(
            CauseKind.MONITOR, SOURCE, "the log is not read to its end, it cannot be told yet"
        )
    told = f"events of {view.order_id} are known, the one that starts {view.flow} is not"
    yield Cause(CauseKind.OVERDUE, "whoever placed it", told)


def _by_time(item: Awaited, theirs: Holds | None, now: datetime | None) -> Cause:
    """Return the cause of last resort, which depends on log time and the deadline alone."""
    awaits = f"{item.step} awaits {' or '.join(item.events)}"
    if now is None:
        told = f"{awaits}; the log is not read to its end, more cannot be told yet"
        return Cause(CauseKind.MONITOR, SOURCE, told, item.since, item.due)
    if item.due is not None and item.due >= now:
        return Cause(CauseKind.ON_TIME, item.step, f"not overdue: {awaits}", item.since, item.due)
    asked = "it has read all and nothing is pending there"
    if theirs is None:
        asked = "it was not asked, SAGA_PARTICIPANTS names no address of it"
    return Cause(CauseKind.OVERDUE, item.step, f"{awaits}; {asked}", item.since, item.due)
