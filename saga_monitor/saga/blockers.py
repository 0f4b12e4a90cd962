"""Find the one cause that blocks a saga. Pure: no I/O, no clock.

The cause is derived from the events that the saga awaits, from what the awaited participant keeps
of the saga, and from how far that participant has read.

An event passes through a participant as log, inbox, decision, effect, outbox, log. The further down
this path a cause is found, the more it explains, so the kinds rank in this order:

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
| overdue | nothing known: all is read, nothing is pending, and the deadline has passed |
| on_time | an event that is due, and its deadline has not passed |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from saga_monitor.saga.facts import SOURCE
from saga_monitor.saga.times import utc_seconds
from saga_monitor.saga.view import ENDED, UNDONE_PAST_PIVOT, Approval, AwaitedStep, SagaView

BROKER = "kafka"
"""Key of the broker among the respondents; it is asked how far each participant has read."""


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
class KeptRows:
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

    who: participant, broker, monitor or person; description: the same whenever it is made; since:
    when the blocking began; until: the next attempt, or the deadline.
    """

    kind: CauseKind
    who: str
    description: str
    since: datetime | None = None
    until: datetime | None = None


def blocking_cause(
    view: SagaView, kept_rows: Mapping[str, KeptRows], lags: Mapping[str, Lag], now: datetime | None
) -> Cause | None:
    """Return the cause that blocks a saga; None if it has ended and no intervention is open.

    kept_rows: participant -> what it keeps of the saga, for those that were asked and for the
    monitor itself; lags: step -> where its participant is behind the event it has to act on; now:
    log time up to which the log is read, None while that is unknown.
    """
    if view.status in ENDED:
        return next(_intervention_causes(view), None)
    if view.paused:
        text = f"{view.paused.actor} paused it: {view.paused.reason}; `saga resume` continues it"
        return Cause(CauseKind.PAUSED, view.paused.actor, text, view.paused.since)
    found = [c for item in view.awaited for c in _step_causes(item, kept_rows, lags, now)]
    found += _monitor_causes(view, kept_rows.get(SOURCE, KeptRows()))
    if not view.awaited:
        found += _start_causes(view, kept_rows, now)
    return min(found, key=lambda c: _RANK[c.kind])


def approval_text(approval: Approval) -> str:
    """Describe who is asked for a verdict, and when the role was reminded or the wait escalated."""
    text = f"{approval.event} asks {approval.role}"
    if approval.escalated:
        at = utc_seconds(approval.escalated)
        return f"{text}, escalated to {approval.senior} at {at}"
    if approval.reminded:
        return f"{text}, reminded at {utc_seconds(approval.reminded)}"
    return text


def _step_causes(
    item: AwaitedStep,
    kept_rows: Mapping[str, KeptRows],
    lags: Mapping[str, Lag],
    now: datetime | None,
) -> Iterator[Cause]:
    if item.code == UNDONE_PAST_PIVOT:
        text = f"{item.step} was undone although the saga is past its pivot; a person has to decide"
        yield Cause(CauseKind.PERSON, "a person", text, item.since)
        return
    rows, lag = kept_rows.get(item.step), lags.get(item.step)
    if rows is not None:
        yield from _row_causes(item.step, rows)
    if item.approval:
        text = f"{approval_text(item.approval)}; `saga approve` or `saga reject` answers"
        yield Cause(
            CauseKind.PERSON, item.approval.current_role, text, item.since, item.approval.until
        )
    unread = lag and f"{lag.topic}/{lag.partition}, {lag.depth} records behind"
    if rows is not None and rows.silent:
        text = f"{item.step} does not answer: {rows.silent}"
        text += f"; it has not read {unread}" if unread else ""
        yield Cause(CauseKind.SILENT, item.step, text, item.since, item.due)
    elif unread:
        text = f"{item.step} has not read {unread}"
        yield Cause(CauseKind.LAG, item.step, text, item.since, item.due)
    broker = kept_rows.get(BROKER)
    if broker is not None and broker.silent:
        text = f"the broker does not answer: {broker.silent}"
        yield Cause(CauseKind.SILENT, BROKER, text, item.since, item.due)
    yield _time_cause(item, rows, now)


def _row_causes(who: str, rows: KeptRows) -> Iterator[Cause]:
    """Yield the causes among the rows that a participant keeps."""
    if rows.parked:
        head, *behind = rows.parked
        place = f"{head.topic}/{head.partition}@{head.offset}"
        text = f"{who} parked {place}: {head.code}: {head.error}"
        text += f"; {len(behind)} more queue behind it" if behind else ""
        yield Cause(CauseKind.PARKED, who, text, head.parked_at)
    if rows.outbox:
        head_row = rows.outbox[0]
        text = f"{who} has not published {len(rows.outbox)} of its events to {head_row.topic}"
        yield Cause(CauseKind.OUTBOX, who, text, head_row.created_at)
    if rows.effects:
        most_tried = max(rows.effects, key=lambda e: e.attempts)
        text = f"{who} makes its first attempt at {most_tried.kind}"
        if most_tried.attempts:
            text = (
                f"{who} failed {most_tried.attempts} times at {most_tried.kind}, last error: "
                f"{most_tried.last_error}"
            )
        until = most_tried.due_at if most_tried.attempts else None
        yield Cause(CauseKind.GATEWAY, who, text, most_tried.created_at, until)


def _monitor_causes(view: SagaView, own: KeptRows) -> Iterator[Cause]:
    """Yield the monitor's causes: unpublished events, open interventions, unreadable records."""
    yield from _row_causes(SOURCE, KeptRows(outbox=own.outbox))
    yield from _intervention_causes(view)
    if own.parked and not view.awaited:
        head = own.parked[0]
        place = f"{head.topic}/{head.partition}@{head.offset}"
        text = f"the monitor cannot read {place}: {head.code}: {head.error}"
        yield Cause(CauseKind.PARKED, SOURCE, text, head.parked_at)


def _intervention_causes(view: SagaView) -> Iterator[Cause]:
    if view.open_interventions:
        codes = ", ".join(view.open_interventions)
        text = f"an intervention is open: {codes}; `saga resolve` closes it"
        yield Cause(CauseKind.PERSON, "a person", text)


def _start_causes(
    view: SagaView, kept_rows: Mapping[str, KeptRows], now: datetime | None
) -> Iterator[Cause]:
    """Yield the causes for a saga that awaits nothing: its start event or its flow is unknown."""
    for who, rows in kept_rows.items():
        if who != SOURCE:
            yield from _row_causes(who, rows)
            if rows.silent:
                text = f"{who} does not answer: {rows.silent}"
                yield Cause(CauseKind.SILENT, who, text)
    if now is None:
        text = "the monitor has not read all topics to their end"
        yield Cause(CauseKind.MONITOR, SOURCE, text)
    text = f"events of {view.key} were read, but not the start event of {view.flow}"
    yield Cause(CauseKind.OVERDUE, "whoever placed it", text)


def _time_cause(item: AwaitedStep, rows: KeptRows | None, now: datetime | None) -> Cause:
    """Return the cause that remains if there is no other: from log time and deadline alone."""
    awaits = f"{item.step} awaits {' or '.join(item.events)}"
    if now is None:
        text = f"{awaits}; the monitor has not read all topics to their end"
        return Cause(CauseKind.MONITOR, SOURCE, text, item.since, item.due)
    if item.due is not None and item.due >= now:
        return Cause(CauseKind.ON_TIME, item.step, f"on time, {awaits}", item.since, item.due)
    state = "it has read all its events, and nothing is pending there"
    if rows is None:
        state = "it was not asked, because SAGA_PARTICIPANTS has no address of it"
    return Cause(CauseKind.OVERDUE, item.step, f"{awaits}; {state}", item.since, item.due)
