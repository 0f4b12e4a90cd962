"""Decides courier's reactions to triggers. Pure.

    new --Do--> (the partner is asked) --Done--> done
     |                \\--Refused--> refused --Undo--> stopped
     \\--Undo--> stopped (a fence: a later Do has no effect)

An Undo while the partner is asked changes nothing: the answer decides. Done: it is too late.
Refused: dispatch is undone anyway.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit import NOTHING, Decision, Do, Effect, EffectResult, Trigger, Undo, saga_id_of

from errand_events.events import ErrandDone, ErrandRefused, ErrandStopped

ASK = "ask"


class Phase(StrEnum):
    """The phases of a job."""

    NEW = "new"
    DONE = "done"
    REFUSED = "refused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Job:
    """The state, a fold of courier's own events. `in_flight`: pending calls, set by the kit."""

    phase: Phase = Phase.NEW
    in_flight: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Done:
    """The partner has done the job."""

    receipt: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The partner refuses the job."""

    reason: str


def decide(state: Job, trigger: Trigger, now: datetime) -> Decision:
    """Answer a trigger with events and calls. Triggers come in any order, twice, late, or never."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            payload = {"errand_id": event.errand_id, "facts": event.facts.to_dict()}
            return Decision(effects=(Effect(ASK, ASK, payload),))
        case EffectResult(effect, Done(receipt)) if state.phase is Phase.NEW:
            errand_id = str(effect.payload["errand_id"])
            return Decision((ErrandDone(errand_id=errand_id, receipt=receipt),))
        case EffectResult(effect, Refused(reason)) if state.phase is Phase.NEW:
            errand_id = str(effect.payload["errand_id"])
            return Decision((ErrandRefused(errand_id=errand_id, reason=reason),))
        case Undo(event, reason) if state.phase is not Phase.DONE and not state.in_flight:
            return Decision((ErrandStopped(errand_id=saga_id_of(event), reason=reason),))
    return NOTHING


def evolve(state: Job, event: Any) -> Job:
    """Return the state after an own event."""
    match event:
        case ErrandDone():
            return replace(state, phase=Phase.DONE)
        case ErrandRefused():
            return replace(state, phase=Phase.REFUSED)
        case ErrandStopped():
            return replace(state, phase=Phase.STOPPED)
    return state
