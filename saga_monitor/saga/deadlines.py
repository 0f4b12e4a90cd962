"""Decide which events the monitor emits once a deadline has passed. Pure: no I/O, no clock.

A deadline has passed when it is before `read_through`: the log time up to which the saga's
partition of every flow topic has been read (`ingest.watermark`). While that is unknown, nothing is
emitted. Event ids derive from saga, step and attempt, so two monitors, or one before and after a
restart, never emit different events for one deadline.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from saga_monitor.saga.facts import SOURCE, Fact, Saga, emission_id
from saga_monitor.saga.view import (
    DEADLINE,
    ESCALATION,
    REMINDER,
    STALLED,
    SYSTEM_TIMEOUT,
    UNDONE_PAST_PIVOT,
    UNEXPECTED,
    VERDICT,
    Awaited,
    AwaitMode,
    Imbalance,
    SagaView,
)
from schemas.events import (
    CompensationRequested,
    InterventionOpened,
    VerdictGiven,
    VerdictRequested,
)


@dataclass(frozen=True, slots=True)
class Emission:
    """An event to emit.

    cause: id of the fact it follows from, such as the one whose sequel is missing; None where it
    comes from outside the log.
    """

    id: UUID
    event: Any
    cause: UUID | None


def judge(saga: Saga, seen: SagaView, read_through: datetime | None) -> tuple[Emission, ...]:
    """Return the events to emit for a saga that is read through `read_through`.

    Events already among the saga's facts are left out. While `read_through` is None there are none:
    cannot tell yet.
    """
    if read_through is None:
        return ()
    item = seen.next
    said = [_unexpected(saga, seen, fact) for fact in seen.unexpected if fact.at < read_through]
    said += [_unbalanced(saga, found) for found in seen.imbalances if found.due < read_through]
    if item is not None and item.due is not None and item.due < read_through:
        said += _emissions_for(saga, item)
    return tuple(e for e in said if str(e.id) not in saga.facts)


def _unexpected(saga: Saga, seen: SagaView, fact: Fact) -> Emission:
    reason = (
        f"{fact.type} of {fact.source} at {fact.at.isoformat(timespec='milliseconds')} should "
        f"never have been said of an order on {seen.flow} that comes to this; see late-events"
    )
    opened = InterventionOpened(order_id=saga.order_id, code=UNEXPECTED, reason=reason)
    return Emission(emission_id(saga.order_id, UNEXPECTED, fact.type), opened, UUID(fact.id))


def _unbalanced(saga: Saga, found: Imbalance) -> Emission:
    opened = InterventionOpened(order_id=saga.order_id, code=found.code, reason=found.reason)
    return Emission(found.id, opened, UUID(found.cause))


def _emissions_for(saga: Saga, item: Awaited) -> Iterator[Emission]:
    order_id, cause = saga.order_id, UUID(item.cause)
    if item.code in (REMINDER, ESCALATION, VERDICT):
        yield Emission(emission_id(order_id, item.code, item.cause), _asking(saga, item), cause)
        return
    if item.code != DEADLINE:
        opened = InterventionOpened(order_id=order_id, code=item.code, reason=_reason(item))
        yield Emission(emission_id(order_id, item.code, item.step), opened, cause)
        return
    request = CompensationRequested(
        order_id=order_id,
        step=item.step,
        code=DEADLINE,
        reason=_reason(item),
        actor=SOURCE,
        attempt=item.attempt,
    )
    yield Emission(emission_id(order_id, DEADLINE, item.step, item.attempt), request, cause)
    if item.stalled:
        reason = f"{_reason(item)}; asked {item.tries} times without a sign of life"
        opened = InterventionOpened(order_id=order_id, code=STALLED, reason=reason)
        yield Emission(emission_id(order_id, STALLED, item.step), opened, cause)


def _asking(saga: Saga, item: Awaited) -> Any:
    """Return the event for the people who are asked, or the verdict in their place."""
    assert item.asked is not None
    if item.code == VERDICT:
        return VerdictGiven(
            order_id=saga.order_id,
            step=item.step,
            verdict="reject",
            actor=SYSTEM_TIMEOUT,
            reason=f"{_reason(item)}; nobody answered in time",
        )
    return VerdictRequested(
        order_id=saga.order_id,
        step=item.step,
        code=item.code,
        role=item.asked.senior if item.code == ESCALATION else item.asked.role,
        reason=_reason(item),
    )


def _reason(item: Awaited) -> str:
    """Describe what is awaited, independent of time and process: all monitors say the same."""
    events = " or ".join(item.events)
    since = item.since.isoformat(timespec="milliseconds")
    match item.mode:
        case AwaitMode.UNDO:
            return f"{item.step} is to be undone and said nothing since {since}; awaited: {events}"
        case AwaitMode.WAIT:
            return f"{item.step} waits since {since} for somebody's answer; awaited: {events}"
        case AwaitMode.FORWARD if item.code == UNDONE_PAST_PIVOT:
            return f"{item.step} was undone at {since}, and yet the order is past its pivot"
        case _:
            return f"{item.step} is due since {since}; awaited: {events}"
