"""What holds an order in flight: one cause, read off what the log says it awaits, what the awaited
participant keeps of it, and how far that participant has read. Pure: no I/O, no clock.

An event's way through a participant is log, inbox, decision, effect, outbox, log. The further down
it is found, the truer that is as the cause, so the causes come in this order:

| kind | the order waits for |
|---|---|
| paused | the person who paused it to resume it |
| parked | a record of its own that could not be handled; all later ones queue behind it |
| outbox | an event that is decided and not yet published |
| gateway | the outside world: a call that is being made, or made again |
| person | somebody who is asked, or a case only a person can close |
| silent | a participant, or the broker, that does not answer when it is asked about the order |
| lag | a participant that has not read as far as the event it is to act on |
| monitor | the monitor itself, which has not read the log to its end |
| overdue | nobody who admits to it: all is read, nothing is pending, and yet the time is up |
| on_time | what is due, and its time is not up |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from saga_monitor.saga.facts import SOURCE
from saga_monitor.saga.view import ENDED, UNDONE_PAST_PIVOT, Asked, Awaited, SagaView

BROKER = "kafka"
"""Stands among the participants for who was asked how far they have read."""


class Kind(StrEnum):
    """Of a cause, the truest first; see the table above."""

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


_RANK = {kind: rank for rank, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """A call to the outside world, as a participant's admin API tells it. due_at: of the next."""

    key: str
    kind: str
    attempts: int
    last_error: str | None
    due_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A row of an outbox."""

    topic: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A record that could not be handled, or (code `queued`) stands behind one."""

    code: str
    error: str
    topic: str
    partition: int
    offset: int
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class Holds:
    """What a participant keeps of one order, oldest first. silent: why it could not be asked."""

    effects: tuple[PendingEffect, ...] = ()
    outbox: tuple[Unpublished, ...] = ()
    parked: tuple[ParkedRecord, ...] = ()
    silent: str | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """A partition that was not read as far as an event; depth: records to read to its end."""

    topic: str
    partition: int
    depth: int


@dataclass(frozen=True, slots=True)
class Cause:
    """What holds an order. who: participant, broker, monitor or person; told: in words that do not
    depend on when they are said; since; until: the next try, or the deadline."""

    kind: Kind
    who: str
    told: str
    since: datetime | None = None
    until: datetime | None = None


def held_by(
    view: SagaView, holds: Mapping[str, Holds], lags: Mapping[str, Lag], now: datetime | None
) -> Cause | None:
    """What holds an order; None where it has ended.

    holds: participant -> what it keeps of the order, for those that were asked, the monitor itself
    among them; lags: step -> where its participant is behind the event it is to act on; now: log
    time up to which the log is read, None while that is not known.
    """
    if view.status in ENDED:
        return None
    if view.paused:
        told = f"{view.paused.actor} paused it: {view.paused.reason}; `saga resume` lets it go on"
        return Cause(Kind.PAUSED, view.paused.actor, told, view.paused.since)
    found = [c for item in view.awaited for c in _of_step(item, holds, lags, now)]
    found += _of_monitor(view, holds.get(SOURCE, Holds()))
    if not view.awaited:
        found += _of_start(view, holds, now)
    return min(found, key=lambda c: _RANK[c.kind])


def asks(who: Asked) -> str:
    """Who is asked for a verdict, and since when it is another."""
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
        yield Cause(Kind.PERSON, "a person", told, item.since)
        return
    theirs, lag = holds.get(item.step), lags.get(item.step)
    if theirs is not None:
        yield from _kept(item.step, theirs)
    if item.asked:
        told = f"{asks(item.asked)}; `saga approve` or `saga reject` answers"
        yield Cause(Kind.PERSON, item.asked.turn, told, item.since, item.asked.until)
    unread = lag and f"{lag.topic}/{lag.partition}, {lag.depth} records behind"
    if theirs is not None and theirs.silent:
        told = f"{item.step} does not answer: {theirs.silent}"
        told += f"; it has not read {unread}" if unread else ""
        yield Cause(Kind.SILENT, item.step, told, item.since, item.due)
    elif unread:
        told = f"{item.step} has not read {unread}"
        yield Cause(Kind.LAG, item.step, told, item.since, item.due)
    broker = holds.get(BROKER)
    if broker is not None and broker.silent:
        told = f"the broker does not answer: {broker.silent}"
        yield Cause(Kind.SILENT, BROKER, told, item.since, item.due)
    yield _by_time(item, theirs, now)


def _kept(who: str, theirs: Holds) -> Iterator[Cause]:
    """What a participant says it keeps."""
    if theirs.parked:
        head, *behind = theirs.parked
        place = f"{head.topic}/{head.partition}@{head.offset}"
        told = f"{who} parked {place}: {head.code}: {head.error}"
        told += f"; {len(behind)} more queue behind it" if behind else ""
        yield Cause(Kind.PARKED, who, told, head.parked_at)
    if theirs.outbox:
        head_row = theirs.outbox[0]
        told = f"{who} has not published {len(theirs.outbox)} of its events to {head_row.topic}"
        yield Cause(Kind.OUTBOX, who, told, head_row.created_at)
    if theirs.effects:
        worst = max(theirs.effects, key=lambda e: e.attempts)
        told = f"{who} makes the call {worst.kind} for the first time"
        if worst.attempts:
            told = f"{who} failed {worst.attempts} times at {worst.kind}, last: {worst.last_error}"
        until = worst.due_at if worst.attempts else None
        yield Cause(Kind.GATEWAY, who, told, worst.created_at, until)


def _of_monitor(view: SagaView, mine: Holds) -> Iterator[Cause]:
    """What the monitor has not said yet, and the cases it has opened."""
    yield from _kept(SOURCE, Holds(outbox=mine.outbox))
    if view.interventions:
        told = f"a case is open: {', '.join(view.interventions)}; `saga resolve` closes it"
        yield Cause(Kind.PERSON, "a person", told)
    if mine.parked and not view.awaited:
        head = mine.parked[0]
        place = f"{head.topic}/{head.partition}@{head.offset}"
        told = f"the monitor cannot read {place}: {head.code}: {head.error}"
        yield Cause(Kind.PARKED, SOURCE, told, head.parked_at)


def _of_start(view: SagaView, holds: Mapping[str, Holds], now: datetime | None) -> Iterator[Cause]:
    """An order without its start event, or of a flow that is not known: whoever was asked."""
    for who, theirs in holds.items():
        if who != SOURCE:
            yield from _kept(who, theirs)
            if theirs.silent:
                told = f"{who} does not answer: {theirs.silent}"
                yield Cause(Kind.SILENT, who, told)
    if now is None:
        yield Cause(Kind.MONITOR, SOURCE, "the log is not read to its end, it cannot be told yet")
    told = f"events of {view.order_id} are known, the one that starts {view.flow} is not"
    yield Cause(Kind.OVERDUE, "whoever placed it", told)


def _by_time(item: Awaited, theirs: Holds | None, now: datetime | None) -> Cause:
    """Where nothing was found, it is a matter of time."""
    awaits = f"{item.step} awaits {' or '.join(item.events)}"
    if now is None:
        told = f"{awaits}; the log is not read to its end, more cannot be told yet"
        return Cause(Kind.MONITOR, SOURCE, told, item.since, item.due)
    if item.due is not None and item.due >= now:
        return Cause(Kind.ON_TIME, item.step, f"not overdue: {awaits}", item.since, item.due)
    asked = "it has read all and nothing is pending there"
    if theirs is None:
        asked = "it was not asked, SAGA_PARTICIPANTS names no address of it"
    return Cause(Kind.OVERDUE, item.step, f"{awaits}; {asked}", item.since, item.due)
