"""Decides giftwrap's reactions to triggers. Pure.

new --Wrapped--> wrapped --Undo--> unwrapping --Unwrapped--> unwrapped
 |                                                              ^
 +--NoPaper--> failed       Undo (nothing in flight) -----------+
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit import NOTHING, Decision, Do, Effect, EffectResult, Trigger, Undo, saga_id_of
from schemas.events import GiftUnwrapped, GiftUnwrapStarted, GiftWrapFailed, GiftWrapped, OrderFacts

WRAP, UNWRAP = "wrap", "unwrap"


class Phase(StrEnum):
    """The phases of a gift."""

    NEW = "new"
    WRAPPED = "wrapped"
    FAILED = "failed"
    UNWRAPPING = "unwrapping"
    UNWRAPPED = "unwrapped"


@dataclass(frozen=True, slots=True)
class Gift:
    """The state of a gift. `reason`: of the undo; `in_flight`: pending call keys, from the kit."""

    phase: Phase = Phase.NEW
    reason: str = ""
    in_flight: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wrapped:
    """The wrapper has wrapped the parcel."""

    paper: str


@dataclass(frozen=True, slots=True)
class NoPaper:
    """The wrapper refuses the parcel, and will not wrap it later."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The wrapper has unwrapped the parcel, or will never wrap it."""


def decide(state: Gift, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module shows the phases."""
    match trigger:
        case Do(event):
            if state.phase is Phase.NEW:
                payload = {"order_id": event.order_id, "order": event.order.to_dict()}
                return Decision(effects=(Effect(WRAP, WRAP, payload),))
        case Undo(event, reason):
            return _undo(state, saga_id_of(event), reason)
        case EffectResult(effect, Wrapped(paper)) if state.phase is Phase.NEW:
            facts = OrderFacts.from_dict(dict(effect.payload["order"]))  # type: ignore[arg-type]
            order_id = str(effect.payload["order_id"])
            return _say(GiftWrapped(order_id=order_id, order=facts, paper=paper))
        case EffectResult(effect, Wrapped()) if state.phase is not Phase.WRAPPED:
            return _unwrap(state, str(effect.payload["order_id"]), "it was wrapped too late")
        case EffectResult(effect, NoPaper(reason)) if state.phase is Phase.NEW:
            return _say(GiftWrapFailed(order_id=str(effect.payload["order_id"]), reason=reason))
        case EffectResult(effect, NoPaper() | Unwrapped()) if state.phase is Phase.UNWRAPPING:
            order_id = str(effect.payload["order_id"])
            return _say(GiftUnwrapped(order_id=order_id, reason=state.reason))
    return NOTHING


def _undo(state: Gift, order_id: str, reason: str) -> Decision:
    wrapping = WRAP in state.in_flight
    match state.phase:
        case Phase.NEW if wrapping:
            # the outcome of the wrap call is unknown: record the undo, and unwrap once it arrives
            return _say(GiftUnwrapStarted(order_id=order_id, reason=reason))
        case Phase.UNWRAPPING if wrapping:
            return NOTHING
        case Phase.WRAPPED | Phase.UNWRAPPING:
            return _unwrap(state, order_id, reason)
        case _:
            return _say(GiftUnwrapped(order_id=order_id, reason=reason))


def _unwrap(state: Gift, order_id: str, reason: str) -> Decision:
    effect = Effect(UNWRAP, UNWRAP, {"order_id": order_id})
    if state.phase is Phase.UNWRAPPING:
        return Decision(effects=(effect,))
    return Decision((GiftUnwrapStarted(order_id=order_id, reason=reason),), (effect,))


def evolve(state: Gift, event: Any) -> Gift:
    """Return the state after an own event."""
    match event:
        case GiftWrapped():
            return replace(state, phase=Phase.WRAPPED)
        case GiftWrapFailed():
            return replace(state, phase=Phase.FAILED)
        case GiftUnwrapStarted():
            return replace(state, phase=Phase.UNWRAPPING, reason=event.reason)
        case GiftUnwrapped():
            return replace(state, phase=Phase.UNWRAPPED, reason=event.reason)
    return state


def _say(event: Any) -> Decision:
    return Decision(events=(event,))
