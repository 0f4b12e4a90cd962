"""Implements the interface of a simulation for the order application."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from saga_lab.simulation.interface import Simulation
from saga_lab.simulation.outside import Later
from saga_lab.simulation.world import World
from sagakit.contract.model import Contract
from sagakit.decider import Command
from sagakit.flow.model import Flows
from sagakit.identity import saga_key
from sagakit.store.ports import Participant, Store
from schemas import CONTRACT
from services.payment.service import too_early
from services.shipping.decide import awaits_label
from shop.simulation import participants
from shop.simulation.outside import ShopOutside
from shop.simulation.people import begin
from shop.simulation.story import SKUS, OrderStory, draw
from shop.simulation.violations import violations

STOCKS = (4, 8, 60, 60)
"""Units of each SKU, delivered in two halves. The smaller values are too few for some runs."""


class OrderSimulation(Simulation[ShopOutside, OrderStory]):
    """Plays orders of every kind, and deliveries of stock.

    Without people stock is ample and nobody cancels, approves, pauses, places another order under a
    number that is taken, picks up a cancelled parcel or forgets to call back.
    """

    direct = ("inventory", "order", "fraud", "loyalty")
    folded = ("payment", "shipping", "notification", "fraud", "loyalty")

    @property
    def contract(self) -> Contract:
        """The order application's contract."""
        return CONTRACT

    def participants(self) -> Sequence[tuple[Participant[Any], Store[Any]]]:
        """Return the participants, each with a new store in memory."""
        return participants.stores()

    def outside(self, rng: random.Random, later: Later, trouble: float) -> ShopOutside:
        """Return a new provider, carrier and mail server."""
        return ShopOutside(rng, later, trouble)

    def stories(
        self, seed: int, numbers: Iterable[int], flows: Flows, *, people: bool
    ) -> Sequence[OrderStory]:
        """Draw the orders of a seed; in half of the seeds almost all come at once."""
        stories = [draw(random.Random(f"{seed}:story:{n}"), n, flows) for n in numbers]
        if random.Random(f"{seed}:rush").random() < 0.5:
            stories = [replace(s, place_after=s.place_after / 1000) for s in stories]
        return stories if people else [_without_people(story) for story in stories]

    def prepare(
        self, world: World[ShopOutside], seed: int, stories: Sequence[OrderStory], *, people: bool
    ) -> None:
        """Deliver stock in two halves."""
        for story in stories:
            world.outside.behaviours[story.saga] = story.behaviour
        stock = random.Random(f"{seed}:stock").choice(STOCKS) if people else max(STOCKS)
        world.outside.stock = stock
        for sku in SKUS:
            data = {"sku": sku, "quantity": stock // 2}
            first, second = (Command("restock", "keeper", "delivery", data) for _ in range(2))
            _restock(world, sku, first)
            later = timedelta(seconds=world.rng.choice((0.03, 30)))
            world.after(later, lambda k=sku, v=second: _restock(world, k, v))  # type: ignore[misc]

    def begin(self, world: World[ShopOutside], story: OrderStory) -> None:
        """Place an order, and schedule what people do to it."""
        begin(world, story)

    def webhook_too_early(self, participant: str, state: Any, report: Any) -> bool:
        """Return whether the label or the charge that a webhook tells of is not known yet."""
        if participant == "shipping":
            return awaits_label(state)
        return too_early(state, report) is not None

    def wrong_store(self, participant: str, store: Any) -> str:
        """Return the SKU whose stock is negative, if any."""
        wrong = ""
        for sku, level in getattr(store, "stock", {}).items():
            if min(level.on_hand, level.reserved) < 0:
                wrong = f"{sku}: {level}"
        return wrong

    def violations(self, world: World[ShopOutside], stories: Sequence[OrderStory]) -> Iterable[str]:
        """Return what is wrong with money, stock, parcels and mails at the end of a run."""
        return violations(world, stories)


def _without_people(story: OrderStory) -> OrderStory:
    refund = "later" if story.behaviour.refund == "forgotten" else story.behaviour.refund
    behaviour = replace(story.behaviour, careless=False, refund=refund)
    calm = replace(story, cancel_after=None, verdict=None, conflict=False, paused=None)
    return replace(calm, behaviour=behaviour)


def _restock(world: World[ShopOutside], sku: str, delivery: Command) -> None:
    world.submit_command("inventory", saga_key("", f"sku:{sku}"), delivery)
