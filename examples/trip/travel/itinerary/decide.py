"""Decides itinerary's reactions to triggers. Pure.

A customer's command names the event that it asks for. One that changes nothing, because it was
given before or comes too late, is answered without an event.

The trip is the one that the log has first, also where another publisher placed it.

A kind of mail that was sent or is in flight is not sent again. A mail that cannot be delivered
counts as sent (the event says `refused`), else the trip would wait for ever on a wrong address.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sagakit import NOTHING, Command, Decision, Do, Effect, EffectResult, Observed, Trigger
from travel.payload import effect_of, trip_id_in
from trips.events import (
    ItinerarySent,
    NoticeSent,
    Stay,
    StayChangeRequested,
    TripCancelRequested,
    TripFacts,
    TripPlaced,
)

MAIL = "mail"
ITINERARY, CANCELLED = "itinerary", "cancelled"
CHANGE_REFUSED, CANCEL_REFUSED = "change-refused", "cancel-refused"
"""The kinds of mail; that of a refused change is followed by the stay's number."""


@dataclass(frozen=True, slots=True)
class Itinerary:
    """The state of a trip for its customer.

    `trip`: None until it is placed; `stay`: the one asked for last; `cancelled`: the customer asked
    for it; `notified`: kinds of mail sent, refused ones included.
    """

    trip: TripFacts | None = None
    stay: Stay | None = None
    cancelled: bool = False
    notified: frozenset[str] = frozenset()
    in_flight: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Mailed:
    """The mail service is done with a mail. `refused`: why it will never deliver it, if so."""

    refused: str | None = None


def decide(state: Itinerary, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Command(data=TripPlaced() as placed) if state.trip is None:
            return Decision((placed,))
        case Command(data=StayChangeRequested() as change):
            return _change(state, change, now)
        case Command(data=TripCancelRequested() as cancel) if state.trip and not state.cancelled:
            return Decision((cancel,))
        case Observed("TripPlaced", TripPlaced() as placed) if state.trip != placed.trip:
            return Decision(adopted=(placed,))
        case Do(event):
            return _mail(state, event.trip_id, ITINERARY)
        case Observed("undone", event):
            return _mail(state, event.trip_id, CANCELLED, event.reason)
        case Observed("StayChangeRefused", event):
            return _mail(
                state, event.trip_id, f"{CHANGE_REFUSED}:{event.stay.number}", event.reason
            )
        case Observed("FlightCancelRefused", event):
            return _mail(state, event.trip_id, CANCEL_REFUSED, event.reason)
        case EffectResult(effect, Mailed(refused)):
            return _mailed(state, effect, refused)
    return NOTHING


def is_open(state: Itinerary, now: datetime) -> bool:
    """Return True while the customer may change the stay."""
    trip = state.trip
    return bool(trip and not state.cancelled and now.timestamp() < trip.change_until)


def _change(state: Itinerary, change: StayChangeRequested, now: datetime) -> Decision:
    if not is_open(state, now) or state.stay is None:
        return NOTHING
    if replace(change.stay, number=state.stay.number) == state.stay:
        return NOTHING  # it was asked for before
    stay = replace(change.stay, number=state.stay.number + 1)
    return Decision((replace(change, stay=stay),))


def _mail(state: Itinerary, trip_id: str, kind: str, reason: str = "") -> Decision:
    key = f"{MAIL}:{kind}"
    if state.trip is None or kind in state.notified or key in state.in_flight:
        return NOTHING
    to = state.trip.email
    return Decision(effects=(effect_of(MAIL, key, trip_id, to=to, mail=kind, reason=reason),))


def _mailed(state: Itinerary, effect: Effect, refused: str | None) -> Decision:
    trip_id, kind = trip_id_in(effect), str(effect.payload["mail"])
    if kind in state.notified:
        return NOTHING
    if kind == ITINERARY:
        return Decision((ItinerarySent(trip_id=trip_id, refused=refused),))
    return Decision((NoticeSent(trip_id=trip_id, kind=kind, refused=refused),))


def evolve(state: Itinerary, event: Any) -> Itinerary:
    """Return the state after an own event."""
    match event:
        case TripPlaced():
            return replace(state, trip=event.trip, stay=event.trip.stay)
        case StayChangeRequested():
            return replace(state, stay=event.stay)
        case TripCancelRequested():
            return replace(state, cancelled=True)
        case ItinerarySent():
            return replace(state, notified=state.notified | {ITINERARY})
        case NoticeSent():
            return replace(state, notified=state.notified | {event.kind})
    return state
