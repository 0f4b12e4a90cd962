"""Decides order's reactions to requests and observed events. Pure.

    unknown --place / OrderPlaced--> placed --completed--> completed
                                       +-----undone------> cancelled

- Two orders are the same when the digests of their facts are equal, sealed or in clear. The first
  content under an id in the log wins, whoever published it; other content is answered with
  OrderRejected and changes nothing. What the API took counts until the log says another.
- Whether sealed and clear facts are the same takes the customer's key: the effect `compare` tells.
- The first end reported wins. A completed order is not cancelled any more (past the pivot nothing
  is undone), and a cancelled order is not completed. Where reality contradicts that (a cancelled
  parcel picked up after all), the monitor's conservation check names the order.
- An end may be observed before OrderPlaced, because topics are read at different speeds. The end
  is emitted at once, and OrderPlaced is adopted when it arrives.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit.decider import (
    NOTHING,
    Command,
    Decision,
    Effect,
    EffectResult,
    Json,
    Observed,
    Trigger,
)
from sagakit.privacy.sealed_text import is_sealed
from schemas.events import (
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderFacts,
    OrderPlaced,
    OrderRejected,
)
from schemas.rules import MAX_CUSTOMER_ID, printable

PLACE, CANCEL = "place", "cancel"
"""The verdicts that the API submits; their data are Placing and Cancelling."""


CONFLICT, TAKEN = "conflict", "taken"
"""Codes of OrderRejected. taken: what the API had taken is not carried out."""
COMPARE = "compare"
"""The effect that tells whether facts, sealed or in clear, have the digest of the known ones."""


class Phase(StrEnum):
    """The phases of an order."""

    UNKNOWN = "unknown"
    PLACED = "placed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


ENDED = frozenset({Phase.COMPLETED, Phase.CANCELLED})


@dataclass(frozen=True, slots=True)
class Order:
    """The state of an order.

    `digest` and `customer_id` are empty until OrderPlaced is known. `reason`: why the order was
    cancelled; `cancel_reason`: why a cancellation was requested, empty if none was; `in_clear`: the
    order was published with personal data unsealed; `taken`: another order that the API took under
    this id is not carried out.
    """

    phase: Phase = Phase.UNKNOWN
    digest: str = ""
    placed_at: datetime | None = None
    reason: str = ""
    cancel_reason: str = ""
    customer_id: str = ""
    in_clear: bool = False
    taken: bool = False
    in_flight: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """The data of a `place` verdict.

    clear: digest of the facts before they were sealed; another publisher may have placed the same
    order unsealed.
    """

    order_id: str
    order: OrderFacts
    placed_at: datetime
    clear: str = ""
    batch_id: str | None = None
    caused_by: str | None = None

    def is_same(self, state: "Order") -> bool:
        """Return True when the known order has this content, sealed or in clear."""
        return bool(state.digest) and state.digest in (digest(self.order), self.clear)


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """The data of a `cancel` verdict."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of a comparison: the facts are those of the known order."""

    same: bool


def decide(state: Order, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Command(name="place", data=PlaceOrder() as command):
            return _place(state, command)
        case Command(name="cancel", data=CancelOrder(order_id), actor=actor, reason=reason):
            if state.phase is Phase.PLACED:
                asked = OrderCancelRequested(order_id=order_id, actor=actor, reason=reason)
                return _emit(asked)
        case Observed("OrderPlaced", OrderPlaced() as event) if state.digest != digest(event.order):
            refused = _judge(state, event, TAKEN) if state.digest else NOTHING
            return replace(refused, adopted=(event,))
        case Observed("refused", OrderPlaced() as event) if state.digest != digest(event.order):
            return _judge(state, event, CONFLICT)
        case EffectResult(effect, Compared(same)):
            order_id, code = str(effect.payload["order_id"]), str(effect.payload["code"])
            return NOTHING if same else _emit(_rejected(order_id, code))
        case Observed("completed", event) if state.phase not in ENDED:
            return _emit(OrderCompleted(order_id=event.order_id))
        case Observed("undone", event) if state.phase not in ENDED:
            reason = printable(getattr(event, "reason", event.type))
            return _emit(OrderCancelled(order_id=event.order_id, reason=reason))
    return NOTHING


def evolve(state: Order, event: Any) -> Order:
    """Return the state after an own or adopted event."""
    match event:
        case OrderPlaced():
            phase = Phase.PLACED if state.phase is Phase.UNKNOWN else state.phase
            return replace(
                state,
                phase=phase,
                digest=digest(event.order),
                placed_at=event.placed_at,
                customer_id=_stored_customer_id(event.order),
                in_clear=is_in_clear(event.order),
            )
        case OrderRejected(code=code) if code == TAKEN:
            return replace(state, taken=True)
        case OrderCancelRequested():
            return replace(state, cancel_reason=event.reason)
        case OrderCompleted():
            return replace(state, phase=Phase.COMPLETED)
        case OrderCancelled():
            return replace(state, phase=Phase.CANCELLED, reason=event.reason)
    return state


def digest(order: OrderFacts) -> str:
    """Return the SHA-256 (hex) of the facts as canonical JSON: sorted names, no spaces, ASCII.

    Facts that are None are left out, so a fact added to the schema later leaves the digests of
    older orders unchanged.
    """
    given = {name: value for name, value in order.to_dict().items() if value is not None}
    text = json.dumps(given, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_in_clear(order: OrderFacts) -> bool:
    """Return True for facts with personal data that is not sealed."""
    return not all(is_sealed(text) for text in (order.email, order.ship_to))


def _stored_customer_id(order: OrderFacts) -> str:
    """Return the customer id cleaned for storage: other participants may reject the order."""
    return printable(order.customer_id, MAX_CUSTOMER_ID)


def _place(state: Order, command: PlaceOrder) -> Decision:
    if command.is_same(state):
        return NOTHING
    if state.phase is not Phase.UNKNOWN:  # includes an order of which only the end is known
        return _emit(_rejected(command.order_id, CONFLICT))
    placed = OrderPlaced(
        order_id=command.order_id,
        order=command.order,
        placed_at=command.placed_at,
        batch_id=command.batch_id,
        caused_by=command.caused_by,
    )
    return _emit(placed)


def _judge(state: Order, event: OrderPlaced, code: str) -> Decision:
    """Reject an order of other content; only the key tells if sealed and clear are the same."""
    facts = event.order.to_dict()
    if not state.digest or state.in_clear == is_in_clear(event.order) or _holds_nul(facts):
        return _emit(_rejected(event.order_id, code))
    payload: dict[str, Json] = {
        "order_id": event.order_id,
        "code": code,
        "digest": state.digest,
        "order": facts,
    }
    return Decision(effects=(Effect(COMPARE, f"{COMPARE}:{digest(event.order)[:32]}", payload),))


def _holds_nul(facts: Any) -> bool:
    """Tell whether a text holds NUL: the API takes none, and an effect can carry none."""
    if isinstance(facts, str):
        return "\0" in facts
    inner = facts.values() if isinstance(facts, dict) else facts
    return isinstance(facts, dict | list) and any(_holds_nul(one) for one in inner)


def _rejected(order_id: str, code: str) -> OrderRejected:
    reason = f"order {order_id} exists with other content; place this one under another id"
    if code == TAKEN:
        reason = (
            f"another order {order_id} is in the log before the one that was placed over HTTP, "
            "which is not carried out; place it under another id"
        )
    return OrderRejected(order_id=order_id, code=code, reason=reason)


def _emit(event: Any) -> Decision:
    return Decision(events=(event,))
