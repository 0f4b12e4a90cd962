"""Decides inventory's reactions to triggers. Pure.

    new --Do--> reserved --ShipmentPickedUp--> shipped
     |  \\-----> rejected    \\--Undo--> released
     \\--Undo--> released (a fence)

- All lines are reserved or none; lines of one SKU are added up. `state.on_hand` holds the units on
  hand: the fold of the own events of all orders, read under lock.
- Past the pivot nothing is undone: an Undo of a shipped order is not answered. Shipping answers it
  with ShipmentCancelRefused, and no step before shipping receives an Undo.
- A late capture (the payment had ended) is refunded; nothing is reserved for it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit.contract.model import saga_id_of
from sagakit.decider import NOTHING, Command, Decision, Do, Observed, Trigger, Undo
from sagakit.identity import id_fault
from schemas.events import (
    InventoryRejected,
    InventoryReleased,
    InventoryReserved,
    InventoryShipped,
    OrderFacts,
    ShipmentPickedUp,
    StockLine,
    StockReceived,
)
from schemas.rules import email_of, printable, problems

RESTOCK = "restock"
MAX_RESTOCK = 10**9
MAX_STOCK_SKU = 124
"""`sku:<sku>` is a record key, and a key has at most 128 characters."""


class Phase(StrEnum):
    """The phases of an order's reservation."""

    NEW = "new"
    RESERVED = "reserved"
    REJECTED = "rejected"
    RELEASED = "released"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The state of an order's reservation.

    `lines`: reserved or shipped. `on_hand`: units by SKU, of this order's SKUs; the store fills it
    from the stock that all orders share, so it is no part of the fold.
    """

    phase: Phase = Phase.NEW
    lines: tuple[StockLine, ...] = ()
    email: str | None = None
    on_hand: Mapping[str, int] = field(default_factory=dict)
    in_flight: frozenset[str] = frozenset()


def decide(state: Reservation, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Do(event):
            return _do(state, event)
        case Undo(event, reason):
            email = state.email or getattr(event, "email", None)
            return _undo(state, saga_id_of(event), printable(reason), email)
        case Observed(event=ShipmentPickedUp(order_id=order_id)) if state.phase is Phase.RESERVED:
            return Decision((InventoryShipped(order_id=order_id, lines=state.lines),))
        case Command(name="restock", data=Mapping()):
            return _restock(trigger.data, printable(trigger.actor), printable(trigger.reason))
    return NOTHING


def sum_lines(order: OrderFacts) -> tuple[StockLine, ...]:
    """Return an order's lines added up to one per SKU, in the sequence of first mention."""
    units: Counter[str] = Counter()
    for line in order.lines:
        units[line.sku] += line.quantity
    return tuple(StockLine(sku=sku, quantity=quantity) for sku, quantity in units.items())


def can_be_stocked(sku: Any) -> bool:
    """Return True for a SKU that can have stock: 1 to 124 printable characters, not blank."""
    fits = isinstance(sku, str) and len(sku) <= MAX_STOCK_SKU
    return fits and id_fault(sku, MAX_STOCK_SKU) is None


def _do(state: Reservation, event: Any) -> Decision:
    if state.phase is not Phase.NEW or getattr(event, "late", False):
        return NOTHING
    order = event.order
    wrong = problems(event.order_id, order)
    wanted = sum_lines(order)
    short = [line for line in wanted if line.quantity > state.on_hand.get(line.sku, 0)]
    if not wrong and not short:
        return Decision((InventoryReserved(order_id=event.order_id, order=order),))
    reasons = wrong or [
        f"{line.sku}: {line.quantity} wanted, {state.on_hand.get(line.sku, 0)} on hand"
        for line in short
    ]
    rejected = InventoryRejected(
        order_id=event.order_id,
        code="invalid" if wrong else "out_of_stock",
        reason=printable("; ".join(reasons)),
        skus=() if wrong else tuple(line.sku for line in short),
        email=email_of(order),
    )
    return Decision((rejected,))


def _undo(state: Reservation, order_id: str, reason: str, email: Any) -> Decision:
    if state.phase is Phase.SHIPPED:
        return NOTHING
    lines = state.lines if state.phase is Phase.RESERVED else ()
    released = InventoryReleased(order_id=order_id, lines=lines, reason=reason, email=email)
    return Decision((released,))


def _restock(data: Mapping[str, Any], actor: str, reason: str) -> Decision:
    """Emit StockReceived; ignore invalid data, which the API refuses earlier with a reason."""
    sku, quantity = data.get("sku"), data.get("quantity")
    if not can_be_stocked(sku) or type(quantity) is not int or not 1 <= quantity <= MAX_RESTOCK:
        return NOTHING
    received = StockReceived(sku=str(sku), quantity=quantity, actor=actor, reason=reason)
    return Decision((received,))


def evolve(state: Reservation, event: Any) -> Reservation:
    """Return the state after an own event. StockReceived belongs to no order."""
    match event:
        case InventoryReserved(order=order):
            lines = sum_lines(order)
            return replace(state, phase=Phase.RESERVED, lines=lines, email=order.email)
        case InventoryRejected(email=email):
            return replace(state, phase=Phase.REJECTED, email=email or state.email)
        case InventoryReleased(email=email):
            email = email or state.email
            return replace(state, phase=Phase.RELEASED, lines=(), email=email)
        case InventoryShipped():
            return replace(state, phase=Phase.SHIPPED)
    return state
