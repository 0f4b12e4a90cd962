"""One order in a simulated world without faults, stopped at a moment of its life for people to do
something: real deciders, handlers, relays and a real monitor, on a virtual clock."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from saga_lab.simulation.fault_rates import FaultRates
from saga_lab.simulation.invariants import violations
from saga_lab.simulation.simulated_monitor import encode_emission
from saga_monitor.saga.commands import PauseCommand, pause_saga, resume_saga
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.view import SagaView
from sagakit.contract.platform import VerdictGiven
from sagakit.decider import Command
from schemas.events import OrderFacts, OrderLine
from services.order.decide import CANCEL, PLACE, CancelOrder, PlaceOrder
from shop.simulation import SIMULATION, OrderWorld
from shop.simulation.outside import Behaviour
from shop.simulation.participants import stores
from shop.simulation.story import SKUS, OrderStory

ORDER = "o1"
SAGA = "order/o1"
MOST_STEPS = 5_000
STOCK = 100
FACTS = OrderFacts(
    customer_id="c1",
    email="ada@customer.example",
    currency="EUR",
    total_minor=300,
    lines=(OrderLine(sku="apple", quantity=3, unit_price_minor=100),),
    card_token="tok",
    ship_to="1 Main Street",
)
DEAR = replace(
    FACTS,
    total_minor=300_000,
    lines=(OrderLine(sku="apple", quantity=3, unit_price_minor=100_000),),
)
NEVER_PICKED_UP = Behaviour(pickup=None)
WORDS = PauseCommand(saga=SAGA, actor="ada", reason="a question")


@dataclass
class OneOrder:
    """The world with its order, placed at the order API. `seed`: in which way it is played."""

    flow: str = "order/1"
    behaviour: Behaviour = field(default_factory=Behaviour)
    facts: OrderFacts = FACTS
    seed: int = 0

    def __post_init__(self) -> None:
        self.world = OrderWorld(SIMULATION, self.seed, stores())
        self.world.outside.trouble = 0.0
        self.world.drawn_rates = self.world.fault_rates = FaultRates(linger=0.5)
        self.world.outside.behaviours[SAGA] = self.behaviour
        self.world.outside.stock = STOCK
        for sku in SKUS:
            delivery = Command("restock", "keeper", "", {"sku": sku, "quantity": STOCK})
            self.world.submit_command("inventory", f"/sku:{sku}", delivery)
        self.until(lambda: not self.world.nodes["inventory"].unpublished(), "stock put in")
        placing = PlaceOrder(ORDER, self.facts, self.world.now)
        self.world.submit_command("order", SAGA, Command(PLACE, "customer", "", placing), self.flow)

    @property
    def events(self) -> list[Any]:
        """What the log says of the order, in its order."""
        envelopes = [e for e in self.world.log.envelopes() if e.key == SAGA]
        return [e.event for e in sorted(envelopes, key=lambda e: e.time)]

    @property
    def types(self) -> list[str]:
        """The same, by name."""
        return [event.type for event in self.events]

    def until(self, moment: Callable[[], bool], what: str) -> None:
        """Play up to a moment."""
        for _ in range(MOST_STEPS):
            if moment():
                return
            assert self.world.step(), f"the world came to rest before: {what}; {self.types}"
        raise AssertionError(f"not within {MOST_STEPS} steps: {what}; {self.types}")

    def until_published(self, event: str) -> None:
        """Play until an event is in the log."""
        self.until(lambda: event in self.types, event)

    def for_a(self, while_: timedelta) -> None:
        """Play for some time."""
        end = self.world.now + while_
        self.world.after(while_, lambda: None)
        self.until(lambda: self.world.now >= end, f"{while_} later")

    def cancel(self) -> bool:
        """At the order API; whether it says yes."""
        before = self.world.nodes["order"].state(SAGA)
        verdict = Command(CANCEL, "customer", "changed my mind", CancelOrder(ORDER))
        asked = self._sent("order")
        self.world.submit_command("order", SAGA, verdict)
        after = self.world.nodes["order"].state(SAGA)
        assert before.phase == after.phase
        return self._sent("order") > asked

    def _sent(self, participant: str) -> int:
        return self.world.nodes[participant].database.tables.inbox_rows[SAGA].sent

    def say(self, decide: Callable[[Saga, SagaView], Emission]) -> Emission:
        """What a person tells the monitor, as it knows the order now. Raises Refused."""
        monitor = self.world.monitor
        while monitor.behind():
            monitor.read()
        saga, seen = monitor.sagas[SAGA], self.seen
        emission = decide(saga, seen)
        if not emission.is_in(saga):
            now = self.world.now
            self.world.log.append(encode_emission(self.world.codec, emission, saga, now), now)
        return emission

    def pause(self) -> None:
        """A person pauses it, and everybody has read so."""
        self.say(lambda saga, seen: pause_saga(WORDS, saga, seen))
        self.for_a(timedelta(seconds=10))

    def resume(self) -> None:
        """A person lets it go on."""
        self.say(lambda saga, seen: resume_saga(WORDS, saga, seen))

    def approve(self) -> None:
        """Straight to the topic, without asking the monitor."""
        given = VerdictGiven(
            saga_id=ORDER, step="payment", verdict="approve", actor="bob", reason="known"
        )
        self.world.publish(given, SAGA, self.flow)

    @property
    def seen(self) -> SagaView:
        """As the monitor sees it."""
        found = self.world.monitor.view(SAGA)
        assert found is not None
        return found

    @property
    def taken_minor(self) -> int:
        """What the provider holds of the customer's money."""
        charges = self.world.outside.charges.values()
        return sum(c.amount_minor - c.refunded_minor for c in charges if c.status == "captured")

    def rest(self) -> None:
        """Play until nothing is left to happen; every invariant holds then."""
        for _ in range(MOST_STEPS):
            if not self.world.step():
                break
        assert not violations(SIMULATION, self.world, [self._story()])

    def _story(self) -> OrderStory:
        never = timedelta()
        return OrderStory(
            order_id=ORDER,
            flow=self.flow,
            facts=self.facts,
            behaviour=self.behaviour,
            entrance="order_api",
            place_after=never,
            twice=False,
            conflict=False,
            cancel_after=never,
            verdict=None,
            verdict_after=never,
            poisoned_after=never,
        )


def paid_while_paused(flow: str, seed: int) -> OneOrder:
    """Paused while the money is pending, which then comes in; what it makes due is held."""
    order = OneOrder(flow, Behaviour(charge="later", delay=timedelta(hours=1)), seed=seed)
    order.until_published("PaymentPending")
    order.pause()
    order.until_published("PaymentCaptured")
    order.for_a(timedelta(minutes=1))
    return order
