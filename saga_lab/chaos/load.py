"""Places orders of every kind at a steady rate, in its own thread; a fault can raise the rate."""

import asyncio
import time
from collections.abc import Callable, Sequence

from saga_lab.workload import ShopOrder
from saga_lab.workload.background import TradeThread
from saga_lab.workload.trade import Stack, Trade

LOOK_AGAIN_S = 0.1
MAY_LEAD = 0.3
"""Share of all orders by which placement may lead the faults at first; it shrinks to 0."""


class Pace:
    """Spreads the remaining orders over the remaining time.

    With `factor` above 1 orders are placed that many times faster, and slower afterwards. Orders
    lead `progress`, the share of faults injected so far, by at most `MAY_LEAD`, which shrinks to
    nothing. So when faults take longer than planned the load does too, and the last order comes
    after the last fault. `left`: orders still to be placed.
    """

    def __init__(self, orders: int, lasts_s: float) -> None:
        self.left, self._orders, self._lasts_s = orders, orders, lasts_s
        self.progress: Callable[[], float] = lambda: 1.0
        self.began_at = self._due_at = 0.0
        self.factor = 1.0

    @property
    def past_s(self) -> float:
        """Seconds since the first order was due; 0 before it."""
        return time.monotonic() - self.began_at if self.began_at else 0.0

    async def __call__(self) -> None:
        """Wait until the next order is due."""
        now = time.monotonic()
        if not self.began_at:
            self.began_at = self._due_at = now
        time_left_s = self.began_at + self._lasts_s - self._due_at
        self._due_at += max(0.0, time_left_s) / max(1, self.left) / self.factor
        await asyncio.sleep(max(0.0, self._due_at - now))
        while self._is_ahead():
            await asyncio.sleep(LOOK_AGAIN_S)
        self.left -= 1

    def _is_ahead(self) -> bool:
        left = (self.left - 1) / self._orders
        return 1.0 - left > self.progress() + MAY_LEAD * left


class Load(TradeThread):
    """The orders of a chaos run, placed and awaited in a background thread."""

    def __init__(self, stack: Stack, orders: Sequence[ShopOrder], lasts_s: float) -> None:
        self.pace = Pace(len(orders), lasts_s)
        super().__init__(Trade(stack, orders, pace=self.pace))
