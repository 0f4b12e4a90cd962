"""Screens an order for fraud before it is charged."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sagakit import NOTHING, Decision, Do, Trigger, Undo, saga_id_of
from schemas.events import FraudCleared, FraudRejected, FraudWithdrawn


@dataclass(frozen=True)
class Screening:
    """The state: the last event of this participant about an order, and its calls in flight."""

    last: str = ""
    in_flight: frozenset[str] = frozenset()


def decide(state: Screening, trigger: Trigger, now: datetime) -> Decision:
    """Answer a trigger with events. Total and pure: no clock, no database, no network."""
    match trigger:
        case Do(event) if state.last == "" and event.order.fraud_score < 0.99:
            return Decision((FraudCleared(order_id=event.order_id, order=event.order),))
        case Do(event) if state.last == "":
            reason = "the score is 0.99 or more"
            return Decision((FraudRejected(order_id=event.order_id, code="score", reason=reason),))
        case Undo(event, reason):  # before any Do this event is the fence: a later Do is ignored
            return Decision((FraudWithdrawn(order_id=saga_id_of(event), reason=reason),))
    return NOTHING


def evolve(state: Screening, event: Any) -> Screening:
    """Fold one event of this participant into the state."""
    return replace(state, last=event.type)
