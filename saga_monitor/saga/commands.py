"""Turn people's commands into events of the monitor. Pure: no I/O, no clock.

An event id derives from what the command answers (the wait, the opening of the intervention), not
from the person; only the id of a note includes actor and reason. So of two commands at the same
time one is accepted, and the refusal of the other names it.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import SOURCE, Fact, Saga, emission_id
from saga_monitor.saga.interventions import RESOLVED, Intervention, InterventionStatus
from saga_monitor.saga.pauses import Pause, current_pause, pauses
from saga_monitor.saga.pins import Pin, last_pin_event
from saga_monitor.saga.times import utc_seconds
from saga_monitor.saga.view import ENDED, VERDICT, SagaView
from sagakit.actors import personal_actor
from sagakit.contract.platform import (
    CompensationRequested,
    InterventionClaimed,
    InterventionNoted,
    InterventionOpened,
    InterventionResolved,
    SagaPaused,
    SagaPinned,
    SagaResumed,
    SagaUnpinned,
    VerdictGiven,
)
from sagakit.identity import MAX_SAGA_KEY_CHARS

OPERATOR, MANUAL = "operator", "manual"
"""Codes of a person's cancellation, and of an intervention that a person opens without a code."""
Text = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
SagaKey = Annotated[str, Field(max_length=MAX_SAGA_KEY_CHARS, pattern="^[^/]*/")]


class SagaCommand(BaseModel):
    """A person's command on a saga, with the reason."""

    saga: SagaKey
    actor: Annotated[Text, AfterValidator(personal_actor)]
    reason: Text


class VerdictCommand(SagaCommand):
    """A person's decision on a step that waits for one."""

    step: str | None = Field(
        default=None,
        max_length=100,
        examples=["dispatch"],
        description="The step that waits; may be left out if only one does",
    )
    verdict: Literal["approve", "reject"]
    id: UUID | None = Field(
        default=None, description="Chosen by the caller: with the same id it is the same command"
    )


class CancelCommand(SagaCommand):
    """A person's request to undo the saga."""


class PinCommand(SagaCommand):
    """A person's request to pin a saga, or to unpin it."""


class PauseCommand(SagaCommand):
    """A person's request to pause a saga, or to resume it."""


class InterventionCommand(SagaCommand):
    """A person's command on an intervention."""

    code: str | None = Field(
        default=None,
        max_length=100,
        pattern="^[a-z][a-z0-9_]*$",
        description="Of the intervention; may be left out if only one qualifies",
    )
    taken_from: str | None = Field(
        default=None,
        max_length=300,
        description="For a claim: the person who has claimed it until now",
    )


class CommandRefused(Exception):
    """A command that conflicts with the saga's state. status, title: of the HTTP answer."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


# --- verdicts and cancellations -----------------------------------------------------------------


def give_verdict(body: VerdictCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event of a verdict. Raises CommandRefused if paused, or if none is awaited."""
    name = body.step or _only_judged_step(saga, view)
    given = VerdictGiven(
        saga_id=saga.id,
        step=name,
        verdict=body.verdict,
        actor=body.actor,
        reason=body.reason,
    )
    step = next((s for s in view.steps if s.name == name), None)
    if step is None:
        names = ", ".join(s.name for s in view.steps)
        raise CommandRefused(422, "unknown step", f"flow {view.flow} has the steps {names}")
    chosen = emission_id(saga.key, VERDICT, str(body.id)) if body.id else None
    if chosen and saga.find(chosen, VerdictGiven.type):
        return Emission(chosen, given, chosen)
    for item in view.awaited:
        if item.step == name and item.approval and view.paused:
            raise CommandRefused(
                409, "paused", f"{_pause_text(view.paused, saga)}; resume it first"
            )
        if item.step == name and item.approval:
            default = emission_id(saga.key, VERDICT, item.cause)
            return Emission(chosen or default, given, UUID(item.cause))
    verdicts = [f for f in _of_type(saga, VerdictGiven.type) if f.detail.get("step") == name]
    since = f" since {utc_seconds(step.since)}" if step.since else ""
    detail = f"{name} of saga {saga.key} waits for no verdict: it is {step.status}{since}"
    if verdicts:
        detail += f"; {_command_text(verdicts[-1], str(verdicts[-1].detail.get('verdict')))}"
    raise CommandRefused(409, "no verdict awaited", detail)


def _only_judged_step(saga: Saga, view: SagaView) -> str:
    """Return the step that waits for a verdict, else the one that had one. Raises CommandRefused.

    There has to be exactly one.
    """
    waiting = {item.step for item in view.awaited if item.approval}
    judged = {str(f.detail.get("step")) for f in _of_type(saga, VerdictGiven.type)}
    steps = sorted(waiting or judged)
    if not steps:
        detail = f"no step of saga {saga.key} waits for a verdict"
        raise CommandRefused(409, "no verdict awaited", detail)
    if len(steps) > 1:
        detail = f"saga {saga.key} has several: {', '.join(steps)}; name one of them as step"
        raise CommandRefused(422, "step is missing", detail)
    return steps[0]


def cancel_saga(body: CancelCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event that cancels a saga.

    Raises CommandRefused if the saga is past its pivot, being undone or ended.
    """
    event = CompensationRequested(
        saga_id=saga.id, code=OPERATOR, reason=body.reason, actor=body.actor
    )
    id_ = emission_id(saga.key, OPERATOR, "")
    earlier = saga.find(id_, event.type)
    if view.past_pivot or view.undoing:
        what = "being undone already"
        if view.past_pivot:
            what = f"{view.status}, past its pivot, and cannot be undone"
        if view.status in ENDED:
            what = f"{view.status} since {view.ended_at}"
        if earlier:
            what += f"; {_command_text(earlier, 'cancel')}"
        raise CommandRefused(409, "too late", f"saga {saga.key} is {what}")
    return Emission(id_, event, UUID(saga.timeline()[-1].id))


def pause_saga(body: PauseCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event that pauses a saga.

    Raises CommandRefused if the saga is being undone or has ended, or if it is paused already by
    another actor or for another reason.
    """
    event = SagaPaused(saga_id=saga.id, actor=body.actor, reason=body.reason)
    if view.paused:
        if (view.paused.actor, view.paused.reason) == (body.actor, body.reason):
            return Emission(UUID(view.paused.id), event, UUID(view.paused.id))
        raise CommandRefused(409, "paused already", _pause_text(view.paused, saga))
    if view.undoing or view.status in ENDED:
        what = f"{view.status} since {view.ended_at}" if view.ended_at else "being undone"
        detail = f"saga {saga.key} is {what}, so there is nothing to pause"
        raise CommandRefused(409, "too late", detail)
    last = _last(saga, SagaResumed.type)
    id_ = emission_id(saga.key, "pause", last.id if last else "")
    return Emission(id_, event, UUID((last or saga.timeline()[-1]).id))


def resume_saga(body: PauseCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event that resumes a paused saga. Raises CommandRefused if it is not paused.

    A saga that was paused and is now being undone can be resumed too: steps that are not undone may
    still queue its records.
    """
    event = SagaResumed(saga_id=saga.id, actor=body.actor, reason=body.reason)
    last = _last(saga, SagaResumed.type)
    found = pauses(_of_type(saga, SagaPaused.type), _of_type(saga, SagaResumed.type))
    if emission := _end_event(saga, event, "resume", current_pause(found), last):
        return emission
    detail = f"saga {saga.key} is not paused, it is {view.status}"
    raise CommandRefused(
        409, "not paused", f"{detail}; {_command_text(last, 'resume')}" if last else detail
    )


def _end_event(
    saga: Saga, event: Any, what: str, current: Pause | Pin | None, last: Fact | None
) -> Emission | None:
    """Return the event that ends the `current` pause or pin.

    Without one, return `last`, the previous end, if it has the same actor and reason; else None.
    """
    if current is not None:
        return Emission(emission_id(saga.key, what, current.id), event, UUID(current.id))
    earlier = (last.detail.get("actor"), last.detail.get("reason")) if last else None
    if last and earlier == (event.actor, event.reason):
        return Emission(UUID(last.id), event, UUID(last.id))
    return None


def _pause_text(pause: Pause, saga: Saga) -> str:
    since = utc_seconds(pause.since)
    return f"saga {saga.key} was paused at {since} by {pause.actor}: {pause.reason}"


def _last(saga: Saga, type_: str) -> Fact | None:
    return next(reversed(_of_type(saga, type_)), None)


# --- pins ---------------------------------------------------------------------------------------


def pin_saga(body: PinCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event that pins a saga. Raises CommandRefused if somebody else pinned it."""
    event = SagaPinned(saga_id=saga.id, actor=body.actor, reason=body.reason)
    last = last_pin_event(saga.facts.values())
    if view.pin is None:
        cause = last.id if last else saga.timeline()[-1].id
        id_ = emission_id(saga.key, "pin", last.id if last else "")
        return Emission(id_, event, UUID(cause))
    if (view.pin.actor, view.pin.reason) == (body.actor, body.reason):
        return Emission(UUID(view.pin.id), event, UUID(view.pin.id))
    since = f"{view.pin.actor} pinned it at {utc_seconds(view.pin.since)}: {view.pin.reason}"
    raise CommandRefused(409, "already pinned", f"saga {saga.key} is pinned; {since}")


def unpin_saga(body: PinCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event that unpins a saga. Raises CommandRefused if it is not pinned."""
    event = SagaUnpinned(saga_id=saga.id, actor=body.actor, reason=body.reason)
    last = last_pin_event(saga.facts.values())
    if emission := _end_event(saga, event, "unpin", view.pin, last):
        return emission
    detail = f"saga {saga.key} is not pinned"
    raise CommandRefused(
        409, "not pinned", f"{detail}; {_command_text(last, 'unpin')}" if last else detail
    )


PIN_COMMANDS = {"pin": pin_saga, "unpin": unpin_saga}
"""Commands on a pin, by name."""


# --- interventions ------------------------------------------------------------------------------


def open_intervention(body: InterventionCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event that opens an intervention.

    Raises CommandRefused if it is settled, or open already by another actor or for another reason.
    """
    code = body.code or MANUAL
    known = next((one for one in view.interventions if one.code == code), None)
    return _opening_event(body, saga, code, known)


def reopen_intervention(body: InterventionCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event that reopens an intervention. Raises CommandRefused if none is resolved."""
    closed = [one for one in view.interventions if not one.is_open]
    found = _find_intervention(body, view, closed)
    return _opening_event(body, saga, found.code, found)


def _opening_event(
    body: InterventionCommand, saga: Saga, code: str, known: Intervention | None
) -> Emission:
    event = InterventionOpened(saga_id=saga.id, code=code, reason=body.reason, actor=body.actor)
    if known is None:
        id_ = emission_id(saga.key, f"open:{code}", "")
        return Emission(id_, event, UUID(saga.timeline()[-1].id))
    if known.status == InterventionStatus.SETTLED:
        raise _closed_refusal(known)
    if known.is_open:
        return _repeated_event(saga, known, known.opening, event, f"is {known.status}")
    return _next_event(saga, known, "open", known.state_event, event)


def claim_intervention(body: InterventionCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event of a claim.

    Raises CommandRefused if the intervention is closed, or claimed by somebody else.
    """
    found = _find_intervention(body, view, view.interventions)
    event = InterventionClaimed(
        saga_id=saga.id, code=found.code, actor=body.actor, reason=body.reason
    )
    if not found.is_open:
        raise _closed_refusal(found)
    if found.holder == body.actor:
        return Emission(UUID(found.state_event), event, UUID(found.state_event))
    if found.holder != body.taken_from:
        since = utc_seconds(found.last.at)
        state = (
            f"claimed by {found.holder} at {since}" if found.holder else f"unclaimed since {since}"
        )
        raise CommandRefused(
            409,
            "claimed by somebody else" if found.holder else "not claimed",
            f"intervention {found.code} of saga {saga.key} is {state}; `taken_from` has to "
            "name the person who has claimed it, and nobody if it is unclaimed",
        )
    return _next_event(saga, found, "claim", found.state_event, event)


def add_note(body: InterventionCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event of a note, on a closed intervention too.

    Raises CommandRefused if the intervention does not exist.
    """
    found = _find_intervention(body, view, [one for one in view.interventions if one.is_open])
    event = InterventionNoted(
        saga_id=saga.id, code=found.code, actor=body.actor, reason=body.reason
    )
    return _next_event(saga, found, f"note:{body.actor}:{body.reason}", found.opening, event)


def resolve_intervention(body: InterventionCommand, saga: Saga, view: SagaView) -> Emission:
    """Return the event that resolves an intervention.

    Raises CommandRefused if it is closed already by another actor or for another reason.
    """
    found = _find_intervention(body, view, [one for one in view.interventions if one.is_open])
    event = InterventionResolved(
        saga_id=saga.id, code=found.code, actor=body.actor, reason=body.reason
    )
    if not found.is_open:
        if found.last.type != RESOLVED:
            raise _closed_refusal(found)
        return _repeated_event(saga, found, found.state_event, event, "is resolved")
    return _next_event(saga, found, "resolve", found.opening, event)


INTERVENTION_COMMANDS = {
    "open": open_intervention,
    "claim": claim_intervention,
    "note": add_note,
    "resolve": resolve_intervention,
    "reopen": reopen_intervention,
}
"""Commands on an intervention, by name."""


def _find_intervention(
    body: InterventionCommand, view: SagaView, preferred: Iterable[Intervention]
) -> Intervention:
    """Return the intervention that a command is about: the one with its code.

    Without a code it is the only one among `preferred`, or among all if that is empty. Raises
    CommandRefused for none or several.
    """
    found = list(preferred) or list(view.interventions)
    if body.code is not None:
        found = [one for one in view.interventions if one.code == body.code]
    if len(found) == 1:
        return found[0]
    codes = ", ".join(f"{one.code} ({one.status})" for one in view.interventions)
    which = f"no intervention {body.code or ''}".rstrip()
    if found:
        which = f"{len(found)} interventions to choose from"
    status = 404 if body.code or not found else 422
    detail = f"saga {view.key} has {which}; its interventions: {codes}; name one in `code`"
    if not view.interventions:
        detail = f"saga {view.key} has {which}; open one with `saga interventions open`"
    raise CommandRefused(status, "which intervention", detail)


def _repeated_event(
    saga: Saga, intervention: Intervention, id_: str, event: Any, what: str
) -> Emission:
    """Return the event that is known already, if it has the same actor and reason.

    Raises CommandRefused for another actor or reason.
    """
    entry = next(entry for entry in intervention.entries if entry.id == id_)
    if (entry.actor, entry.reason) == (event.actor, event.reason):
        return Emission(UUID(id_), event, UUID(id_))
    detail = (
        f"intervention {intervention.code} of saga {saga.key} {what}: {entry.actor} at "
        f"{utc_seconds(entry.at)}: {entry.reason}"
    )
    raise CommandRefused(409, "already done", detail)


def _closed_refusal(intervention: Intervention) -> CommandRefused:
    last = intervention.last
    how = f"{last.actor} resolved it at {utc_seconds(last.at)}: {last.reason}; reopen it first"
    if last.type != RESOLVED:
        how = "the end of the saga settled it; open one with another code for another matter"
    detail = f"intervention {intervention.code} is {intervention.status}; {how}"
    return CommandRefused(409, "already closed", detail)


def _next_event(
    saga: Saga, intervention: Intervention, command: str, after: str, event: Any
) -> Emission:
    """Return the event of a command, under the id that derives from the event before it."""
    id_ = emission_id(saga.key, f"{command}:{intervention.code}", after)
    return Emission(id_, event, UUID(intervention.state_event))


def _of_type(saga: Saga, type_: str) -> list[Fact]:
    return [fact for fact in saga.timeline() if fact.type == type_]


def _command_text(fact: Fact, command: str) -> str:
    actor, reason = fact.detail.get("actor", SOURCE), fact.detail.get("reason", "")
    return f"{actor} gave the command {command} at {utc_seconds(fact.at)}: {reason}"
