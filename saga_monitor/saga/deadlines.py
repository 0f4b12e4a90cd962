"""Decide which events the monitor emits once a deadline has passed. Pure: no I/O, no clock.

A deadline has passed when it is before `read_through`: the log time up to which the saga's
partition of every flow topic has been read (`ingest.watermark`). While that is unknown, nothing is
emitted. Event ids derive from saga, step and attempt, so two monitors, or one monitor before and
after a restart, emit the same event for a deadline.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from saga_monitor.saga.facts import SOURCE, Fact, Saga, emission_id
from saga_monitor.saga.view import (
    CONFLICT,
    CONSERVATION,
    DEADLINE,
    ESCALATION,
    REMINDER,
    STALLED,
    SYSTEM_TIMEOUT,
    UNDONE_PAST_PIVOT,
    UNEXPECTED,
    VERDICT,
    AwaitedStep,
    AwaitMode,
    Imbalance,
    NeededIntervention,
    SagaView,
)
from sagakit.contract.platform import (
    CompensationRequested,
    InterventionOpened,
    VerdictGiven,
    VerdictRequested,
)


@dataclass(frozen=True, slots=True)
class Emission:
    """An event to emit.

    cause: id of the fact that it follows from, for a passed deadline the one that set it; None if
    it does not follow from the log.
    """

    id: UUID
    event: Any
    cause: UUID | None

    def is_in(self, saga: Saga) -> bool:
        """Tell whether the event was read back."""
        return saga.find(self.id, self.event.type) is not None


def due_emissions(
    saga: Saga, view: SagaView, read_through: datetime | None
) -> tuple[Emission, ...]:
    """Return the events to emit for a saga that is read through `read_through`.

    Events that are among the saga's facts already are left out. While `read_through` is None, no
    event is due.
    """
    if read_through is None:
        return ()
    item = view.next
    due = [_unexpected_event(saga, view, f) for f in view.unexpected if f.at < read_through]
    due += [_needed(saga, one) for one in view.needed if one.fact.at < read_through]
    due += [_conflict(saga, view, f) for f in view.conflicts if f.at < read_through]
    due += [_imbalance(saga, found) for found in view.imbalances if found.due < read_through]
    if item is not None and item.due is not None and item.due < read_through:
        due += _passed_deadline(saga, item)
    return tuple(emission for emission in due if not emission.is_in(saga))


def _unexpected_event(saga: Saga, view: SagaView, fact: Fact) -> Emission:
    at = fact.at.isoformat(timespec="milliseconds")
    reason = (
        f"{fact.type} of {fact.source} at {at} must not occur in this state of a saga on "
        f"{view.flow}; docs/reference/late-events.md says which events may"
    )
    opened = InterventionOpened(saga_id=saga.id, code=UNEXPECTED, reason=reason)
    return Emission(emission_id(saga.key, UNEXPECTED, fact.type), opened, UUID(fact.id))


def _needed(saga: Saga, needed: NeededIntervention) -> Emission:
    fact = needed.fact
    reason = str(fact.detail.get("reason") or f"{fact.source} reports {fact.type}")
    opened = InterventionOpened(saga_id=saga.id, code=needed.code, reason=reason)
    return Emission(needed.id, opened, UUID(fact.id))


def _conflict(saga: Saga, view: SagaView, fact: Fact) -> Emission:
    at = fact.at.isoformat(timespec="milliseconds")
    if fact.flow and fact.flow != view.flow:
        found = f"names the flow {fact.flow}, and this saga started on {view.flow}; "
        found += "participants set it aside"
    else:
        found = f"has the id {fact.id} of {' and '.join(_other_types(saga, fact))}"
    reason = (
        f"{fact.type} at {at} {found}: find out who published it "
        "(docs/reference/who-may-move-what.md)"
    )
    opened = InterventionOpened(saga_id=saga.id, code=CONFLICT, reason=reason)
    return Emission(emission_id(saga.key, CONFLICT, fact.type), opened, UUID(fact.id))


def _other_types(saga: Saga, fact: Fact) -> list[str]:
    """Return the types of the other events that have the id of this one."""
    same_id = (other for other in saga.facts.values() if other.id == fact.id)
    return sorted(other.type for other in same_id if other.type != fact.type)


def _imbalance(saga: Saga, found: Imbalance) -> Emission:
    opened = InterventionOpened(saga_id=saga.id, code=CONSERVATION, reason=found.reason)
    return Emission(found.id, opened, UUID(found.cause))


def _passed_deadline(saga: Saga, item: AwaitedStep) -> Iterator[Emission]:
    key, cause = saga.key, UUID(item.cause)
    if item.code in (REMINDER, ESCALATION, VERDICT):
        yield Emission(emission_id(key, item.code, item.cause), _approval_event(saga, item), cause)
        return
    if item.code != DEADLINE:
        opened = InterventionOpened(saga_id=saga.id, code=item.code, reason=_reason(item))
        yield Emission(emission_id(key, item.code, item.step), opened, cause)
        return
    request = CompensationRequested(
        saga_id=saga.id,
        step=item.step,
        code=DEADLINE,
        reason=_reason(item),
        actor=SOURCE,
        attempt=item.attempt,
    )
    yield Emission(emission_id(key, DEADLINE, item.step, item.attempt), request, cause)
    if item.stalled:
        reason = f"{_reason(item)}; {item.tries} requests were not answered"
        opened = InterventionOpened(saga_id=saga.id, code=STALLED, reason=reason)
        yield Emission(emission_id(key, STALLED, item.step), opened, cause)


def _approval_event(saga: Saga, item: AwaitedStep) -> Any:
    """Return the reminder or escalation for the people who are asked, or the timeout verdict."""
    assert item.approval is not None
    if item.code == VERDICT:
        return VerdictGiven(
            saga_id=saga.id,
            step=item.step,
            verdict="reject",
            actor=SYSTEM_TIMEOUT,
            reason=f"{_reason(item)}; no person answered in time",
        )
    return VerdictRequested(
        saga_id=saga.id,
        step=item.step,
        code=item.code,
        role=item.approval.senior if item.code == ESCALATION else item.approval.role,
        reason=_reason(item),
    )


def _reason(item: AwaitedStep) -> str:
    """Describe what is awaited, in a text that depends on nothing else."""
    events = " or ".join(item.events)
    since = item.since.isoformat(timespec="milliseconds")
    match item.mode:
        case AwaitMode.UNDO:
            return f"{item.step} is to be undone; no event of it since {since}, awaited: {events}"
        case AwaitMode.WAIT:
            return f"{item.step} has waited for an answer since {since}, awaited: {events}"
        case AwaitMode.FORWARD if item.code == UNDONE_PAST_PIVOT:
            return f"{item.step} was undone at {since}, although the saga is past its pivot"
        case _:
            return f"{item.step} has been due since {since}, awaited: {events}"
