"""What a run showed, and what several runs of one contender come to."""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from saga_lab.workload import ShopOrder


@dataclass(frozen=True)
class Figures:
    """One run. Latency: from an order's acceptance to its last step, by the system's own times.

    `ends`: how many orders came to which end, read from the tables and checked by then.
    """

    orders: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_ms_an_order: Mapping[str, float]
    memory_mb: Mapping[str, float]
    ends: Mapping[str, int]

    @property
    def orders_a_second(self) -> float:
        """From the first publication to the last end."""
        return self.orders / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU an order over all processes, but for the shop that publishes."""
        return sum(self.cpu_ms_an_order.values())

    @property
    def memory_all_mb(self) -> float:
        """Resident memory of all processes."""
        return sum(self.memory_mb.values())


class Deployment(Protocol):
    """A contender that runs and takes orders."""

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """Place them at once, or `rate` a second, wait for every end and check the tables.

        Raises `WrongEnds` when they do not hold what the orders' kinds say.
        """


class Contender(Protocol):
    """What is compared. `orders`: how many make a saturation run of some twenty seconds."""

    @property
    def name(self) -> str:
        """One word."""

    @property
    def orders(self) -> int:
        """See the class."""

    def deployed(self) -> AbstractContextManager[Deployment]:
        """Fresh servers and processes; stopped after, nothing kept."""


class WrongEnds(Exception):
    """The tables do not hold what must have become of the orders: the run counts for nothing."""


def quantiles_ms(latencies_s: Sequence[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds; at least two latencies."""
    cuts = statistics.quantiles([1000 * s for s in latencies_s], n=100)
    return round(cuts[49], 1), round(cuts[98], 1)


def median(runs: Sequence[Figures]) -> Figures:
    """Each figure's own median over the runs; at least one, all of the same size and ends."""

    def by_process(maps: Sequence[Mapping[str, float]]) -> dict[str, float]:
        names = dict.fromkeys(name for one in maps for name in one)
        return {n: round(statistics.median(one.get(n, 0.0) for one in maps), 3) for n in names}

    return Figures(
        runs[0].orders,
        statistics.median(run.seconds for run in runs),
        statistics.median(run.p50_ms for run in runs),
        statistics.median(run.p99_ms for run in runs),
        by_process([run.cpu_ms_an_order for run in runs]),
        by_process([run.memory_mb for run in runs]),
        runs[0].ends,
    )
