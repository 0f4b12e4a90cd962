"""Leaves out of a decision what the participant's own events in the log have answered. Pure.

A rebuilt participant reads again what it consumed, in the state that all its own events make. What
it decides then is either new, because its answer was lost in flight, or a repeat: an undo that is
over is answered with `undone` again. Effects need no such rule: the state says which are due, and
the outside knows their idempotency keys.
"""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from uuid import UUID

from sagakit.decider import Decision
from sagakit.flow.facts import digest
from sagakit.flow.model import Flow


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """An own event in the log: its type, the id of its cause, its log time in Unix ms.

    content: digest of its fields.
    """

    type: str
    cause: UUID | None
    logged_ms: int
    content: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Names the event that a decision answers: its id, and its log time in Unix ms."""

    id: UUID
    logged_ms: int


@dataclass(frozen=True, slots=True)
class StepEnds:
    """The event types that end a participant's step: done, failed or undone; `undone` alone."""

    ends: Set[str]
    undone: Set[str]


def step_ends(flows: Iterable[Flow], participant: str) -> StepEnds:
    """Return the events that end the participant's step in any flow."""
    steps = [step for flow in flows for step in flow.steps.values() if step.name == participant]
    undone = {step.undone for step in steps if step.undone}
    return StepEnds({e for step in steps for e in (step.done, *step.failed)} | undone, undone)


def unanswered(
    decision: Decision, asked: Asked, own: Sequence[OwnEvent], step: StepEnds
) -> Decision:
    """Return the decision without the events that the log holds already.

    own: the saga's own events in the log. An event is there if one of its type has the same cause,
    or was logged after the question and says the same or ends the step as well, whatever its cause.
    A question is over once the step was undone after it, or ended because of it: then no other
    event is due.
    """
    caused = Counter(event.type for event in own if event.cause == asked.id)
    later = {e.type for e in own if e.logged_ms >= asked.logged_ms}
    repeated = {(e.type, e.content) for e in own if e.logged_ms >= asked.logged_ms}
    over = bool(caused.keys() & step.ends or later & step.undone)
    kept = []
    for event in decision.events:
        ends = event.type in step.ends
        if (ends and event.type in later) or (over and not ends):
            continue
        if (event.type, digest(event)) in repeated:
            continue
        if caused[event.type]:
            caused[event.type] -= 1
            continue
        kept.append(event)
    return replace(decision, events=tuple(kept))
