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
- A hold of another amount or currency than the price is voided, and counts as declined. A capture
  of anything but the price of what is held is no stay: it is released, and a person is called.
- A webhook is a hint. One that does not say what is held, or contradicts a capture, has the hold
  read at the payer, and what is read there counts. A capture that is gone calls a person.
- What the payer does not give back, or not as it took it, calls a person; the undo goes on.
- A capture that an Undo overtakes is reported as HotelCapturedLate, whichever answer comes first,
  so that the balance has the money before it has the refund.
"""

from collections.abc import Mapping
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
    HotelDoubted,
    HotelFailed,
    HotelHeld,
    HotelKept,
    HotelMismatched,
    HotelReleased,
    HotelReleaseStarted,
    HotelReversed,
    Stay,
    StayChangeAccepted,
    StayChangeRefused,
    StayChangesClosed,
    TripFacts,
)

HOLD, VOID, CAPTURE, RELEASE, LOOK = "hold", "void", "capture", "release", "look"
TOO_LATE = "it was captured too late"
NOT_VOIDED = "the payer refuses for good to void the hold of a stay that was replaced"


class Phase(StrEnum):
    """The phases of a stay."""

    NEW = "new"
    HELD = "held"
    CAPTURED = "captured"
    FAILED = "failed"
    RELEASING = "releasing"
    RELEASED = "released"


# --- the payer's answers --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """The payer holds an amount for a stay."""

    hold_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The payer holds nothing, and never will under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """An amount was taken for a stay."""

    hold_id: str
    amount_minor: int
    currency: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> "Captured | None":
        """Return what was captured, from a column."""
        return None if row is None else cls(**row)


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The payer neither holds nor has the price: it has expired, was voided or refunded."""

    reason: str
    refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """Nothing is held under these keys, and nothing will be.

    `captured`: what had been taken, None if nothing had; without `refund_id` it was not given back.
    `kept`: the payer refuses for good to give something back.
    """

    refund_id: str | None = None
    captured: Captured | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class ChangesClosed:
    """The change window is over; reported for the hold of the stay with this number."""

    number: int
    held: Held


@dataclass(frozen=True, slots=True)
class Expired:
    """The hold of the stay with this number has expired."""

    number: int
    held: Held


# --- state ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hotel:
    """The state of a stay.

    `trip_id`, `trip`, `held`, `hold_id`: None until a stay is held; `wanted`: None while nobody
    asked for another stay, and none is held; `closed`: no change is accepted any more; `taken`:
    what was captured; `reason`: why it is undone.
    """

    phase: Phase = Phase.NEW
    trip_id: str | None = None
    trip: TripFacts | None = None
    wanted: Stay | None = None
    held: Stay | None = None
    hold_id: str | None = None
    closed: bool = False
    taken: Captured | None = None
    reason: str = ""
    in_flight: frozenset[str] = frozenset()


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
        case EffectResult(effect, result) if effect.kind == LOOK:
            return _look_outcome(state, effect, result)
        case EffectResult(effect, Held() | Declined() as result):
            return _hold_outcome(state, effect, result)
        case EffectResult(effect, Captured() | Lapsed() as result):
            return _capture_outcome(state, effect, result)
        case EffectResult(effect, Released() as done) if effect.kind == RELEASE:
            return _release_outcome(state, effect, done)
        case EffectResult(effect, Released(kept=True)):
            return Decision((HotelKept(trip_id=trip_id_in(effect), reason=NOT_VOIDED),))
        case Callback(report) if state.phase in (Phase.HELD, Phase.CAPTURED):
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
        case Held() as odd, _ if asdict(odd) != _priced(trip, stay, odd.hold_id):
            declined = Declined(f"the payer holds {_shown(odd)}; the price is {_price(trip, stay)}")
            without = _hold_outcome(state, effect, declined)
            return Decision(without.events, (_void(trip_id, stay), *without.effects))
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
        case Captured() as captured, Phase.HELD if asdict(captured) != _asked(state, effect):
            return _mismatched(state, effect, captured)
        case Captured() as captured, Phase.HELD:
            return Decision((HotelCaptured(trip=trip_in(effect), **_taken(effect, captured)),))
        case Captured() as captured, phase if not state.taken:
            late = HotelCapturedLate(**_taken(effect, captured))
            if phase is Phase.RELEASING:
                return Decision((late,))
            started = HotelReleaseStarted(trip_id=late.trip_id, reason=TOO_LATE)
            return Decision((late, started), (_release(evolve(state, late), late.trip_id, state),))
        case Lapsed(reason), Phase.HELD:
            return Decision((_expired(trip_id_in(effect), reason),))
    return NOTHING


def _mismatched(state: Hotel, effect: Effect, captured: Captured) -> Decision:
    """Give back what was taken instead of the price."""
    price = _price(trip_in(effect), stay_in(effect))
    reason = (
        f"the payer took {_shown(captured)} by {captured.hold_id}; the price is {price}, held by "
        f"{state.hold_id}"
    )
    odd = HotelMismatched(reason=reason, **_taken(effect, captured))
    started = HotelReleaseStarted(trip_id=odd.trip_id, reason=reason)
    return Decision((odd, started), (_release(evolve(state, odd), odd.trip_id, state),))


def _reported(state: Hotel, report: Any) -> Decision:
    """Decide on a webhook about the stay that is held; others are of stays that were replaced."""
    trip_id, trip, stay = state.trip_id or "", state.trip, state.held
    if trip is None or stay is None or report.number != stay.number:
        return NOTHING
    if asdict(report.held) != _priced(trip, stay, state.hold_id):
        return _doubted(state, report.held)
    match report, state.phase:
        case ChangesClosed(), Phase.HELD if not state.closed:
            closed = StayChangesClosed(trip_id=trip_id)
            return Decision((closed,), _next(evolve(state, closed)))
        case Expired(), Phase.HELD if _decides_alone(state):
            return Decision((_expired(trip_id, "the pre-authorisation has expired"),))
        case Expired(), Phase.CAPTURED:
            return Decision(effects=_look(state, "expired"))
    return NOTHING


def _decides_alone(state: Hotel) -> bool:
    """Return True unless another hold or a capture is in flight: then its answer decides."""
    return not state.closed and state.wanted == state.held


def _doubted(state: Hotel, other: Held) -> Decision:
    """Read a hold about which the payer reports something else."""
    look = _look(state, f"{other.hold_id}:{other.amount_minor}{other.currency}")
    if not look or state.trip is None or state.held is None:
        return NOTHING
    reason = (
        f"the payer reports {_shown(other)} by {other.hold_id}; it is {state.hold_id} that holds "
        f"{_price(state.trip, state.held)}"
    )
    return Decision((HotelDoubted(trip_id=state.trip_id or "", reason=reason),), look)


def _look_outcome(state: Hotel, effect: Effect, result: Any) -> Decision:
    if stay_in(effect) != state.held or not isinstance(result, Lapsed):
        return NOTHING
    if state.phase is Phase.HELD and _decides_alone(state):
        return Decision((_expired(trip_id_in(effect), result.reason),))
    if state.phase is not Phase.CAPTURED or state.taken is None:
        return NOTHING
    gone = HotelReversed(
        trip_id=trip_id_in(effect),
        refund_id=result.refund_id or state.taken.hold_id,
        amount_minor=state.taken.amount_minor,
        currency=state.taken.currency,
        reason=f"the payer had taken {_shown(state.taken)}: {result.reason}",
    )
    return Decision((gone,))


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
    trip_id, captured = trip_id_in(effect), done.captured
    events: list[Any] = []
    if captured and not state.taken and "stay" in effect.payload:
        events.append(HotelCapturedLate(**_taken(effect, captured)))
    kept = _kept(state.taken or captured, done)
    if kept:
        events.append(HotelKept(trip_id=trip_id, reason=kept))
    given = captured if done.refund_id and (state.taken or events) else None
    released = HotelReleased(
        trip_id=trip_id,
        refund_id=done.refund_id,
        amount_minor=given.amount_minor if given else 0,
        currency=given.currency if given else None,
        kept=kept,
        reason=state.reason,
    )
    return Decision((*events, released))


def _kept(taken: Captured | None, done: Released) -> str | None:
    """Return why a release leaves something with the payer, None if it does not."""
    if done.kept:
        what = _shown(done.captured) if done.captured else "what it holds"
        return f"the payer refuses for good to give back {what}"
    if taken == done.captured or taken is None:
        return None
    given = _shown(done.captured) if done.captured else "nothing"
    return f"the payer gave back {given} of {_shown(taken)}"


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


def _release(state: Hotel, trip_id: str, before: Hotel | None = None) -> Effect:
    """Return the call that releases whatever may be held, also what was held `before`."""
    calls = (key.partition(":") for key in state.in_flight)
    holds = {f"{HOLD}:{number}" for kind, _, number in calls if kind in (HOLD, VOID)}
    holds |= {hold_key(one.held) for one in (state, before) if one and one.held}
    return effect_of(RELEASE, RELEASE, trip_id, stay=state.held, holds=sorted(holds))


def _look(state: Hotel, about: str) -> tuple[Effect, ...]:
    """Return the call that reads the hold, unless it is in flight."""
    key = f"{LOOK}:{about}"
    if key in state.in_flight:
        return ()
    return (effect_of(LOOK, key, state.trip_id or "", state.trip, state.held),)


def _asked(state: Hotel, effect: Effect) -> dict[str, Any]:
    return _priced(trip_in(effect), stay_in(effect), state.hold_id)


def _priced(trip: TripFacts, stay: Stay, hold_id: str | None) -> dict[str, Any]:
    """Return the fields of a hold or a capture of the price of a stay."""
    return {"hold_id": hold_id, "amount_minor": stay.amount_minor, "currency": trip.currency}


def _price(trip: TripFacts, stay: Stay) -> str:
    return f"{stay.amount_minor} {trip.currency}"


def _shown(money: Held | Captured) -> str:
    return f"{money.amount_minor} {money.currency} (minor units)"


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
            return replace(held, held=stay, wanted=wanted, hold_id=event.hold_id)
        case StayChangeAccepted():
            return replace(state, wanted=event.stay)
        case StayChangeRefused() if event.stay == state.wanted:
            return replace(state, wanted=state.held)
        case StayChangesClosed():
            return replace(state, closed=True)
        case HotelCaptured():
            return replace(state, phase=Phase.CAPTURED, taken=_captured(event))
        case HotelCapturedLate() | HotelMismatched():
            return replace(state, held=event.stay, taken=_captured(event))
        case HotelReversed():
            return replace(state, taken=None)
        case HotelFailed():
            return replace(state, phase=Phase.FAILED)
        case HotelReleaseStarted():
            return replace(state, phase=Phase.RELEASING, reason=event.reason)
        case HotelReleased():
            return replace(state, phase=Phase.RELEASED, reason=event.reason)
    return state


def _captured(event: HotelCaptured | HotelCapturedLate | HotelMismatched) -> Captured:
    return Captured(event.hold_id, event.amount_minor, event.currency)
