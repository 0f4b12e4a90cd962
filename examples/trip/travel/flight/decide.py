"""Decides flight's reactions to triggers. Pure.

new --Booked--> booked (the pivot: an Undo is refused)
 |
 +--Booked, another fare ----------+
 +--Undo (the call is in flight) --+--> cancelling --Refunded, Kept--> cancelled
 +--Refused--> failed --Undo-------------------------------------------^
 +--Undo (nothing in flight) ------------------------------------------^

A ticket that was bought in spite of an Undo is reported as FlightBookedLate, whichever answer comes
first, so that the balance has the fare before it has the refund. A ticket for another fare is no
ticket: it is refunded. What the airline does not give back, or not as it took it, calls a person.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit import NOTHING, Decision, Do, Effect, EffectResult, Trigger, Undo, saga_id_of
from travel.payload import effect_of, trip_id_in, trip_in
from trips.events import (
    FlightBooked,
    FlightBookedLate,
    FlightCancelled,
    FlightCancelRefused,
    FlightCancelStarted,
    FlightFailed,
    FlightKept,
    FlightMismatched,
)

BUY, REFUND = "buy", "refund"
TOO_LATE = "the ticket is bought; ask the airline what it still gives back"
BOUGHT_LATE = "it was bought too late"


class Phase(StrEnum):
    """The phases of a ticket."""

    NEW = "new"
    BOOKED = "booked"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


# --- the airline's answers ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Booked:
    """The ticket is bought and the fare is taken."""

    ticket_id: str
    amount_minor: int
    currency: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> "Booked | None":
        """Return the ticket in a column."""
        return None if row is None else cls(**row)


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


@dataclass(frozen=True, slots=True)
class Kept:
    """The airline never gives back what was paid for the ticket; None: it does not say what."""

    bought: Booked | None = None


# --- state ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flight:
    """The state of a ticket. `ticket`: what was paid for; `reason`: why it is undone."""

    phase: Phase = Phase.NEW
    ticket: Booked | None = None
    reason: str = ""
    in_flight: frozenset[str] = frozenset()


# --- decide ---------------------------------------------------------------------------------------


def decide(state: Flight, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module shows the phases."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            return Decision(effects=(effect_of(BUY, BUY, event.trip_id, event.trip),))
        case EffectResult(effect, Booked() as bought) if state.ticket is None:
            return _bought(state, effect, bought)
        case EffectResult(effect, Refused(reason)) if state.phase is Phase.NEW:
            return Decision((FlightFailed(trip_id=trip_id_in(effect), reason=reason),))
        case EffectResult(effect, Refunded() | Kept() as refund) if state.phase is Phase.CANCELLING:
            return _cancelled(state, effect, refund)
        case Undo(event, reason):
            return _undo(state, saga_id_of(event), reason)
    return NOTHING


def _bought(state: Flight, effect: Effect, bought: Booked) -> Decision:
    trip_id, trip, taken = trip_id_in(effect), trip_in(effect), asdict(bought)
    fits = (bought.amount_minor, bought.currency) == (trip.fare_minor, trip.currency)
    if state.phase is Phase.NEW and fits:
        return Decision((FlightBooked(trip_id=trip_id, **taken),))
    if state.phase is Phase.NEW:
        fare = Booked(bought.ticket_id, trip.fare_minor, trip.currency)
        reason = f"the airline took {_shown(bought)}; the fare is {_shown(fare)}"
        event: Any = FlightMismatched(trip_id=trip_id, reason=reason, **taken)
    else:
        reason, event = BOUGHT_LATE, FlightBookedLate(trip_id=trip_id, **taken)
    if state.phase is Phase.CANCELLING:
        return Decision((event,))
    started = FlightCancelStarted(trip_id=trip_id, reason=reason)
    return Decision((event, started), (effect_of(REFUND, REFUND, trip_id),))


def _shown(one: Booked) -> str:
    return f"{one.amount_minor} {one.currency} (minor units)"


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


def _cancelled(state: Flight, effect: Effect, refund: Refunded | Kept) -> Decision:
    trip_id, bought = trip_id_in(effect), refund.bought
    events: list[Any] = []
    if bought and state.ticket is None:
        events.append(FlightBookedLate(trip_id=trip_id, **asdict(bought)))
    kept = _kept(state.ticket or bought, refund)
    if kept:
        events.append(FlightKept(trip_id=trip_id, reason=kept))
    given = bought if isinstance(refund, Refunded) else None
    cancelled = FlightCancelled(
        trip_id=trip_id,
        refund_id=refund.refund_id if isinstance(refund, Refunded) else None,
        amount_minor=given.amount_minor if given else 0,
        currency=given.currency if given else None,
        kept=kept,
        reason=state.reason,
    )
    return Decision((*events, cancelled))


def _kept(ticket: Booked | None, refund: Refunded | Kept) -> str | None:
    """Return why the undo of a ticket leaves money with the airline, None if it does not."""
    if isinstance(refund, Kept):
        what = _shown(ticket) if ticket else "what was paid"
        return f"the airline refuses for good to give back {what}"
    if ticket == refund.bought:
        return None
    given = _shown(refund.bought) if refund.bought else "nothing"
    return f"the airline gave back {given} of {_shown(ticket)}" if ticket else None


def evolve(state: Flight, event: Any) -> Flight:
    """Return the state after an own event."""
    match event:
        case FlightBooked():
            return replace(state, phase=Phase.BOOKED, ticket=_ticket(event))
        case FlightBookedLate() | FlightMismatched():
            return replace(state, ticket=_ticket(event))
        case FlightFailed():
            return replace(state, phase=Phase.FAILED)
        case FlightCancelStarted():
            return replace(state, phase=Phase.CANCELLING, reason=event.reason)
        case FlightCancelled():
            return replace(state, phase=Phase.CANCELLED, reason=event.reason)
    return state


def _ticket(event: FlightBooked | FlightBookedLate | FlightMismatched) -> Booked:
    return Booked(event.ticket_id, event.amount_minor, event.currency)
