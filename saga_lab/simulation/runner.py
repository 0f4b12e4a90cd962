"""Runs seeds: `run_seed(seed)` returns a report, and the same seed returns the same report."""

import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from saga_lab.simulation.fault_rates import FaultRates
from saga_lab.simulation.invariants import violations
from saga_lab.simulation.story import SKUS, Story, draw
from saga_lab.simulation.world import World
from sagakit.contract.model import saga_id_of
from sagakit.contract.platform import SagaPaused, VerdictGiven
from sagakit.decider import Command
from sagakit.flow.model import Flows
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from schemas import FLOWS
from schemas.events import OrderPlaced
from services.fraud.decide import Screening
from services.fraud.service import participant as fraud
from services.inventory.service import participant as inventory
from services.inventory.store import MemoryInventoryStore
from services.loyalty.decide import Points
from services.loyalty.service import participant as loyalty
from services.notification.decide import Mailing
from services.notification.service import participant as notification
from services.order.decide import CANCEL, PLACE, CancelOrder, Order, PlaceOrder
from services.order.service import participant as order
from services.payment.ledger import Payment
from services.payment.service import participant as payment
from services.shipping.decide import Shipment
from services.shipping.service import participant as shipping

FAULTY_STEPS = 4_000
MOST_STEPS = 20_000
STOCKS = (4, 8, 60, 60)
"""Units of each SKU, delivered in two halves. The smaller values are too few for some runs."""


@dataclass(frozen=True, slots=True)
class SeedReport:
    """Reports the run of one seed. `ends`: order id -> status; `faults`: fault -> hits."""

    seed: int
    steps: int
    crashes: int
    ends: dict[str, str]
    violations: list[str]
    faults: dict[str, int]


def stores() -> list[tuple[Participant, object]]:  # type: ignore[type-arg]
    """Return the participants with stores in memory."""
    return [
        (order(), MemoryStore(Order())),
        (inventory(), MemoryInventoryStore()),
        (payment(), MemoryStore(Payment())),
        (shipping(), MemoryStore(Shipment())),
        (notification(), MemoryStore(Mailing())),
        (fraud(), MemoryStore(Screening())),
        (loyalty(), MemoryStore(Points())),
    ]


def run_seed(
    seed: int,
    orders: int | Collection[int] = 6,
    *,
    without: Collection[str] = (),
    schedule: int = 0,
) -> SeedReport:
    """Run one world until nothing is left to do; the arguments are those of `build_world`."""
    world, stories = build_world(seed, orders, without=without, schedule=schedule)
    found = run_world(world, stories)
    ends = {s.order_id: str(v.status) for s in stories if (v := world.monitor.view(s.order_id))}
    crashes = sum(node.crashes for node in world.nodes.values())
    faults = {fault: n for fault, n in world.hits.items() if n}
    return SeedReport(seed, world.steps, crashes, ends, found, faults)


def run_world(world: World, stories: list[Story]) -> list[str]:
    """Run a world until nothing is left to do and return the violations.

    An exception is a violation too: no input may kill a service.
    """
    try:
        world.run(FAULTY_STEPS, MOST_STEPS)
        return violations(world, stories)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def build_world(
    seed: int,
    orders: int | Collection[int],
    *,
    people: bool = True,
    without: Collection[str] = (),
    schedule: int = 0,
    flows: Flows = FLOWS,
) -> tuple[World, list[Story]]:
    """Build a world with all its stories scheduled, ready to run.

    `orders`: how many, or the numbers of the orders to play. `without`, `schedule`, `flows`: see
    `World`. Without `people` stock is ample and nobody cancels, approves, pauses, places another
    order under a number that is taken, picks up a cancelled parcel or forgets to call back.
    """
    world = World(seed, stores(), without, schedule, flows)  # type: ignore[arg-type]
    numbers = range(orders) if isinstance(orders, int) else sorted(orders)
    stories = [draw(random.Random(f"{seed}:story:{n}"), n, flows) for n in numbers]
    if random.Random(f"{seed}:rush").random() < 0.5:  # almost all at once: a rush
        stories = [replace(s, place_after=s.place_after / 1000) for s in stories]
    if not people:
        stories = [_without_people(story) for story in stories]
    fault_rates, world.fault_rates = (
        world.fault_rates,
        FaultRates(),
    )  # no faults in the first delivery
    world.stock = random.Random(f"{seed}:stock").choice(STOCKS) if people else max(STOCKS)
    for sku in SKUS:
        data = {"sku": sku, "quantity": world.stock // 2}
        first, second = (Command("restock", "keeper", "delivery", data) for _ in range(2))
        world.submit_command("inventory", f"sku:{sku}", first)
        later = timedelta(seconds=world.rng.choice((0.03, 30)))
        world.after(later, lambda k=sku, v=second: _restock(world, k, v))  # type: ignore[misc]
    world.fault_rates = fault_rates
    for story in stories:
        world.outside.behaviours[story.order_id] = story.behaviour
        world.after(story.place_after, lambda s=story: begin(world, s))  # type: ignore[misc]
        poison_at = story.place_after + story.poisoned_after
        world.after(poison_at, lambda s=story: world.operator.maybe_inject_bad_record(s.order_id))  # type: ignore[misc]
    return world, stories


def _without_people(story: Story) -> Story:
    refund = "later" if story.behaviour.refund == "forgotten" else story.behaviour.refund
    behaviour = replace(story.behaviour, careless=False, refund=refund)
    calm = replace(story, cancel_after=None, verdict=None, conflict=False, paused=None)
    return replace(calm, behaviour=behaviour)


def _restock(world: World, sku: str, delivery: Command) -> None:
    world.submit_command("inventory", f"sku:{sku}", delivery)


def begin(world: World, story: Story) -> None:
    """Place the order of a story and schedule what people do to it."""
    placed = OrderPlaced(order_id=story.order_id, order=story.facts, placed_at=world.now)
    named = story.entrance != "nameless"

    def publish(event: OrderPlaced | VerdictGiven) -> None:
        world.publish(event, saga_id_of(event), story.flow, named=named)

    for n in range(2 if story.twice else 1):
        if story.entrance == "order_api":
            data = PlaceOrder(story.order_id, story.facts, world.now)
            place = Command(PLACE, "customer", "", data)
            world.submit_command("order", story.order_id, place, story.flow)
        else:
            world.after(timedelta(seconds=n), lambda: publish(placed))
    if story.conflict:
        other = replace(story.facts, customer_id="somebody else")
        conflicting = OrderPlaced(order_id=story.order_id, order=other, placed_at=world.now)
        world.after(timedelta(seconds=5), lambda: publish(conflicting))
    if story.cancel_after is not None:
        cancel = Command(CANCEL, "customer", "changed my mind", CancelOrder(story.order_id))
        world.after(
            story.cancel_after, lambda: world.submit_command("order", story.order_id, cancel)
        )
    if story.verdict is not None:
        given = VerdictGiven(
            saga_id=story.order_id,
            step="payment",
            verdict=story.verdict,
            actor="reviewer",
            reason="looked at it",
        )
        world.after(story.verdict_after, lambda: publish(given))
    if story.paused is not None:
        paused = SagaPaused(saga_id=story.order_id, actor="ada", reason="a question")
        world.after(story.paused[0], lambda: world.publish(paused, story.order_id, story.flow))
        through = sum(story.paused, timedelta())
        world.after(through, lambda: world.operator.resume(story.order_id))
