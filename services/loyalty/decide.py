"""What loyalty decides. Pure.

    new --Do--> granted

It stands behind the pivot: what the customer has been given is never taken back, so it is given
only when nothing can be undone any more. An order without a card is granted nothing, and says so,
or it would never be complete.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit.decider import NOTHING, Decision, Do, Trigger
from schemas.events import OrderFacts, PointsGranted
from schemas.rules import minor_digits, problems


class Phase(StrEnum):
    """Whether an order has its points."""

    NEW = "new"
    GRANTED = "granted"


@dataclass(frozen=True, slots=True)
class Points:
    """`points` on `loyalty_card`; None: the order has none."""

    phase: Phase = Phase.NEW
    loyalty_card: str | None = None
    points: int = 0
    in_flight: frozenset[str] = frozenset()


def decide(state: Points, trigger: Trigger, now: datetime) -> Decision:
    """See the module."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            order: OrderFacts = event.order
            points = points_of(event.order_id, order)
            card = order.loyalty_card if points else None
            granted = PointsGranted(order_id=event.order_id, loyalty_card=card, points=points)
            return Decision((granted,))
    return NOTHING


def points_of(order_id: str, order: OrderFacts) -> int:
    """One for each full major unit (12 for 12.99 EUR, 1299 for 1299 JPY); none without a card, nor
    for what no shop should have sent."""
    if order.loyalty_card is None or problems(order_id, order):
        return 0
    return int(order.total_minor // 10 ** minor_digits(order.currency))


def evolve(state: Points, event: Any) -> Points:
    """The state after an own event."""
    match event:
        case PointsGranted(loyalty_card=card, points=points):
            return replace(state, phase=Phase.GRANTED, loyalty_card=card, points=points)
    return state
