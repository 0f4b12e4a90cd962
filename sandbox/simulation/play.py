"""Play seeds: `play(seed)` gives a report; the same seed gives the same report."""

from dataclasses import dataclass, replace
from datetime import timedelta

from sagakit.decision import Verdict
from sagakit.memory import MemoryStore
from sagakit.ports import Participant
from sandbox.simulation.node import Chances
from sandbox.simulation.story import SKUS, Story, draw
from sandbox.simulation.verdict import STOCK, violations
from sandbox.simulation.world import World
from schemas.events import OrderPlaced, VerdictGiven
from services.inventory.service import participant as inventory
from services.inventory.store import MemoryInventoryStore
from services.notification.decide import Mailing
from services.notification.service import participant as notification
from services.order.decide import CANCEL, PLACE, Cancelling, Order, Placing
from services.order.service import participant as order
from services.payment.decide import Payment
from services.payment.service import participant as payment
from services.shipping.decide import Shipment
from services.shipping.service import participant as shipping

FAULTY_STEPS = 4_000
MOST_STEPS = 60_000


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a seed. `ends`: order id -> status."""

    seed: int
    steps: int
    crashes: int
    ends: dict[str, str]
    violations: list[str]


def stores() -> list[tuple[Participant, object]]:  # type: ignore[type-arg]
    """The participants with stores in memory."""
    return [
        (order(), MemoryStore(Order())),
        (inventory(), MemoryInventoryStore()),
        (payment(), MemoryStore(Payment())),
        (shipping(), MemoryStore(Shipment())),
        (notification(), MemoryStore(Mailing())),
    ]


def play(seed: int, orders: int = 6) -> Report:
    """One world, from placing to rest."""
    world, stories = stage(seed, orders)
    try:
        world.run(FAULTY_STEPS, MOST_STEPS)
        found = violations(world, stories)
    except RuntimeError as error:
        found = [str(error)]
    ends = {s.order_id: str(v.status) for s in stories if (v := world.monitor.view(s.order_id))}
    crashes = sum(node.crashes for node in world.nodes.values())
    return Report(seed, world.steps, crashes, ends, found)


def stage(seed: int, orders: int, *, people: bool = True) -> tuple[World, list[Story]]:
    """A world in which the stories are about to begin; without people nobody cancels, approves or
    places another order under a number that is taken."""
    world = World(seed, stores())  # type: ignore[arg-type]
    stories = [draw(world.rng, n) for n in range(orders)]
    if not people:
        stories = [replace(s, cancel_after=None, verdict=None, conflict=False) for s in stories]
    chances, world.chances = world.chances, Chances()  # the shelves are full before it begins
    for sku in SKUS:
        data = {"sku": sku, "quantity": STOCK}
        restock = Verdict("restock", "keeper", "delivery", data)
        world.told("inventory", f"sku:{sku}", restock)
    world.chances = chances
    for story in stories:
        world.outside.behaviours[story.order_id] = story.behaviour
        world.after(story.place_after, lambda s=story: _place(world, s))  # type: ignore[misc]
    return world, stories


def _place(world: World, story: Story) -> None:
    placed = OrderPlaced(order_id=story.order_id, order=story.facts, placed_at=world.now)
    times = 2 if story.twice else 1
    for n in range(times):
        if story.entrance == "outside":
            world.after(timedelta(seconds=n), lambda: _publish(world, placed, story.flow))
        else:
            data = Placing(story.order_id, story.facts, world.now)
            place = Verdict(PLACE, "customer", "", data)
            world.told("order", story.order_id, place, story.flow)
    if story.conflict:
        other = replace(story.facts, customer_id="somebody else")
        conflicting = OrderPlaced(order_id=story.order_id, order=other, placed_at=world.now)
        world.after(timedelta(seconds=5), lambda: _publish(world, conflicting, story.flow))
    if story.cancel_after is not None:
        cancel = Verdict(CANCEL, "customer", "changed my mind", Cancelling(story.order_id))
        world.after(story.cancel_after, lambda: world.told("order", story.order_id, cancel))
    if story.verdict is not None:
        given = VerdictGiven(
            order_id=story.order_id,
            step="payment",
            verdict=story.verdict,
            actor="reviewer",
            reason="looked at it",
        )
        world.after(story.verdict_after, lambda: _publish(world, given, story.flow))


def _publish(world: World, event: OrderPlaced | VerdictGiven, flow: str) -> None:
    world.publish(event, event.order_id, flow)
