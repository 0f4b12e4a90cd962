"""Decides loyalty's reactions to triggers. Pure.

    new --Do--> granted

The step is behind the pivot: points are never taken back, so they are granted only when nothing can
be undone any more. An order without a card gets PointsGranted with 0 points; without that event the
saga would never complete.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit.decider import NOTHING, Decision, Do, Trigger
from schemas.events import OrderFacts, PointsGranted
from schemas.rules import minor_digits, problems


class Phase(StrEnum):
    """The phases of an order's points."""

    NEW = "new"
    GRANTED = "granted"


@dataclass(frozen=True, slots=True)
class Points:
    """The `points` granted on `loyalty_card`, which is None if there are none."""

    phase: Phase = Phase.NEW
    loyalty_card: str | None = None
    points: int = 0
    in_flight: frozenset[str] = frozenset()


def decide(state: Points, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            order: OrderFacts = event.order
            points = points_of(event.order_id, order)
            card = order.loyalty_card if points else None
            granted = PointsGranted(order_id=event.order_id, loyalty_card=card, points=points)
            return Decision((granted,))
    return NOTHING


def points_of(order_id: str, order: OrderFacts) -> int:
    """Return one point per full major unit: 12 for 12.99 EUR, 1299 for 1299 JPY.

    An order without a card and an invalid order get 0.
    """
    if order.loyalty_card is None or problems(order_id, order):
        return 0
    return int(order.total_minor // 10 ** minor_digits(order.currency))


def evolve(state: Points, event: Any) -> Points:
    """Return the state after an own event."""
    match event:
        case PointsGranted(loyalty_card=card, points=points):
            return replace(state, phase=Phase.GRANTED, loyalty_card=card, points=points)
    return state
