"""Checks the invariants in a world that has nothing left to do.

They are listed in docs/explanation/reliability.md (What is checked).

Each is read from the ledgers of the outside, the stores and the log.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from saga_lab.simulation.simulated_monitor import UNITS, view_of
from saga_lab.simulation.story import SKUS, Story
from saga_lab.simulation.world import World
from saga_monitor.ingest.projection import fact_of
from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.facts import fold as gather
from saga_monitor.saga.view import UNDONE_PAST_PIVOT, SagaView, Status
from sagakit.contract.model import saga_id_of
from sagakit.decider import fold
from sagakit.messages.envelope import Envelope, derive_id
from schemas.events import PaymentRefunded, ShipmentCreated, ShipmentPickedUp
from services.inventory.decide import Phase as StockPhase
from services.notification.decide import MailKind
from services.payment.ledger import Phase as PaymentPhase
from services.shipping.decide import Phase as ShipmentPhase

MOST_WANTED = 4
"""Most units of one SKU that an order can ask for."""
DIRECT = ("inventory", "order", "fraud", "loyalty")
"""Participants without effects: their event ids derive directly from the cause's id."""
JUST_AFTER = timedelta(milliseconds=1)


def violations(world: World, stories: list[Story]) -> list[str]:
    """Return the violated invariants, one line each; empty when all hold."""
    if found := world.found():
        return found
    found = [*_log(world), *_stock(world), *_unfinished_work(world), *_unfounded_emissions(world)]
    for story in stories:
        found += [f"{story.order_id}: {violation}" for violation in _order(world, story)]
    return found


def _order(world: World, story: Story) -> Iterator[str]:
    seen = world.monitor.view(story.order_id)
    assert seen is not None
    flows = {e.trace.flow for e in world.log.envelopes() if e.key == story.order_id}
    if flows - {None, story.flow}:
        yield f"began on {story.flow}, and events of it say {sorted(filter(None, flows))}"
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
        case Status.INTERVENTION if _for_a_person(story, seen.open_interventions, gone):
            return
        case other:
            yield f"ended nowhere: {other}, awaited {[a.step for a in seen.awaited]}"
    if story.benign and not _may_be_hindered(world, story) and seen.status is not Status.COMPLETED:
        yield f"{seen.status}, though nothing went wrong"
    known = [(c.captured_minor, c.refunded_minor) for c in payment.charges]
    if known != [(c.amount_minor, c.refunded_minor) for c in taken]:
        yield f"payment knows of {known}, the provider of {taken}"
    if seen.ledger.held_minor != held_minor:
        yield f"the monitor knows of {seen.ledger}, the provider holds {held_minor}"
    mails = Counter(world.outside.mails.values())
    if any(n > 1 for (order_id, _), n in mails.items() if order_id == story.order_id):
        yield "more than one mail of a kind"
    if unsent := _mails_due(world, story) - world.nodes["notification"].state(story.order_id).sent:
        yield f"mails never sent: {sorted(unsent)}"
    if payment.phase is PaymentPhase.REFUNDED and held_minor:
        yield f"payment says refunded, the provider holds {held_minor}"
    if gone and held_minor == 0:
        yield "shipped after its refund"
    if shipment.phase is ShipmentPhase.CANCELLED and gone:
        yield "shipping says cancelled, the parcel is gone"


def _mails_due(world: World, story: Story) -> set[MailKind]:
    """Return the kinds of mail that the log makes due."""
    due: set[MailKind] = set()
    for envelope in world.log.envelopes():
        match envelope.event:
            case _ if envelope.key != story.order_id:
                continue
            case ShipmentPickedUp():
                due.add(MailKind.SHIPPED)
            case PaymentRefunded(amount_minor=amount_minor, email=str()) if amount_minor > 0:
                due.add(MailKind.REFUNDED)
            case ShipmentCreated():
                due.add(MailKind.CONFIRMED)
    if MailKind.CANCELLED in world.nodes["notification"].state(story.order_id).sent:
        due.discard(MailKind.CONFIRMED)  # perhaps cancelled before it was read
    return due


def _may_be_hindered(world: World, story: Story) -> bool:
    """Return whether stock may have run short, or a monitor emitted an event for the order."""
    emitted = [emission.event for monitor in world.monitors for emission, _ in monitor.emissions]
    short = world.stock // 2 < MOST_WANTED * len(world.outside.behaviours)
    return short or any(saga_id_of(event) == story.order_id for event in emitted)


def _for_a_person(story: Story, interventions: tuple[str, ...], gone: bool) -> bool:
    """Return whether only a person can settle the order.

    The single such case: the carrier picked up a parcel whose cancellation it had accepted.
    """
    return story.behaviour.careless and gone and UNDONE_PAST_PIVOT in interventions


def _stock(world: World) -> Iterator[str]:
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
    for sku in SKUS:
        level = stock.stock[sku]
        parts = level.on_hand + reserved[sku] + shipped[sku]
        if level.on_hand < 0 or parts != world.stock:
            yield f"{sku}: {level.on_hand} + {reserved[sku]} + {shipped[sku]} is not {world.stock}"
        if (level.reserved, level.shipped) != (reserved[sku], shipped[sku]):
            yield f"{sku}: {level} but the orders say {reserved[sku]} and {shipped[sku]}"


def _unfinished_work(world: World) -> Iterator[str]:
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
    """Yield events lost or out of order, and states that are not the fold of the log."""
    known: dict[tuple[str, str], dict[int, Envelope]] = defaultdict(dict)
    for envelope in world.log.envelopes():
        if envelope.seq is None:
            continue
        mine = known[envelope.source, envelope.key]
        if envelope.seq > len(mine) + 1 and not world.drawn_rates.disorder:
            at = f"{envelope.source} {envelope.key}"
            yield f"{at}: event {envelope.seq} is before {len(mine) + 1}"
        if mine.setdefault(envelope.seq, envelope).id != envelope.id:
            yield f"{envelope.source} {envelope.key}: two events number {envelope.seq}"
        if envelope.source in DIRECT and not _derived(envelope):
            yield f"{envelope.source} {envelope.key}: the id of event {envelope.seq} is not derived"
    for node in world.nodes.values():
        for key, inbox_row in node.database.tables.inbox_rows.items():
            own = known[node.name, key]
            if sorted(own) != list(range(1, inbox_row.sent + 1)):
                decided = f"{inbox_row.sent} events decided"
                yield f"{node.name} {key}: {decided}, {sorted(own)} in the log"
            if node.name not in ("inventory", "order"):
                folded = fold(
                    node.participant.evolve,
                    node.participant.store.load(None, {}).get("nobody"),  # type: ignore[arg-type]
                    tuple(own[n].event for n in sorted(own)),
                )
                if folded != node.state(key):
                    yield f"{node.name} {key}: the log folds to {folded}, not {node.state(key)}"


def _derived(envelope: Envelope) -> bool:
    """Return whether the id derives from the cause, so that a replay repeats it."""
    assert envelope.causation is not None
    return any(
        envelope.id == derive_id(envelope.causation, envelope.event.type, n) for n in range(5)
    )


def _rightful_ids(saga: Saga, seen: SagaView, read_through: datetime) -> Iterator[UUID]:
    """Yield the ids that a monitor could rightly emit when it had read up to `read_through`.

    `due_emissions` acts on one awaited step at a time, so each of the parallel ones is also tried
    alone.
    """
    for awaited in (seen.awaited, *((item,) for item in seen.awaited)):
        yield from (e.id for e in due_emissions(saga, replace(seen, awaited=awaited), read_through))


def _unfounded_emissions(world: World) -> Iterator[str]:
    """Yield where a monitor differs from the log or emitted before a deadline passed in the log."""
    facts: dict[str, list[Any]] = defaultdict(list)
    for envelope in world.log.envelopes():
        facts[envelope.key].append(fact_of(envelope, UNITS))
    for monitor in world.monitors:
        for key, saga in monitor.sagas.items():
            if saga != gather(Saga(key), *facts[key]):
                yield f"{key}: a monitor folded something else than the log"
        for emission, due in monitor.emissions:
            key = saga_id_of(emission.event)
            emitted_at = min((f.at for f in facts[key] if f.id == str(emission.id)), default=due)
            # Facts up to the deadline count, and later ones of two kinds: other interventions,
            # which only change who is still to be called, and verdict requests made before the
            # emission, since people are asked in turn, however late.
            known = [
                f
                for f in facts[key]
                if f.at <= due
                or (f.type == "InterventionOpened" and f.id != str(emission.id))
                or (f.type == "VerdictRequested" and f.at < emitted_at)
            ]
            by_then = gather(Saga(key), *known)
            seen = view_of(by_then, world.flows)
            if seen and seen.undoing:
                continue  # a repeated request is harmless
            if seen is None or emission.id not in set(
                _rightful_ids(by_then, seen, due + JUST_AFTER)
            ):
                yield f"{key}: {emission.event} was said of what had not passed at {due}"
