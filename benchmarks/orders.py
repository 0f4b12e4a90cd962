"""Makes the same orders for every contender.

90 % complete. In 5 % the card is declined and the order is undone. In 5 % a unit is out of stock.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from saga_lab.workload import End
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow
from shop.workload import Shop, ShopOrder
from shop.workload.kinds import Basket, OrderKind
from shop.workload.orders import FLOW_LABELS

KINDS = (
    OrderKind("plain", End.COMPLETED, "nothing special", share=18),
    OrderKind("declined", End.CANCELLED, "the card is declined", card="tok_declined"),
    OrderKind("out_of_stock", End.CANCELLED, "one line is sold out", basket=Basket.SOLD_OUT),
)
RESERVE_FIRST = FLOW_LABELS[0]
"""The flow of all orders: reserve, charge, ship, notify. With one flow, peers that know only one
sequence of steps have no advantage."""
POLL_S = 0.002


def orders(run: str, seed: int, count: int) -> list[ShopOrder]:
    """Return `count` orders whose ids begin with `run-`."""
    return [replace(o, flow=RESERVE_FIRST) for o in Shop(run, seed, KINDS).orders(count)]


def run_of(orders: Sequence[ShopOrder]) -> str:
    """Return the prefix of a run's order ids, dash included."""
    return orders[0].order_id.partition("-")[0] + "-"


def kinds_of(orders: Sequence[ShopOrder]) -> dict[str, int]:
    """Return the number of orders of each kind."""
    return dict(Counter(order.kind.name for order in orders))


def due(count: int, rate: float, clock: Callable[[], float] = time.perf_counter) -> Iterator[slice]:
    """Yield slices of `count` orders as they become due, `rate` a second; sleep in between."""
    begun, sent = clock(), 0
    while sent < count:
        upto = min(count, int((clock() - begun) * rate) + 1)
        if upto > sent:
            yield slice(sent, upto)
            sent = upto
        else:
            time.sleep(POLL_S)


def publish(publisher: Publisher, rows: Sequence[OutboxRow], rate: float | None) -> None:
    """Publish rows at once, or `rate` a second as they become due."""
    if rate is None:
        publisher.publish(rows)
    else:
        for part in due(len(rows), rate):
            publisher.publish(rows[part])
