"""Orders of every kind at a steady pace, in a thread of their own; a fault can quicken it."""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence

from sandbox.shop import ShopOrder
from sandbox.shop.trade import Outcome, Progress, Stack, Trade


class Pace:
    """Spreads what is left to place over the time that is left.

    In a rush `factor` times as much is placed for a while, and less afterwards: all orders are
    placed when the time is over, whatever happens. `left`: orders still to be placed.
    """

    def __init__(self, orders: int, lasts_s: float) -> None:
        self.left, self._lasts_s = orders, lasts_s
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
        self.left -= 1
        await asyncio.sleep(max(0.0, self._due_at - now))


class Load:
    """The orders of a gameday, placed and waited for beside everything else."""

    def __init__(self, stack: Stack, orders: Sequence[ShopOrder], lasts_s: float) -> None:
        self.pace = Pace(len(orders), lasts_s)
        self._trade = Trade(stack, orders, pace=self.pace)
        self._outcomes: list[Outcome] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._deadline_s = lasts_s

    def start(self, settle_s: float) -> None:
        """Begin; orders that have not ended `settle_s` after the last was due are given up."""
        self._deadline_s += settle_s
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcomes = self._trade.run(self._deadline_s)
        except BaseException as error:  # told by `outcomes`, in the thread that asks
            self._error = error

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._trade.progress

    @property
    def over(self) -> bool:
        """Every order has ended, or the time is up."""
        return not self._thread.is_alive()

    def outcomes(self) -> list[Outcome]:
        """What became of every order; waits for the end. Raises what ended the load."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._outcomes

    @property
    def placed_at(self) -> Mapping[str, float]:
        """Order -> when it was sent off, `time.monotonic` seconds."""
        return self._trade.placed_at

    @property
    def ended_at(self) -> Mapping[str, float]:
        """Order -> when it was seen to have ended, `time.monotonic` seconds."""
        return self._trade.ended_at
