"""Decides flight's reactions to triggers. Pure.

new --Booked--> booked (the pivot: an Undo is refused)
 |
 +--Undo (the call is in flight) --> cancelling --Refunded--> cancelled
 +--Refused--> failed --Undo-------------------------------------^
 +--Undo (nothing in flight) ------------------------------------^

A ticket that was bought in spite of an Undo is reported as FlightBookedLate, whichever answer comes
first, so that the balance has the fare before it has the refund.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit import NOTHING, Decision, Do, Effect, EffectResult, Trigger, Undo, saga_id_of
from travel.payload import effect_of, trip_id_in
from trips.events import (
    FlightBooked,
    FlightBookedLate,
    FlightCancelled,
    FlightCancelRefused,
    FlightCancelStarted,
    FlightFailed,
)

BUY, REFUND = "buy", "refund"
TOO_LATE = "the ticket is bought; ask the airline what it still gives back"


class Phase(StrEnum):
    """The phases of a ticket."""

    NEW = "new"
    BOOKED = "booked"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Flight:
    """The state of a ticket. `paid`: the fare was taken; `reason`: why it is undone."""

    phase: Phase = Phase.NEW
    paid: bool = False
    reason: str = ""
    in_flight: frozenset[str] = frozenset()


# --- the airline's answers ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Booked:
    """The ticket is bought and the fare is taken."""

    ticket_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The airline does not sell the ticket, and never will under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refunded:
    """There is no ticket under that key and there will be none.

    `bought`: the ticket that was refunded, None if none was bought.
    """

    refund_id: str | None = None
    bought: Booked | None = None


# --- decide ---------------------------------------------------------------------------------------


def decide(state: Flight, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module shows the phases."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            return Decision(effects=(effect_of(BUY, BUY, event.trip_id, event.trip),))
        case EffectResult(effect, Booked() as bought) if not state.paid:
            return _bought(state, trip_id_in(effect), bought)
        case EffectResult(effect, Refused(reason)) if state.phase is Phase.NEW:
            return Decision((FlightFailed(trip_id=trip_id_in(effect), reason=reason),))
        case EffectResult(effect, Refunded() as refund) if state.phase is Phase.CANCELLING:
            return _cancelled(state, effect, refund)
        case Undo(event, reason):
            return _undo(state, saga_id_of(event), reason)
    return NOTHING


def _bought(state: Flight, trip_id: str, bought: Booked) -> Decision:
    if state.phase is Phase.NEW:
        return Decision((FlightBooked(trip_id=trip_id, **asdict(bought)),))
    late = FlightBookedLate(trip_id=trip_id, **asdict(bought))
    if state.phase is Phase.CANCELLING:
        return Decision((late,))
    started = FlightCancelStarted(trip_id=trip_id, reason="it was bought too late")
    return Decision((late, started), (effect_of(REFUND, REFUND, trip_id),))


def _undo(state: Flight, trip_id: str, reason: str) -> Decision:
    if state.phase is Phase.BOOKED:
        return Decision((FlightCancelRefused(trip_id=trip_id, reason=TOO_LATE),))
    unasked = state.phase is Phase.NEW and not state.in_flight
    if unasked or state.phase in (Phase.FAILED, Phase.CANCELLED):
        return Decision((FlightCancelled(trip_id=trip_id, amount_minor=0, reason=reason),))
    refund = effect_of(REFUND, REFUND, trip_id)
    if state.phase is Phase.CANCELLING:
        return Decision(effects=(refund,))
    return Decision((FlightCancelStarted(trip_id=trip_id, reason=reason),), (refund,))


def _cancelled(state: Flight, effect: Effect, refund: Refunded) -> Decision:
    trip_id, bought = trip_id_in(effect), refund.bought
    cancelled = FlightCancelled(
        trip_id=trip_id,
        refund_id=refund.refund_id,
        amount_minor=bought.amount_minor if bought else 0,
        currency=bought.currency if bought else None,
        reason=state.reason,
    )
    if bought is None or state.paid:
        return Decision((cancelled,))
    return Decision((FlightBookedLate(trip_id=trip_id, **asdict(bought)), cancelled))


def evolve(state: Flight, event: Any) -> Flight:
    """Return the state after an own event."""
    match event:
        case FlightBooked():
            return replace(state, phase=Phase.BOOKED, paid=True)
        case FlightBookedLate():
            return replace(state, paid=True)
        case FlightFailed():
            return replace(state, phase=Phase.FAILED)
        case FlightCancelStarted():
            return replace(state, phase=Phase.CANCELLING, reason=event.reason)
        case FlightCancelled():
            return replace(state, phase=Phase.CANCELLED, reason=event.reason)
    return state
