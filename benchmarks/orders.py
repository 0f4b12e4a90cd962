"""The same orders for every contender: 90 % good, 5 % declined and undone, 5 % out of stock."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from saga_lab.workload import Shop, ShopOrder
from saga_lab.workload.kinds import Basket, End, Kind
from saga_lab.workload.orders import FLOW_LABELS

KINDS = (
    Kind("plain", End.COMPLETED, "nothing special", share=18),
    Kind("declined", End.CANCELLED, "the card is declined", card="tok_declined"),
    Kind("out_of_stock", End.CANCELLED, "one line is sold out", basket=Basket.SOLD_OUT),
)
RESERVE_FIRST = FLOW_LABELS[0]
"""Everybody reserves, charges, ships, tells: that a peer's code knows one order of steps is no
handicap of ours."""
LOOK_S = 0.002


def orders(run: str, seed: int, count: int) -> list[ShopOrder]:
    """`count` orders with ids that begin with `run-`."""
    return [replace(o, flow=RESERVE_FIRST) for o in Shop(run, seed, KINDS).orders(count)]


def run_of(orders: Sequence[ShopOrder]) -> str:
    """What the ids of a run's orders begin with, the dash included."""
    return orders[0].order_id.partition("-")[0] + "-"


def kinds_of(orders: Sequence[ShopOrder]) -> dict[str, int]:
    """How many there are of each kind."""
    return dict(Counter(order.kind.name for order in orders))


def due(count: int, rate: float, clock: Callable[[], float] = time.perf_counter) -> Iterator[slice]:
    """Which of `count` to place now, `rate` a second from now on; waits in between."""
    begun, sent = clock(), 0
    while sent < count:
        upto = min(count, int((clock() - begun) * rate) + 1)
        if upto > sent:
            yield slice(sent, upto)
            sent = upto
        else:
            time.sleep(LOOK_S)
