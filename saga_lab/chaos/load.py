"""Places sagas of every kind at a steady rate, in its own thread; a fault can raise the rate."""

import asyncio
import time
from collections.abc import Callable, Sequence

from saga_lab.application import contract_of
from saga_lab.devstack.stack import Stack
from saga_lab.workload import PlannedSaga, workload_of
from saga_lab.workload.background import RunThread
from saga_lab.workload.run import WorkloadRun

LOOK_AGAIN_S = 0.1
MAY_LEAD = 0.3
"""Share of all sagas by which placement may lead the faults at first; it shrinks to 0."""


class Pace:
    """Spreads the remaining sagas over the remaining time.

    With `factor` above 1 sagas are placed that many times faster, and slower afterwards. Sagas
    lead `progress`, the share of faults injected so far, by at most `MAY_LEAD`, which shrinks to
    nothing. So when faults take longer than planned the load does too, and the last saga comes
    after the last fault. `left`: sagas still to be placed; while it is `held`, none is.
    """

    def __init__(self, sagas: int, lasts_s: float) -> None:
        self.left, self._sagas, self._lasts_s = sagas, sagas, lasts_s
        self.progress: Callable[[], float] = lambda: 1.0
        self.began_at = self._due_at = 0.0
        self.factor = 1.0
        self.held = False

    @property
    def past_s(self) -> float:
        """Seconds since the first saga was due; 0 before it."""
        return time.monotonic() - self.began_at if self.began_at else 0.0

    async def __call__(self) -> None:
        """Wait until the next saga is due."""
        now = time.monotonic()
        if not self.began_at:
            self.began_at = self._due_at = now
        time_left_s = self.began_at + self._lasts_s - self._due_at
        self._due_at += max(0.0, time_left_s) / max(1, self.left) / self.factor
        await asyncio.sleep(max(0.0, self._due_at - now))
        while self.held or self._is_ahead():
            await asyncio.sleep(LOOK_AGAIN_S)
        self.left -= 1

    def _is_ahead(self) -> bool:
        left = (self.left - 1) / self._sagas
        return 1.0 - left > self.progress() + MAY_LEAD * left


class Load(RunThread):
    """The sagas of a chaos run, placed and awaited in a background thread."""

    def __init__(self, stack: Stack, sagas: Sequence[PlannedSaga], lasts_s: float) -> None:
        self.pace = Pace(len(sagas), lasts_s)
        workload, contract = workload_of(stack.application), contract_of(stack.application)
        super().__init__(WorkloadRun(stack.read(), workload, contract, sagas, pace=self.pace))
