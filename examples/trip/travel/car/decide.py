"""Decides car's reactions to triggers. Pure.

new --Reserved--> reserved --Undo--> releasing --Cancelled--> released (Kept: the same, and a case)
 |                                     ^                         ^
 +--Undo (the call is in flight) ------+                         |
 +--Unavailable--> unavailable --Undo----------------------------+
 +--Undo (nothing in flight) ------------------------------------+
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit import NOTHING, Decision, Do, EffectResult, Trigger, Undo, saga_id_of
from travel.payload import effect_of, trip_id_in, trip_in
from trips.events import CarKept, CarReleased, CarReleaseStarted, CarReserved, CarUnavailable

RESERVE, CANCEL = "reserve", "cancel"
KEPT = "the rental refuses for good to cancel the reservation; ask it what can be done"


class Phase(StrEnum):
    """The phases of a reservation."""

    NEW = "new"
    RESERVED = "reserved"
    UNAVAILABLE = "unavailable"
    RELEASING = "releasing"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Car:
    """The state of a reservation. `reason`: why it is undone."""

    phase: Phase = Phase.NEW
    reason: str = ""
    in_flight: frozenset[str] = frozenset()


# --- the rental's answers -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reserved:
    """The rental has a car."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The rental has no such car, and will have none under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """There is no reservation under that key, and there will be none."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The rental never cancels the reservation."""


# --- decide ---------------------------------------------------------------------------------------


def decide(state: Car, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module shows the phases."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            return Decision(effects=(effect_of(RESERVE, RESERVE, event.trip_id, event.trip),))
        case EffectResult(effect, Reserved(reservation_id)) if state.phase is Phase.NEW:
            trip_id, trip = trip_id_in(effect), trip_in(effect)
            done = CarReserved(trip_id=trip_id, trip=trip, reservation_id=reservation_id)
            return Decision((done,))
        case EffectResult(effect, Unavailable(reason)) if state.phase is Phase.NEW:
            return Decision((CarUnavailable(trip_id=trip_id_in(effect), reason=reason),))
        case EffectResult(effect, Cancelled()) if state.phase is Phase.RELEASING:
            return Decision((CarReleased(trip_id=trip_id_in(effect), reason=state.reason),))
        case EffectResult(effect, Kept()) if state.phase is Phase.RELEASING:
            kept = CarKept(trip_id=trip_id_in(effect), reason=KEPT)
            return Decision((kept, CarReleased(trip_id=kept.trip_id, reason=state.reason)))
        case Undo(event, reason):
            return _undo(state, saga_id_of(event), reason)
    return NOTHING


def _undo(state: Car, trip_id: str, reason: str) -> Decision:
    unasked = state.phase is Phase.NEW and not state.in_flight
    if unasked or state.phase in (Phase.UNAVAILABLE, Phase.RELEASED):
        return Decision((CarReleased(trip_id=trip_id, reason=reason),))
    # by its key, also while the call is in flight: what is not reserved yet never will be
    cancel = effect_of(CANCEL, CANCEL, trip_id)
    if state.phase is Phase.RELEASING:
        return Decision(effects=(cancel,))
    return Decision((CarReleaseStarted(trip_id=trip_id, reason=reason),), (cancel,))


def evolve(state: Car, event: Any) -> Car:
    """Return the state after an own event."""
    match event:
        case CarReserved():
            return replace(state, phase=Phase.RESERVED)
        case CarUnavailable():
            return replace(state, phase=Phase.UNAVAILABLE)
        case CarReleaseStarted():
            return replace(state, phase=Phase.RELEASING, reason=event.reason)
        case CarReleased():
            return replace(state, phase=Phase.RELEASED, reason=event.reason)
    return state
