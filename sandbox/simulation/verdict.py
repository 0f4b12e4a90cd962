"""The invariants of design section 10 over a world that has come to rest, each read off the ledgers
of the outside, the stores and the log."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from saga_monitor.view import Status
from sagakit.decision import fold
from sandbox.simulation.node import CODEC
from sandbox.simulation.story import SKUS, Story
from sandbox.simulation.world import World
from services.inventory.decide import Phase as StockPhase
from services.payment.decide import Phase as PaymentPhase
from services.shipping.decide import Phase as ShipmentPhase

STOCK = 60
"""Units put in of each SKU."""


def violations(world: World, stories: list[Story]) -> list[str]:
    """What does not hold; empty when all is well."""
    found = [*_log(world), *_stock(world), *_rest(world)]
    for story in stories:
        found += [f"{story.order_id}: {said}" for said in _order(world, story)]
    return found


def _order(world: World, story: Story) -> Iterator[str]:
    seen = world.monitor.view(story.order_id)
    assert seen is not None
    payment = world.nodes["payment"].state(story.order_id)
    shipment = world.nodes["shipping"].state(story.order_id)
    stock = world.nodes["inventory"].state(story.order_id)
    charges = [c for c in world.outside.charges.values() if c.order_id == story.order_id]
    taken = [c for c in charges if c.status == "captured"]
    held_minor = sum(c.amount_minor - c.refunded_minor for c in taken)
    if len(taken) > 1:
        yield f"charged {len(taken)} times"
    if any(c.refunded_minor > c.amount_minor for c in charges):
        yield "refunded more than was charged"
    labels = [x for x in world.outside.labels.values() if x.order_id == story.order_id]
    if sum(x.status in ("created", "picked_up") for x in labels) > 1:
        yield "more than one label"
    gone = any(x.status == "picked_up" for x in labels)
    match seen.status:
        case Status.COMPLETED:
            if held_minor != story.facts.total_minor or not gone:
                yield f"completed, but {held_minor} held and parcel gone: {gone}"
            if stock.phase is not StockPhase.SHIPPED:
                yield f"completed, but its stock is {stock.phase}"
        case Status.CANCELLED:
            if held_minor or gone:
                yield f"cancelled, but {held_minor} held and parcel gone: {gone}"
            if stock.phase is StockPhase.RESERVED:
                yield "cancelled, but its stock is reserved"
        case Status.INTERVENTION if seen.interventions:
            pass
        case other:
            yield f"ended nowhere: {other}, awaited {[a.step for a in seen.awaited]}"
    if payment.phase is PaymentPhase.REFUNDED and held_minor:
        yield f"payment says refunded, the provider holds {held_minor}"
    if gone and held_minor == 0:
        yield "shipped after its refund"
    if shipment.phase is ShipmentPhase.CANCELLED and gone:
        yield "shipping says cancelled, the parcel is gone"


def _stock(world: World) -> Iterator[str]:
    reserved: Counter[str] = Counter()
    shipped: Counter[str] = Counter()
    inventory = world.nodes["inventory"]
    for key in inventory.database.tables.accounts:
        state = inventory.state(key)
        for line in state.lines:
            if state.phase is StockPhase.RESERVED:
                reserved[line.sku] += line.quantity
            elif state.phase is StockPhase.SHIPPED:
                shipped[line.sku] += line.quantity
    stock: Any = inventory.participant.store
    for sku in SKUS:
        level = stock.stock[sku]
        parts = level.on_hand + reserved[sku] + shipped[sku]
        if level.on_hand < 0 or parts != STOCK:
            yield f"{sku}: {level.on_hand} + {reserved[sku]} + {shipped[sku]} is not {STOCK}"
        if (level.reserved, level.shipped) != (reserved[sku], shipped[sku]):
            yield f"{sku}: {level} but the orders say {reserved[sku]} and {shipped[sku]}"


def _rest(world: World) -> Iterator[str]:
    for node in world.nodes.values():
        tables = node.database.tables
        if tables.outbox or tables.effects or tables.parked:
            left = (
                len(tables.outbox),
                len(tables.effects),
                [p.error for p in tables.parked.values()],
            )
            yield f"{node.name} has outbox, effects, parked left: {left}"


def _log(world: World) -> Iterator[str]:
    """No event lost or out of order; the states are the fold of the log."""
    seqs: dict[tuple[str, str], list[int]] = defaultdict(list)
    own: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for record in world.log.records():
        e = CODEC.decode(record)
        if e.seq is None:
            if e.event.type == "OrderPlaced":
                own["order", e.key].append(e.event)
            continue
        known = seqs[e.source, e.key]
        if e.seq == len(known) + 1:
            known.append(e.seq)
            own[e.source, e.key].append(e.event)
        elif e.seq > len(known) + 1:
            yield f"{e.source} {e.key}: event {e.seq} stands before {len(known) + 1}"
    for node in world.nodes.values():
        for key, account in node.database.tables.accounts.items():
            if account.sent != len(seqs[node.name, key]):
                told = len(seqs[node.name, key])
                yield f"{node.name} {key}: {account.sent} events decided, {told} in the log"
            if node.name in ("payment", "shipping", "notification"):
                folded = fold(
                    node.participant.evolve,
                    node.participant.store.load(None, {}).get("nobody"),  # type: ignore[arg-type]
                    tuple(own[node.name, key]),
                )
                if folded != node.state(key):
                    yield f"{node.name} {key}: the log folds to {folded}, not {node.state(key)}"
