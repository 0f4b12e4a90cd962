"""Decides fraud's reactions to triggers. Pure.

    new --Do--> cleared --Undo--> withdrawn
     |  \\-----> rejected --Undo------^
     \\--Undo--> withdrawn (a fence)

The shop computes the score. A score of REJECT_FROM or more is fraud and needs no review. Scores
between payment's own limit and REJECT_FROM are reviewed by a person in payment, in every version of
the flow.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit.contract.model import saga_id_of
from sagakit.decider import NOTHING, Decision, Do, Trigger, Undo
from schemas.events import FraudCleared, FraudRejected, FraudWithdrawn
from schemas.rules import email_of, printable, problems

REJECT_FROM = 0.99


class Phase(StrEnum):
    """The phases of an order's screening."""

    NEW = "new"
    CLEARED = "cleared"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Screening:
    """The state of a screening. `email`: the customer's, for the mail about the order's end."""

    phase: Phase = Phase.NEW
    email: str | None = None
    in_flight: frozenset[str] = frozenset()


def decide(state: Screening, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Do(event) if state.phase is Phase.NEW:
            return Decision((_screen(event.order_id, event.order),))
        case Undo(event, reason):
            email = state.email or getattr(event, "email", None)
            reason = printable(reason)
            return Decision(
                (FraudWithdrawn(order_id=saga_id_of(event), reason=reason, email=email),)
            )
    return NOTHING


def _screen(order_id: str, order: Any) -> Any:
    wrong, email = problems(order_id, order), email_of(order)
    if wrong:
        reason = printable("; ".join(wrong))
        return FraudRejected(order_id=order_id, code="invalid", reason=reason, email=email)
    if order.fraud_score >= REJECT_FROM:
        reason = f"the fraud score {order.fraud_score} is {REJECT_FROM} or more"
        return FraudRejected(order_id=order_id, code="score", reason=reason, email=email)
    return FraudCleared(order_id=order_id, order=order)


def evolve(state: Screening, event: Any) -> Screening:
    """Return the state after an own event."""
    match event:
        case FraudCleared(order=order):
            return replace(state, phase=Phase.CLEARED, email=order.email)
        case FraudRejected(email=email):
            return replace(state, phase=Phase.REJECTED, email=email or state.email)
        case FraudWithdrawn(email=email):
            return replace(state, phase=Phase.WITHDRAWN, email=email or state.email)
    return state
