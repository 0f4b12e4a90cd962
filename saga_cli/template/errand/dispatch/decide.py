"""Decides dispatch's reactions to triggers. Pure.

    new --Do--> set_aside ----Undo--> free
     |  \\----> turned_down --Undo---^
     \\--Undo--> free (a fence: a later Do has no effect)

An Undo is answered each time, in every phase.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from zlib import crc32

from sagakit import NOTHING, Decision, Do, Trigger, Undo, saga_id_of

from errand_events.events import (
    ErrandAccepted,
    ErrandReleased,
    ErrandRequested,
    ErrandTurnedDown,
)

RUNNERS = ("ada", "ben", "cleo")
MOST_MINUTES = 480  # its only rule: change it


class Phase(StrEnum):
    """The phases of a reservation."""

    NEW = "new"
    SET_ASIDE = "set_aside"
    TURNED_DOWN = "turned_down"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The state, a fold of dispatch's own events. `in_flight`: pending calls, set by the kit."""

    phase: Phase = Phase.NEW
    runner: str = ""
    in_flight: frozenset[str] = frozenset()


def decide(state: Reservation, trigger: Trigger, now: datetime) -> Decision:
    """Answer a trigger with events. Triggers come in any order, twice, late, or never."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            return Decision((_accept_or_turn_down(event),))
        case Undo(event, reason):
            return Decision((ErrandReleased(errand_id=saga_id_of(event), reason=reason),))
    return NOTHING


def _accept_or_turn_down(event: ErrandRequested) -> ErrandAccepted | ErrandTurnedDown:
    if event.facts.minutes > MOST_MINUTES:
        reason = f"{event.facts.minutes} minutes are more than {MOST_MINUTES}"
        return ErrandTurnedDown(errand_id=event.errand_id, reason=reason)
    runner = RUNNERS[crc32(event.errand_id.encode()) % len(RUNNERS)]
    return ErrandAccepted(errand_id=event.errand_id, facts=event.facts, runner=runner)


def evolve(state: Reservation, event: Any) -> Reservation:
    """Return the state after an own event."""
    match event:
        case ErrandAccepted(runner=runner):
            return replace(state, phase=Phase.SET_ASIDE, runner=runner)
        case ErrandTurnedDown():
            return replace(state, phase=Phase.TURNED_DOWN)
        case ErrandReleased():
            return replace(state, phase=Phase.FREE, runner="")
    return state
