"""Checks orders, money, stock, parcels and mails in a world that has nothing left to do."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from saga_lab.simulation.world import World
from saga_monitor.saga.view import CONSERVATION, UNDONE_PAST_PIVOT, SagaView, Status
from schemas.events import PaymentRefunded, ShipmentCreated, ShipmentPickedUp
from services.inventory.decide import Phase as StockPhase
from services.notification.decide import MailKind
from services.payment.ledger import Phase as PaymentPhase
from services.shipping.decide import Phase as ShipmentPhase
from shop.simulation.outside import ShopOutside
from shop.simulation.story import SKUS, OrderStory

MOST_WANTED = 4
"""Most units of one SKU that an order can ask for."""


def violations(world: World[ShopOutside], stories: Sequence[OrderStory]) -> Iterator[str]:
    """Yield what is wrong, one line each."""
    yield from _stock(world)
    for story in stories:
        yield from (f"{story.saga}: {violation}" for violation in _order(world, story))


def _order(world: World[ShopOutside], story: OrderStory) -> Iterator[str]:
    seen = world.monitor.view(story.saga)
    payment = world.nodes["payment"].state(story.saga)
    shipment = world.nodes["shipping"].state(story.saga)
    stock = world.nodes["inventory"].state(story.saga)
    charges = [c for c in world.outside.charges.values() if c.saga == story.saga]
    taken = [c for c in charges if c.status == "captured"]
    held_minor = sum(c.held_minor for c in taken)
    lost_minor = sum(c.lost_minor for c in taken)
    if len(taken) > 1:
        yield f"charged {len(taken)} times"
    if any(c.refunded_minor > c.captured_minor for c in charges):
        yield "refunded more than was charged"
    labels = [x for x in world.outside.labels.values() if x.saga == story.saga]
    if sum(x.status in ("created", "picked_up") for x in labels) > 1:
        yield "more than one label"
    gone = any(x.status == "picked_up" for x in labels)
    match seen.status:
        case Status.COMPLETED:
            if held_minor + lost_minor != story.facts.total_minor or not gone:
                yield f"completed, but {held_minor} held and parcel gone: {gone}"
            if stock.phase is not StockPhase.SHIPPED:
                yield f"completed, but its stock is {stock.phase}"
        case Status.CANCELLED:
            kept = _kept_for_good(story, seen)
            if (held_minor and not kept) or gone:
                yield f"cancelled, but {held_minor} held and parcel gone: {gone}"
            if stock.phase is StockPhase.RESERVED:
                yield "cancelled, but its stock is reserved"
        case Status.INTERVENTION if _for_a_person(story, seen.open_interventions, gone):
            return
        case other:
            yield f"ended nowhere: {other}, awaited {[a.step for a in seen.awaited]}"
    if story.benign and not _may_be_hindered(world, story) and seen.status is not Status.COMPLETED:
        yield f"{seen.status}, though nothing went wrong"
    known = [(c.captured_minor, c.returned_minor, c.lost_minor) for c in payment.charges]
    if known != [(c.captured_minor, c.refunded_minor, c.lost_minor) for c in taken]:
        yield f"payment knows of {known}, the provider of {taken}"
    known_minor = sum(row.held for row in seen.balances if row.name == "money")
    if known_minor != held_minor:
        yield f"the monitor knows of {seen.balances}, the provider holds {held_minor}"
    mails = Counter(world.outside.mails.values())
    if any(n > 1 for (saga, _), n in mails.items() if saga == story.saga):
        yield "more than one mail of a kind"
    if unsent := _mails_due(world, story) - world.nodes["notification"].state(story.saga).sent:
        yield f"mails never sent: {sorted(unsent)}"
    if (
        payment.phase is PaymentPhase.REFUNDED
        and held_minor
        and story.behaviour.refund != "refused"
    ):
        yield f"payment says refunded, the provider holds {held_minor}"
    if gone and held_minor + lost_minor == 0:
        yield "shipped after its refund"
    if shipment.phase is ShipmentPhase.CANCELLED and gone:
        yield "shipping says cancelled, the parcel is gone"


def _mails_due(world: World[ShopOutside], story: OrderStory) -> set[MailKind]:
    """Return the kinds of mail that the log makes due."""
    due: set[MailKind] = set()
    for envelope in world.log.envelopes():
        match envelope.event:
            case _ if envelope.key != story.saga:
                continue
            case ShipmentPickedUp():
                due.add(MailKind.SHIPPED)
            case PaymentRefunded(amount_minor=amount_minor, email=str()) if amount_minor > 0:
                due.add(MailKind.REFUNDED)
            case ShipmentCreated():
                due.add(MailKind.CONFIRMED)
    if MailKind.CANCELLED in world.nodes["notification"].state(story.saga).sent:
        due.discard(MailKind.CONFIRMED)  # perhaps cancelled before it was read
    return due


def _may_be_hindered(world: World[ShopOutside], story: OrderStory) -> bool:
    """Return whether stock may have run short, or a monitor emitted an event for the order."""
    emitted = {saga for monitor in world.monitors for saga, _, _ in monitor.emissions}
    short = world.outside.stock // 2 < MOST_WANTED * len(world.outside.behaviours)
    return short or story.saga in emitted


def _for_a_person(story: OrderStory, interventions: tuple[str, ...], gone: bool) -> bool:
    """Return whether only a person can settle the order.

    The single such case: the carrier picked up a parcel whose cancellation it had accepted.
    """
    return story.behaviour.careless and gone and UNDONE_PAST_PIVOT in interventions


def _kept_for_good(story: OrderStory, seen: SagaView) -> bool:
    """Return whether the provider refuses the refund, and a person is told of it, or will be."""
    noticed = CONSERVATION in seen.open_interventions or seen.imbalances
    return story.behaviour.refund == "refused" and bool(noticed)


def _stock(world: World[ShopOutside]) -> Iterator[str]:
    reserved: Counter[str] = Counter()
    shipped: Counter[str] = Counter()
    inventory = world.nodes["inventory"]
    for key in inventory.database.tables.inbox_rows:
        state = inventory.state(key)
        for line in state.lines:
            if state.phase is StockPhase.RESERVED:
                reserved[line.sku] += line.quantity
            elif state.phase is StockPhase.SHIPPED:
                shipped[line.sku] += line.quantity
    stock: Any = inventory.participant.store
    put_in = world.outside.stock
    for sku in SKUS:
        level = stock.stock[sku]
        parts = level.on_hand + reserved[sku] + shipped[sku]
        if level.on_hand < 0 or parts != put_in:
            yield f"{sku}: {level.on_hand} + {reserved[sku]} + {shipped[sku]} is not {put_in}"
        if (level.reserved, level.shipped) != (reserved[sku], shipped[sku]):
            yield f"{sku}: {level} but the orders say {reserved[sku]} and {shipped[sku]}"
