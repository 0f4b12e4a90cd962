"""Orders of every kind at a steady pace, in a thread of their own; a fault can quicken it."""

import asyncio
import time
from collections.abc import Callable, Sequence

from saga_lab.workload import ShopOrder
from saga_lab.workload.beside import Beside
from saga_lab.workload.trade import Stack, Trade

LOOK_AGAIN_S = 0.1
MAY_LEAD = 0.3
"""By how much of all, at first, orders may lead the faults; at the end by nothing."""


class Pace:
    """Spreads what is left to place over the time that is left.

    In a rush `factor` times as much is placed for a while, and less afterwards. Orders never run
    ahead of `progress`, the share of the gameday's faults that were injected: where faults take
    longer than planned, so does the load, and the last order comes after the last fault. `left`:
    orders still to be placed.
    """

    def __init__(self, orders: int, lasts_s: float) -> None:
        self.left, self._orders, self._lasts_s = orders, orders, lasts_s
        self.progress: Callable[[], float] = lambda: 1.0
        self.began_at = self._due_at = 0.0
        self.factor = 1.0

    @property
    def past_s(self) -> float:
        """Seconds since the first order."""
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


class Load(Beside):
    """The orders of a gameday, placed and waited for beside everything else."""

    def __init__(self, stack: Stack, orders: Sequence[ShopOrder], lasts_s: float) -> None:
        self.pace = Pace(len(orders), lasts_s)
        super().__init__(Trade(stack, orders, pace=self.pace))
