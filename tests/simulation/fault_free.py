"""Worlds in which nothing fails but what the test says, and orders nobody meddles with."""

import random
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from saga_lab.simulation.fault_rates import FaultRates
from saga_lab.simulation.runner import build_world
from saga_lab.simulation.world import START
from sagakit.decider import Command
from sagakit.messages.envelope import Envelope
from schemas import FLOWS
from schemas.events import OrderLine
from shop.simulation import SIMULATION, OrderWorld
from shop.simulation.outside import Behaviour
from shop.simulation.people import begin
from shop.simulation.story import SKUS, OrderStory, draw

MOST_STEPS = 200_000
STOCK = 100_000


def story(
    number: int, placed_at: datetime, behaviour: Behaviour, price_minor: int = 500, **changes: Any
) -> OrderStory:
    """An order for one thing; `changes`: of what people do."""
    drawn = draw(random.Random(f"calm:{number}"), number, FLOWS)
    line = OrderLine(sku=SKUS[number % len(SKUS)], quantity=1, unit_price_minor=price_minor)
    alone = {"twice": False, "conflict": False, "cancel_after": None, "verdict": None}
    return replace(
        drawn,
        facts=replace(
            drawn.facts, lines=(line,), total_minor=price_minor, currency="EUR", fraud_score=0.0
        ),
        behaviour=behaviour,
        place_after=placed_at - START,
        **{**alone, **changes},
    )


def calm_world(stories: Iterable[OrderStory]) -> OrderWorld:
    """A world in which these are about to begin, and there is enough of everything."""
    world, _ = build_world(SIMULATION, 0, (), without=[f.name for f in fields(FaultRates)])
    world.outside.stock += STOCK
    for sku in SKUS:
        delivery = Command("restock", "keeper", "", {"sku": sku, "quantity": STOCK})
        world.submit_command("inventory", f"/sku:{sku}", delivery)
    for one in stories:
        world.outside.behaviours[one.saga] = one.behaviour
        world.after(one.place_after, lambda s=one: begin(world, s))  # type: ignore[misc]
    return world


def stand_still(world: OrderWorld, participant: str, begins: timedelta, lasts: timedelta) -> None:
    """None of its processes does anything for a while."""

    def pause() -> None:
        for process in world.nodes[participant].processes:
            process.paused_until = world.now + lasts

    world.after(begins, pause)


def run(world: OrderWorld) -> None:
    """To its rest."""
    world.run(1, MOST_STEPS)


def events_of(world: OrderWorld, saga: str, *types: str) -> list[Envelope]:
    """Events of these types about an order, in log time."""
    return [e for e in world.log.envelopes() if e.key == saga and e.event.type in types]
