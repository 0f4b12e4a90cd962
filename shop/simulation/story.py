"""Draws the plan of one order: its content, how the outside treats it, what people do.

Everything is drawn from the seed before the run starts.
"""

import random
from dataclasses import dataclass, replace
from datetime import timedelta

from sagakit.flow.model import Flows
from sagakit.identity import flow_name, saga_key
from schemas.events import OrderFacts, OrderLine
from schemas.rules import minor_digits
from shop.simulation.outside import Behaviour

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
    "part",
    "part_only",
    "part_later",
    "dispute_won",
    "dispute_lost",
)


@dataclass(frozen=True, slots=True)
class OrderStory:
    """Plans one order.

    `entrance`: order_api, outside (straight to the topic) or nameless (the same, and the events
    have no ids); `place_after`, `cancel_after`, `verdict_after`: when people act; None for
    `cancel_after` or `verdict`: they do not; `twice`: the order is placed a second time;
    `conflict`: another order is placed under its id; `paused`: when, and for how long;
    `poisoned_after`: delay from its placing until garbage arrives, if the `poison` fault hits.
    """

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
    poisoned_after: timedelta
    paused: tuple[timedelta, timedelta] | None = None

    @property
    def saga_id(self) -> str:
        """Return the saga's id."""
        return self.order_id

    @property
    def saga(self) -> str:
        """Return the saga key."""
        return saga_key(flow_name(self.flow), self.order_id)

    @property
    def benign(self) -> bool:
        """Return whether the order must complete when no fault hinders it."""
        good = ("captured", "told_first"), ("created",), ("accepted",)
        b = self.behaviour
        treated = all(x in ok for x, ok in zip((b.charge, b.label, b.mail), good, strict=True))
        facts = self.facts
        priced = sum(line.quantity * line.unit_price_minor for line in facts.lines)
        stocked = all(line.sku in SKUS for line in facts.lines)
        cheap = priced < 1000 * 10 ** minor_digits(facts.currency)
        plain = facts.total_minor == priced and cheap and facts.fraud_score < 0.5 and stocked
        left_alone = self.cancel_after is None and not self.conflict
        return treated and plain and left_alone and b.pickup is not None


def draw(rng: random.Random, number: int, flows: Flows) -> OrderStory:
    """Draw a story for order `number`, on any version of `flows`."""
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
        fraud_score=rng.choice((0.0, 0.0, 0.0, 0.0, 0.9, 1.0)),
    )
    return OrderStory(
        order_id=f"o{number}",
        flow=rng.choice([flow.label(v) for flow in flows for v in flow.versions]),
        facts=facts,
        behaviour=_disputed(_behaviour(rng)),
        entrance=rng.choice(("order_api", "outside", "nameless")),
        place_after=_soon(rng, 60),
        twice=rng.random() < 0.2,
        conflict=rng.random() < 0.1,
        cancel_after=_soon(rng, rng.choice((0.1, 1, 10, 120))) if rng.random() < 0.25 else None,
        verdict=rng.choice(("approve", "approve", "reject", None)),
        verdict_after=_soon(rng, 300),
        poisoned_after=_soon(rng, 120),
        paused=(_soon(rng, 120), _soon(rng, 86_400)) if rng.random() < 0.15 else None,
    )


def _behaviour(rng: random.Random) -> Behaviour:
    refund = rng.choice(("refunded", "refunded", "partial", "later", "forgotten", "failing"))
    pickup = rng.choice((timedelta(), _soon(rng, 60), _soon(rng, 60), _soon(rng, 86_400), None))
    careless = rng.random() < 0.25
    return Behaviour(
        charge=rng.choice(CHARGES),
        refund=refund,
        label=rng.choice(("created",) * 8 + ("refused",)),
        mail=rng.choice(("accepted",) * 9 + ("refused",)),
        delay=timedelta(seconds=rng.choice((0.1, 5, 60, 3600, 86_400))),
        pickup=pickup,
        careless=careless,
        # of a shipment that is never picked up whole, only a person can make an end
        parcels=1 if careless or pickup is None else rng.choice((1, 1, 2)),
    )


def _disputed(behaviour: Behaviour) -> Behaviour:
    """Let the refunds of some orders be refused for good.

    Drawn from the behaviour itself, so that all other draws stay as they are.
    """
    refused = random.Random(repr(behaviour)).random() < 0.05
    return replace(behaviour, refund="refused") if refused else behaviour


def _soon(rng: random.Random, within_s: float) -> timedelta:
    return timedelta(milliseconds=rng.randint(0, int(within_s * 1000)))
