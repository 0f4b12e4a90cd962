"""What happens to one order: its content, how the outside treats it, what people do. All drawn from
the seed before anything runs."""

import random
from dataclasses import dataclass
from datetime import timedelta

from sandbox.simulation.outside import Behaviour
from schemas.events import OrderFacts, OrderLine

SKUS = ("apple", "pear", "quince")
CHARGES = ("captured",) * 8 + (
    "told_first",
    "declined",
    "action",
    "action_never",
    "later",
    "later",
    "later_declined",
    "late",
    "late",
)


@dataclass(frozen=True, slots=True)
class Story:
    """One order. `entrance`: front_door or outside (straight to the topic); `cancel_after` and
    `verdict_after`: what people do, and when; None: they do nothing."""

    order_id: str
    flow: str
    facts: OrderFacts
    behaviour: Behaviour
    entrance: str
    place_after: timedelta
    twice: bool
    conflict: bool
    cancel_after: timedelta | None
    verdict: str | None
    verdict_after: timedelta


def draw(rng: random.Random, number: int) -> Story:
    """A story for order `number`."""
    lines = tuple(
        OrderLine(sku=sku, quantity=rng.randint(1, 3), unit_price_minor=rng.randint(1, 900))
        for sku in rng.sample(SKUS, rng.randint(1, len(SKUS)))
    )
    if rng.random() < 0.1:
        lines = (OrderLine(sku="unicorn", quantity=1, unit_price_minor=5), *lines)
    dear = rng.random() < 0.15
    if dear:
        lines += (OrderLine(sku="apple", quantity=1, unit_price_minor=200_000),)
    total = sum(line.quantity * line.unit_price_minor for line in lines)
    if rng.random() < 0.04:
        total += 1
    facts = OrderFacts(
        customer_id=f"c{number % 3}",
        email=f"c{number}@example.com",
        currency=rng.choice(("EUR", "JPY", "USD")),
        total_minor=total,
        lines=lines,
        card_token="tok",
        ship_to="Main Street 1",
        fraud_score=rng.choice((0.0, 0.0, 0.0, 0.0, 0.9)),
    )
    return Story(
        order_id=f"o{number}",
        flow=rng.choice(("order/1", "order/2")),
        facts=facts,
        behaviour=_behaviour(rng),
        entrance=rng.choice(("front_door", "outside")),
        place_after=_soon(rng, 60),
        twice=rng.random() < 0.2,
        conflict=rng.random() < 0.1,
        cancel_after=_soon(rng, 120) if rng.random() < 0.25 else None,
        verdict=rng.choice(("approve", "approve", "reject", None)),
        verdict_after=_soon(rng, 300),
    )


def _behaviour(rng: random.Random) -> Behaviour:
    return Behaviour(
        charge=rng.choice(CHARGES),
        refund=rng.choice(("refunded", "refunded", "partial", "later")),
        label=rng.choice(("created",) * 8 + ("refused",)),
        mail=rng.choice(("accepted",) * 9 + ("refused",)),
        delay=timedelta(seconds=rng.choice((0.1, 5, 60, 3600, 86_400))),
        pickup=rng.choice((timedelta(), _soon(rng, 60), _soon(rng, 60), _soon(rng, 86_400), None)),
    )


def _soon(rng: random.Random, within_s: float) -> timedelta:
    return timedelta(milliseconds=rng.randint(0, int(within_s * 1000)))
