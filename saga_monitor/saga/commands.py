"""Turn people's commands into events of the monitor. Pure: no I/O, no clock.

An event id derives from what the command answers (the wait, the opening of the intervention), not
from the person; only notes add actor and reason. Of two commands at once, one is accepted and the
sender of the other is told of it.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import SOURCE, Fact, Saga, emission_id
from saga_monitor.saga.interventions import RESOLVED, CaseStatus, Intervention
from saga_monitor.saga.pauses import Pause, lasting, pauses
from saga_monitor.saga.pins import Pin, last_word
from saga_monitor.saga.view import ENDED, VERDICT, SagaView
from schemas.events import (
    CompensationRequested,
    InterventionClaimed,
    InterventionNoted,
    InterventionOpened,
    InterventionResolved,
    OrderPaused,
    OrderPinned,
    OrderResumed,
    OrderUnpinned,
    VerdictGiven,
)

OPERATOR, MANUAL = "operator", "manual"
"""Codes: of a person's cancellation; of an intervention a person opens without a code."""
Text = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
OrderId = Annotated[str, Field(max_length=128)]


class Word(BaseModel):
    """A person's command on a saga, with the reason."""

    order_id: OrderId
    actor: Text
    reason: Text


class VerdictCommand(Word):
    """A person's decision on a step that waits for one."""

    step: str = Field(max_length=100, examples=["payment"])
    verdict: Literal["approve", "reject"]
    id: UUID | None = Field(
        default=None, description="Id of the event; the same id, the same event"
    )


class CancelCommand(Word):
    """A person's request to undo the saga."""


class Pinning(Word):
    """A person's request to pin a saga, or to unpin it."""


class Pausing(Word):
    """A person's request to pause a saga, or to resume it."""


class CaseWork(Word):
    """A person's command on an intervention."""

    code: str | None = Field(
        default=None,
        max_length=100,
        pattern="^[a-z][a-z0-9_]*$",
        description="Of the case; may be left out where only one can be meant",
    )
    taken_from: str | None = Field(
        default=None, max_length=300, description="Who looked after it until now, for a claim"
    )


class CommandRefused(Exception):
    """A request that conflicts with the saga's state. status, title: of the HTTP answer."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


# --- verdicts and cancellations -----------------------------------------------------------------


def verdict_on(body: VerdictCommand, saga: Saga, seen: SagaView) -> Emission:
    """Return the event for a verdict. Raises CommandRefused if paused, or if no person is asked."""
    given = VerdictGiven(
        order_id=body.order_id,
        step=body.step,
        verdict=body.verdict,
        actor=body.actor,
        reason=body.reason,
    )
    step = next((s for s in seen.steps if s.name == body.step), None)
    if step is None:
        names = ", ".join(s.name for s in seen.steps)
        raise CommandRefused(422, "unknown step", f"flow {seen.flow} has the steps {names}")
    if body.id is not None and str(body.id) in saga.facts:
        return Emission(body.id, given, UUID(saga.facts[str(body.id)].id))
    for item in seen.awaited:
        if item.step == body.step and item.asked and seen.paused:
            raise CommandRefused(409, "paused", f"{_paused(seen.paused, saga)}; resume it first")
        if item.step == body.step and item.asked:
            default = emission_id(saga.order_id, VERDICT, item.cause)
            return Emission(body.id or default, given, UUID(item.cause))
    verdicts = [f for f in _of_type(saga, VerdictGiven.type) if f.detail.get("step") == body.step]
    since = f" since {step.since.isoformat()}" if step.since else ""
    detail = f"{body.step} of order {saga.order_id} waits for no person: it is {step.status}{since}"
    if verdicts:
        detail += f"; {_told(verdicts[-1], str(verdicts[-1].detail.get('verdict')))}"
    raise CommandRefused(409, "nobody is asked", detail)


def cancellation_of(body: CancelCommand, saga: Saga, seen: SagaView) -> Emission:
    """Return the event for a cancellation. Raises CommandRefused if it is too late, or repeated."""
    event = CompensationRequested(
        order_id=saga.order_id, code=OPERATOR, reason=body.reason, actor=body.actor
    )
    id_ = emission_id(saga.order_id, OPERATOR, "")
    asked = saga.facts.get(str(id_))
    if seen.past_pivot or seen.undoing:
        what = "being undone already"
        if seen.past_pivot:
            what = f"{seen.status}: past its pivot it can only go on"
        if seen.status in ENDED:
            what = f"{seen.status} since {seen.ended_at}"
        if asked:
            what += f"; {_told(asked, 'cancel')}"
        raise CommandRefused(409, "too late", f"order {saga.order_id} is {what}")
    return Emission(id_, event, UUID(saga.timeline()[-1].id))


def paused_by(body: Pausing, saga: Saga, seen: SagaView) -> Emission:
    """Return the event that pauses a saga. Raises CommandRefused if the saga is being undone or has
    ended, or if it is paused already with another actor or reason."""
    event = OrderPaused(order_id=saga.order_id, actor=body.actor, reason=body.reason)
    if seen.paused:
        if (seen.paused.actor, seen.paused.reason) == (body.actor, body.reason):
            return Emission(UUID(seen.paused.id), event, UUID(seen.paused.id))
        raise CommandRefused(409, "paused already", _paused(seen.paused, saga))
    if seen.undoing or seen.status in ENDED:
        what = f"{seen.status} since {seen.ended_at}" if seen.ended_at else "being undone"
        detail = f"order {saga.order_id} is {what}; there is nothing to hold back"
        raise CommandRefused(409, "too late", detail)
    last = _last(saga, OrderResumed.type)
    id_ = emission_id(saga.order_id, "pause", last.id if last else "")
    return Emission(id_, event, UUID((last or saga.timeline()[-1]).id))


def resumed_by(body: Pausing, saga: Saga, seen: SagaView) -> Emission:
    """Return the event that resumes a paused saga. Raises CommandRefused if it is not paused.

    A pause that an undo has overtaken can be resumed as well: a step that is not undone may hold
    records."""
    event = OrderResumed(order_id=saga.order_id, actor=body.actor, reason=body.reason)
    last = _last(saga, OrderResumed.type)
    known = pauses(_of_type(saga, OrderPaused.type), _of_type(saga, OrderResumed.type))
    if said := _lifted(event, "resume", lasting(known), last):
        return said
    detail = f"order {saga.order_id} is not paused, it is {seen.status}"
    raise CommandRefused(
        409, "not paused", f"{detail}; {_told(last, 'resume')}" if last else detail
    )


def _lifted(event: Any, word: str, lasts: Pause | Pin | None, last: Fact | None) -> Emission | None:
    """Return the event that ends a pause or pin. Where none lasts, return `last`, the previous end,
    if it has the same actor and reason; else None."""
    if lasts is not None:
        return Emission(emission_id(event.order_id, word, lasts.id), event, UUID(lasts.id))
    said = (last.detail.get("actor"), last.detail.get("reason")) if last else None
    if last and said == (event.actor, event.reason):
        return Emission(UUID(last.id), event, UUID(last.id))
    return None


def _paused(pause: Pause, saga: Saga) -> str:
    since = pause.since.isoformat()
    return f"order {saga.order_id} is paused since {since} by {pause.actor}: {pause.reason}"


def _last(saga: Saga, type_: str) -> Fact | None:
    return next(reversed(_of_type(saga, type_)), None)


# --- pins ---------------------------------------------------------------------------------------


def pinned_by(body: Pinning, saga: Saga, seen: SagaView) -> Emission:
    """Return the event that pins a saga. Raises CommandRefused if somebody else pinned it."""
    event = OrderPinned(order_id=saga.order_id, actor=body.actor, reason=body.reason)
    before = last_word(saga.facts.values())
    if seen.pin is None:
        cause = before.id if before else saga.timeline()[-1].id
        id_ = emission_id(saga.order_id, "pin", before.id if before else "")
        return Emission(id_, event, UUID(cause))
    if (seen.pin.actor, seen.pin.reason) == (body.actor, body.reason):
        return Emission(UUID(seen.pin.id), event, UUID(seen.pin.id))
    since = f"{seen.pin.actor} pinned it at {seen.pin.since.isoformat()}: {seen.pin.reason}"
    raise CommandRefused(409, "already so", f"order {saga.order_id} is pinned; {since}")


def unpinned_by(body: Pinning, saga: Saga, seen: SagaView) -> Emission:
    """Return the event that unpins a saga. Raises CommandRefused if it is not pinned."""
    event = OrderUnpinned(order_id=saga.order_id, actor=body.actor, reason=body.reason)
    last = last_word(saga.facts.values())
    if said := _lifted(event, "unpin", seen.pin, last):
        return said
    detail = f"order {saga.order_id} is not pinned"
    raise CommandRefused(409, "not pinned", f"{detail}; {_told(last, 'unpin')}" if last else detail)


PINNING = {"pin": pinned_by, "unpin": unpinned_by}
"""Commands on a pin, by name."""


# --- interventions ------------------------------------------------------------------------------


def opened_by(body: CaseWork, saga: Saga, seen: SagaView) -> Emission:
    """Return the event that opens an intervention.

    Raises CommandRefused if it is open or settled."""
    code = body.code or MANUAL
    known = next((case for case in seen.cases if case.code == code), None)
    return _opening(body, saga, code, known)


def reopened_by(body: CaseWork, saga: Saga, seen: SagaView) -> Emission:
    """Return the event that reopens an intervention. Raises CommandRefused if none is resolved."""
    case = _meant(body, seen, [c for c in seen.cases if not c.is_open] or seen.cases)
    return _opening(body, saga, case.code, case)


def _opening(body: CaseWork, saga: Saga, code: str, known: Intervention | None) -> Emission:
    event = InterventionOpened(
        order_id=saga.order_id, code=code, reason=body.reason, actor=body.actor
    )
    if known is None:
        id_ = emission_id(saga.order_id, f"open:{code}", "")
        return Emission(id_, event, UUID(saga.timeline()[-1].id))
    if known.status == CaseStatus.SETTLED:
        raise _closed(known)
    if known.is_open:
        return _again(known, known.opened, event, f"is {known.status}")
    return Emission(_next_id(saga, "open", known, known.turn), event, UUID(known.turn))


def claimed_by(body: CaseWork, saga: Saga, seen: SagaView) -> Emission:
    """Return the event for a claim.

    Raises CommandRefused if it is closed, or claimed by somebody else."""
    case = _meant(body, seen, seen.cases)
    event = InterventionClaimed(
        order_id=saga.order_id, code=case.code, actor=body.actor, reason=body.reason
    )
    if not case.is_open:
        raise _closed(case)
    if case.holder == body.actor:
        return Emission(UUID(case.turn), event, UUID(case.turn))
    if case.holder != body.taken_from:
        who = f"{case.holder} looks after it" if case.holder else "nobody looks after it"
        raise CommandRefused(
            409,
            "looked after",
            f"case {case.code} of order {saga.order_id}: {who} since {case.last.at.isoformat()}; "
            "to take it over, name that person in `taken_from`",
        )
    return Emission(_next_id(saga, "claim", case, case.turn), event, UUID(case.turn))


def noted_by(body: CaseWork, saga: Saga, seen: SagaView) -> Emission:
    """Return the event for a note, also on a closed intervention. Raises CommandRefused if the
    intervention does not exist."""
    case = _meant(body, seen, [c for c in seen.cases if c.is_open] or seen.cases)
    event = InterventionNoted(
        order_id=saga.order_id, code=case.code, actor=body.actor, reason=body.reason
    )
    id_ = _next_id(saga, f"note:{body.actor}:{body.reason}", case, case.opened)
    return Emission(id_, event, UUID(case.turn))


def resolved_by(body: CaseWork, saga: Saga, seen: SagaView) -> Emission:
    """Return the event for a resolution. Raises CommandRefused if closed with other words."""
    case = _meant(body, seen, [c for c in seen.cases if c.is_open] or seen.cases)
    event = InterventionResolved(
        order_id=saga.order_id, code=case.code, actor=body.actor, reason=body.reason
    )
    if not case.is_open:
        if case.last.type != RESOLVED:
            raise _closed(case)
        return _again(case, case.turn, event, "is resolved")
    return Emission(_next_id(saga, "resolve", case, case.opened), event, UUID(case.turn))


DEEDS = {
    "open": opened_by,
    "claim": claimed_by,
    "note": noted_by,
    "resolve": resolved_by,
    "reopen": reopened_by,
}
"""Commands on an intervention, by name."""


def _meant(body: CaseWork, seen: SagaView, candidates: Iterable[Intervention]) -> Intervention:
    """Return the one intervention that a request is about.

    Raises CommandRefused for none or several."""
    if body.code is not None:
        candidates = [case for case in seen.cases if case.code == body.code]
    found = list(candidates)
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{c.code} ({c.status})" for c in seen.cases) or "none"
    which = f"no case {body.code}" if body.code else f"{len(found)} cases that could be meant"
    status = 404 if body.code or not found else 422
    detail = f"order {seen.order_id} has {which}; its cases: {known}; say which in `code`"
    raise CommandRefused(status, "which case", detail)


def _again(case: Intervention, id_: str, event: Any, what: str) -> Emission:
    """Return the event known already if its words are the same.

    Raises CommandRefused for other words."""
    entry = next(entry for entry in case.entries if entry.id == id_)
    if (entry.actor, entry.reason) == (event.actor, event.reason):
        return Emission(UUID(id_), event, UUID(id_))
    since = f"{entry.actor} at {entry.at.isoformat()}: {entry.reason}"
    raise CommandRefused(
        409, "already so", f"case {case.code} of order {event.order_id} {what}; {since}"
    )


def _closed(case: Intervention) -> CommandRefused:
    last = case.last
    how = f"{last.actor} resolved it at {last.at.isoformat()}: {last.reason}"
    if last.type != RESOLVED:
        how = "the order has ended, which settled it; another matter needs another code"
    return CommandRefused(409, "already closed", f"case {case.code} is {case.status}; {how}")


def _next_id(saga: Saga, deed: str, case: Intervention, after: str) -> UUID:
    return emission_id(saga.order_id, f"{deed}:{case.code}", after)


def _of_type(saga: Saga, type_: str) -> list[Fact]:
    return [fact for fact in saga.timeline() if fact.type == type_]


def _told(fact: Fact, what: str) -> str:
    who, why = fact.detail.get("actor", SOURCE), fact.detail.get("reason", "")
    return f"{who} said {what} at {fact.at.isoformat()}: {why}"
