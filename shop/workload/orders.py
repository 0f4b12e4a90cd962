"""Builds orders from a number: the same seed and number give the same order. Pure."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from saga_lab.workload import End, Entrance, mixed
from schemas import FLOWS
from schemas.events import OrderFacts, OrderLine
from shop.workload.kinds import KINDS, Basket, DuplicateContent, OrderKind

HOT_SKU = "TEA-100"
"""In about every second basket, so that orders contend for the lock on its stock row."""
SKUS = (HOT_SKU, *(f"TEA-{n}" for n in range(101, 112)))
DEAR_SKU, SOLD_OUT_SKU = "SAMOVAR-1", "TEA-SOLD-OUT"
FLOW_LABELS = tuple(flow.label(version) for flow in FLOWS for version in flow.versions)
# Prices keep an ordinary basket below 1000 major units; above that a person has to review it.
PRICES_MINOR: Mapping[str, tuple[int, int]] = {
    "EUR": (300, 2500),
    "USD": (300, 2500),
    "JPY": (10, 40),  # no minor unit
    "KWD": (300, 2500),  # 1000 minor units
}
DEAR_MINOR = 250_000  # 2500.00, in a currency with cents


@dataclass(frozen=True, slots=True)
class ShopOrder:
    """Describes an order to place. `second`: other facts to place under the same id, if any."""

    order_id: str
    kind: OrderKind
    entrance: Entrance
    flow: str
    facts: OrderFacts
    second: OrderFacts | None = None

    @property
    def saga_id(self) -> str:
        """Return the order's id, which is its saga's."""
        return self.order_id

    @property
    def end(self) -> End:
        """Return the expected end.

        Over Kafka nobody refuses an invalid order, so the participants fail and cancel it.
        """
        if self.kind.invalid and self.entrance is Entrance.KAFKA:
            return End.CANCELLED
        return self.kind.end


class Shop:
    """Builds the orders of one run. `run` makes their ids unique, `seed` chooses their content."""

    def __init__(self, run: str, seed: int = 0, kinds: Sequence[OrderKind] = KINDS) -> None:
        self._run, self._seed = run, seed
        self._round = mixed(kinds)

    def orders(self, count: int) -> list[ShopOrder]:
        """Return the first `count` orders."""
        return [self.order(number) for number in range(count)]

    def order(self, number: int) -> ShopOrder:
        """Build order number `number`, counted from 0.

        In twice as many rounds as there are flow versions, each place of the round meets both
        entrances under each version.
        """
        turn, place = divmod(number, len(self._round))
        kind = self._round[place]
        entrance = tuple(Entrance)[(turn + place) % 2]
        flow = FLOW_LABELS[(turn // 2 + place // 2) % len(FLOW_LABELS)]
        order_id = f"{self._run}-{number:05d}-{kind.name}"
        facts = self._facts(number, order_id, kind)
        return ShopOrder(order_id, kind, entrance, flow, facts, _second(kind, facts))

    def _facts(self, number: int, order_id: str, kind: OrderKind) -> OrderFacts:
        chance = random.Random(f"{self._seed}/{number}")
        currency = "EUR" if kind.basket is Basket.DEAR else chance.choice(list(PRICES_MINOR))
        lines = _basket(kind.basket, PRICES_MINOR[currency], chance)
        return OrderFacts(
            customer_id=f"c-{chance.randrange(1000):04d}",
            email=f"{kind.mailbox}{order_id}@customer.example",
            currency=kind.currency or currency,
            total_minor=sum(line.quantity * line.unit_price_minor for line in lines),
            lines=lines,
            card_token=kind.card,
            ship_to=f"{chance.randrange(1, 200)} Main Street, Springfield {kind.tags}".rstrip(),
            fraud_score=kind.fraud_score,
            loyalty_card=f"L-{number % 100:04d}" if number % 4 else None,
        )


def stock_for(orders: Sequence[ShopOrder]) -> dict[str, int]:
    """Return units by SKU that cover all valid orders even if nothing is ever released.

    The sold-out SKU gets none.
    """
    wanted = Counter[str]()
    for order in orders:
        if not order.kind.invalid:
            for line in order.facts.lines:
                wanted[line.sku] += line.quantity
    del wanted[SOLD_OUT_SKU]
    return dict(wanted)


def _basket(
    basket: Basket, prices_minor: tuple[int, int], chance: random.Random
) -> tuple[OrderLine, ...]:
    def line(sku: str, quantity: int) -> OrderLine:
        return OrderLine(sku=sku, quantity=quantity, unit_price_minor=chance.randint(*prices_minor))

    few = [line(HOT_SKU, chance.randint(1, 3))] if chance.random() < 0.5 else []
    few += [
        line(sku, chance.randint(1, 3)) for sku in chance.sample(SKUS[1:], chance.randint(1, 2))
    ]
    match basket:
        case Basket.FEW:
            return tuple(few)
        case Basket.MANY:
            return tuple(line(sku, chance.randint(1, 3)) for sku in chance.sample(SKUS, 8))
        case Basket.DEAR:
            return (OrderLine(sku=DEAR_SKU, quantity=1, unit_price_minor=DEAR_MINOR),)
        case Basket.SOLD_OUT:
            return (*few, line(SOLD_OUT_SKU, 1))
        case Basket.EMPTY:
            return ()
        case Basket.NEGATIVE:
            return (line(HOT_SKU, -1),)
        case Basket.OVERFLOW:
            return (OrderLine(sku=HOT_SKU, quantity=10**6, unit_price_minor=10**9),)


def _second(kind: OrderKind, facts: OrderFacts) -> OrderFacts | None:
    match kind.second:
        case DuplicateContent.SAME:
            return facts
        case DuplicateContent.OTHER:
            return replace(facts, customer_id=f"{facts.customer_id}-other")
    return None
