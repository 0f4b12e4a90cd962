"""Decides hotel's reactions to triggers. Pure.

new --Held--> held --ChangesClosed--> held, closed --Captured--> captured
 |             |                        |                          |
 |             +------- Undo -----------+----------- Undo ---------+--> releasing --> released
 +--Declined--> failed <--Expired-------+                                    ^
 +--Undo (the call is in flight) --------------------------------------------+

Rules behind the table in tests/test_hotel.py:

- The stay that was booked is held first. The customer may want another at any time until the window
  closes, also before that. `wanted` and `held` say so; where they differ, `wanted` is being held.
  One hold is asked for at a time; when it comes, the one before it is voided.
- The capture is asked for once the window is closed and the stay that is wanted is held.
- An Undo releases by key whatever may be held, also what is still in flight: a hold that the payer
  does not know yet it never makes. A hold that comes when none is wanted is voided.
- A capture of another amount or currency than the price is no stay: it is released, and a person is
  called.
- A capture that an Undo overtakes is reported as HotelCapturedLate, whichever answer comes first,
  so that the balance has the money before it has the refund.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit import (
    NOTHING,
    Callback,
    Decision,
    Do,
    Effect,
    EffectResult,
    Observed,
    Trigger,
    Undo,
    saga_id_of,
)
from travel.payload import effect_of, stay_in, trip_id_in, trip_in
from trips.events import (
    HotelCaptured,
    HotelCapturedLate,
    HotelFailed,
    HotelHeld,
    HotelMismatched,
    HotelReleased,
    HotelReleaseStarted,
    Stay,
    StayChangeAccepted,
    StayChangeRefused,
    StayChangesClosed,
    TripFacts,
)

HOLD, VOID, CAPTURE, RELEASE = "hold", "void", "capture", "release"
TOO_LATE = "it was captured too late"


class Phase(StrEnum):
    """The phases of a stay."""

    NEW = "new"
    HELD = "held"
    CAPTURED = "captured"
    FAILED = "failed"
    RELEASING = "releasing"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Hotel:
    """The state of a stay.

    `trip_id`, `trip`, `held`: None until a stay is held; `wanted`: None while nobody asked for
    another stay, and none is held; `closed`: no change is accepted any more; `taken`: the price was
    captured; `reason`: why it is undone.
    """

    phase: Phase = Phase.NEW
    trip_id: str | None = None
    trip: TripFacts | None = None
    wanted: Stay | None = None
    held: Stay | None = None
    closed: bool = False
    taken: bool = False
    reason: str = ""
    in_flight: frozenset[str] = frozenset()


# --- the payer's answers --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """The payer holds the price of a stay."""

    hold_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The payer holds nothing, and never will under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """The price of a stay was taken."""

    hold_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Lapsed:
    """There is nothing to capture: the hold has expired or was voided."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """Nothing is held under these keys, and nothing will be.

    `captured`: what had been taken and was refunded, None if nothing had.
    """

    refund_id: str | None = None
    captured: Captured | None = None


@dataclass(frozen=True, slots=True)
class ChangesClosed:
    """The change window is over; reported for the hold of the stay with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The hold of the stay with this number has expired."""

    number: int


# --- decide ---------------------------------------------------------------------------------------


def decide(state: Hotel, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            return Decision(effects=(_hold(event.trip_id, event.trip, event.trip.stay),))
        case Observed("StayChangeRequested", event):
            return _change(state, event.trip_id, event.stay)
        case Undo(event, reason):
            return _undo(state, saga_id_of(event), reason)
        case EffectResult(effect, Held() | Declined() as result):
            return _hold_outcome(state, effect, result)
        case EffectResult(effect, Captured() | Lapsed() as result):
            return _capture_outcome(state, effect, result)
        case EffectResult(effect, Released() as done) if effect.kind == RELEASE:
            return _release_outcome(state, effect, done)
        case Callback(report) if state.phase is Phase.HELD:
            return _reported(state, report)
    return NOTHING


def hold_pending(state: Hotel) -> bool:
    """Return True while the answer to a hold is still to come: reports about it are too early."""
    return any(key.startswith(HOLD) for key in state.in_flight)


def _change(state: Hotel, trip_id: str, stay: Stay) -> Decision:
    if state.closed or state.phase not in (Phase.NEW, Phase.HELD):
        reason = "the stay can no longer be changed"
        return Decision((StayChangeRefused(trip_id=trip_id, stay=stay, reason=reason),))
    accepted = StayChangeAccepted(trip_id=trip_id, stay=stay)
    settled = state.wanted == state.held  # else the answer to another hold is still to come
    return Decision((accepted,), _next(evolve(state, accepted)) if settled else ())


def _hold_outcome(state: Hotel, effect: Effect, result: Any) -> Decision:
    trip_id, trip, stay = trip_id_in(effect), trip_in(effect), stay_in(effect)
    newer = state.held is None or stay.number > state.held.number
    match result, state.phase:
        case _ if stay == state.held:
            return NOTHING  # known
        case Held(hold_id), Phase.NEW | Phase.HELD if newer:
            held = HotelHeld(trip_id=trip_id, trip=trip, stay=stay, hold_id=hold_id)
            replaced = (_void(trip_id, state.held),) if state.held else ()
            return Decision((held,), replaced + _next(evolve(state, held)))
        case Held(), _:
            return Decision(effects=(_void(trip_id, stay),))
        case Declined(reason), Phase.NEW:
            return Decision((HotelFailed(trip_id=trip_id, code="declined", reason=reason),))
        case Declined(reason), Phase.HELD:
            refused = StayChangeRefused(trip_id=trip_id, stay=stay, reason=reason)
            return Decision((refused,), _next(evolve(state, refused)))
    return NOTHING


def _capture_outcome(state: Hotel, effect: Effect, result: Any) -> Decision:
    match result, state.phase:
        case Captured() as captured, Phase.HELD if not _fits(effect, captured):
            return _mismatched(state, effect, captured)
        case Captured() as captured, Phase.HELD:
            return Decision((HotelCaptured(trip=trip_in(effect), **_taken(effect, captured)),))
        case Captured() as captured, phase if not state.taken:
            late = HotelCapturedLate(**_taken(effect, captured))
            if phase is Phase.RELEASING:
                return Decision((late,))
            started = HotelReleaseStarted(trip_id=late.trip_id, reason=TOO_LATE)
            return Decision((late, started), (_release(evolve(state, late), late.trip_id),))
        case Lapsed(reason), Phase.HELD:
            return Decision((_expired(trip_id_in(effect), reason),))
    return NOTHING


def _fits(effect: Effect, captured: Captured) -> bool:
    price = (stay_in(effect).amount_minor, trip_in(effect).currency)
    return price == (captured.amount_minor, captured.currency)


def _mismatched(state: Hotel, effect: Effect, captured: Captured) -> Decision:
    """Give back what was taken instead of the price."""
    price_minor, currency = stay_in(effect).amount_minor, trip_in(effect).currency
    reason = (
        f"the payer took {captured.amount_minor} {captured.currency} (minor units); the price is "
        f"{price_minor} {currency}"
    )
    odd = HotelMismatched(reason=reason, **_taken(effect, captured))
    started = HotelReleaseStarted(trip_id=odd.trip_id, reason=reason)
    return Decision((odd, started), (_release(evolve(state, odd), odd.trip_id),))


def _reported(state: Hotel, report: Any) -> Decision:
    """Decide on a webhook about the stay that is held; others are of stays that were replaced."""
    trip_id, number = state.trip_id or "", state.held.number if state.held else None
    match report:
        case ChangesClosed(of) if of == number and not state.closed:
            closed = StayChangesClosed(trip_id=trip_id)
            return Decision((closed,), _next(evolve(state, closed)))
        case Expired(of) if of == number and not state.closed and state.wanted == state.held:
            # where another hold or a capture is in flight, its answer decides
            return Decision((_expired(trip_id, "the pre-authorisation has expired"),))
    return NOTHING


def _undo(state: Hotel, trip_id: str, reason: str) -> Decision:
    unasked = state.phase is Phase.NEW and not state.in_flight
    if unasked or state.phase in (Phase.FAILED, Phase.RELEASED):
        return Decision((HotelReleased(trip_id=trip_id, amount_minor=0, reason=reason),))
    if RELEASE in state.in_flight:
        return NOTHING
    release = (_release(state, trip_id),)
    if state.phase is Phase.RELEASING:
        return Decision(effects=release)
    return Decision((HotelReleaseStarted(trip_id=trip_id, reason=reason),), release)


def _release_outcome(state: Hotel, effect: Effect, done: Released) -> Decision:
    if state.phase is not Phase.RELEASING:
        return NOTHING
    captured = done.captured
    released = HotelReleased(
        trip_id=trip_id_in(effect),
        refund_id=done.refund_id,
        amount_minor=captured.amount_minor if captured else 0,
        currency=captured.currency if captured else None,
        reason=state.reason,
    )
    if captured is None or state.taken:
        return Decision((released,))
    return Decision((HotelCapturedLate(**_taken(effect, captured)), released))


# --- effects and events ---------------------------------------------------------------------------


def hold_key(stay: Stay) -> str:
    """Return the key of a stay's hold."""
    return f"{HOLD}:{stay.number}"


def _next(state: Hotel) -> tuple[Effect, ...]:
    """Return the call that brings a held stay forward, if one is due."""
    trip_id, trip, stay = state.trip_id, state.trip, state.held
    if state.phase is not Phase.HELD or trip_id is None or trip is None:
        return ()
    if state.wanted and state.wanted != stay:
        return (_hold(trip_id, trip, state.wanted),)
    return (effect_of(CAPTURE, CAPTURE, trip_id, trip, stay),) if state.closed else ()


def _hold(trip_id: str, trip: TripFacts, stay: Stay) -> Effect:
    return effect_of(HOLD, hold_key(stay), trip_id, trip, stay)


def _void(trip_id: str, stay: Stay) -> Effect:
    return effect_of(VOID, f"{VOID}:{stay.number}", trip_id, holds=[hold_key(stay)])


def _release(state: Hotel, trip_id: str) -> Effect:
    """Return the call that releases whatever may be held."""
    calls = (key.partition(":") for key in state.in_flight)
    holds = {f"{HOLD}:{number}" for kind, _, number in calls if kind in (HOLD, VOID)}
    if state.held:
        holds.add(hold_key(state.held))
    return effect_of(RELEASE, RELEASE, trip_id, stay=state.held, holds=sorted(holds))


def _taken(effect: Effect, captured: Captured) -> dict[str, Any]:
    """Return the fields that both events about a capture have."""
    return {"trip_id": trip_id_in(effect), "stay": stay_in(effect), **asdict(captured)}


def _expired(trip_id: str, reason: str) -> HotelFailed:
    return HotelFailed(trip_id=trip_id, code="expired", reason=reason)


# --- evolve ---------------------------------------------------------------------------------------


def evolve(state: Hotel, event: Any) -> Hotel:
    """Return the state after an own event."""
    match event:
        case HotelHeld(trip_id=trip_id, trip=trip, stay=stay):
            wanted = state.wanted or stay
            held = replace(state, phase=Phase.HELD, trip_id=trip_id, trip=trip)
            return replace(held, held=stay, wanted=wanted)
        case StayChangeAccepted():
            return replace(state, wanted=event.stay)
        case StayChangeRefused() if event.stay == state.wanted:
            return replace(state, wanted=state.held)
        case StayChangesClosed():
            return replace(state, closed=True)
        case HotelCaptured():
            return replace(state, phase=Phase.CAPTURED, taken=True)
        case HotelCapturedLate() | HotelMismatched():
            return replace(state, held=event.stay, taken=True)
        case HotelFailed():
            return replace(state, phase=Phase.FAILED)
        case HotelReleaseStarted():
            return replace(state, phase=Phase.RELEASING, reason=event.reason)
        case HotelReleased():
            return replace(state, phase=Phase.RELEASED, reason=event.reason)
    return state
