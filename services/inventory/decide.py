"""What inventory decides. Pure.

    new --Do--> reserved --picked up--> shipped
     |  \\--> rejected  \\--Undo--> released
     +--Undo (nothing reserved)------^

An order gets all its lines or none. `on_hand` is what decide sees of the stock: the view of a
shared aggregate (the fold of all own events of all orders), read under lock by the store.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit.decision import NOTHING, Decision, Do, Observed, Trigger, Undo, Verdict
from schemas.events import (
    InventoryRejected,
    InventoryReleased,
    InventoryReserved,
    InventoryShipped,
    OrderLine,
    StockLine,
    StockReceived,
)
from schemas.rules import email_of, problems, speakable

RESTOCK = "restock"
MAX_QUANTITY = 10**9


class Phase(StrEnum):
    """Where a reservation is."""

    NEW = "new"
    RESERVED = "reserved"
    REJECTED = "rejected"
    RELEASED = "released"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class Reservation:
    """`lines`: what is, or was, reserved; `on_hand`: units of the SKUs the order is about."""

    phase: Phase = Phase.NEW
    lines: tuple[StockLine, ...] = ()
    email: str | None = None
    on_hand: Mapping[str, int] = field(default_factory=dict)
    in_flight: frozenset[str] = frozenset()


def decide(state: Reservation, trigger: Trigger, now: datetime) -> Decision:
    """See the module."""
    match trigger:
        case Do(event):
            return _do(state, event)
        case Undo(event, reason):
            return _undo(state, event.order_id, speakable(reason))
        case Observed("ShipmentPickedUp", event) if state.phase is Phase.RESERVED:
            return _say(InventoryShipped(order_id=event.order_id, lines=state.lines))
        case Verdict(verdict="restock", actor=actor, reason=reason, data=dict(data)):
            return _restock(str(data["sku"]), int(data["quantity"]), actor, speakable(reason))
    return NOTHING


def _do(state: Reservation, event: Any) -> Decision:
    # money that comes in after the payment was undone goes back; nothing is reserved on it
    if state.phase is not Phase.NEW or getattr(event, "late", False):
        return NOTHING
    order_id, order = event.order_id, event.order
    if wrong := problems(order_id, order):
        return _reject(order_id, "invalid", "; ".join(wrong), (), email_of(order))
    short = tuple(x.sku for x in summed(order.lines) if x.quantity > state.on_hand.get(x.sku, 0))
    if short:
        reason = f"not enough on hand of {', '.join(short)}"
        return _reject(order_id, "out_of_stock", speakable(reason), short, order.email)
    return _say(InventoryReserved(order_id=order_id, order=order))


def _undo(state: Reservation, order_id: str, reason: str) -> Decision:
    """Behind the pivot nothing comes back, and there is no saying that it did."""
    if state.phase is Phase.SHIPPED:
        return NOTHING
    lines = state.lines if state.phase is Phase.RESERVED else ()
    return _say(InventoryReleased(order_id=order_id, lines=lines, reason=reason, email=state.email))


def _restock(sku: str, quantity: int, actor: str, reason: str) -> Decision:
    if not 1 <= quantity <= MAX_QUANTITY:
        return NOTHING
    return _say(StockReceived(sku=sku, quantity=quantity, actor=actor, reason=reason))


def _reject(
    order_id: str, code: str, reason: str, skus: tuple[str, ...], email: str | None
) -> Decision:
    return _say(
        InventoryRejected(order_id=order_id, code=code, reason=reason, skus=skus, email=email)
    )


def _say(event: Any) -> Decision:
    return Decision(events=(event,))


def evolve(state: Reservation, event: Any) -> Reservation:
    """The state after an own event."""
    match event:
        case InventoryReserved(order=order):
            lines = summed(order.lines)
            return replace(state, phase=Phase.RESERVED, lines=lines, email=order.email)
        case InventoryRejected(email=email):
            return replace(state, phase=Phase.REJECTED, email=email)
        case InventoryReleased(email=email):
            return replace(state, phase=Phase.RELEASED, lines=(), email=email or state.email)
        case InventoryShipped():
            return replace(state, phase=Phase.SHIPPED)
    return state


def summed(lines: Iterable[OrderLine]) -> tuple[StockLine, ...]:
    """One line a SKU, sorted by SKU."""
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return tuple(StockLine(sku=sku, quantity=n) for sku, n in sorted(units.items()))


# --- the stock, shared by all orders --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Level:
    """Units of one SKU; on_hand + reserved + shipped = put_in, always."""

    on_hand: int = 0
    reserved: int = 0
    shipped: int = 0
    put_in: int = 0


def moves(event: Any) -> dict[str, Level]:
    """What an own event changes, per SKU."""
    match event:
        case InventoryReserved(order=order):
            return {x.sku: Level(-x.quantity, x.quantity) for x in summed(order.lines)}
        case InventoryReleased(lines=lines):
            return {x.sku: Level(x.quantity, -x.quantity) for x in lines}
        case InventoryShipped(lines=lines):
            return {x.sku: Level(0, -x.quantity, x.quantity) for x in lines}
        case StockReceived(sku=sku, quantity=quantity):
            return {sku: Level(quantity, put_in=quantity)}
    return {}


def moved(level: Level, move: Level) -> Level:
    """The level after a move."""
    return replace(
        level,
        on_hand=level.on_hand + move.on_hand,
        reserved=level.reserved + move.reserved,
        shipped=level.shipped + move.shipped,
        put_in=level.put_in + move.put_in,
    )
