"""Defines the figures of a run, and their medians over one contender's runs."""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from benchmarks.testbed import Testbed
from shop.workload import ShopOrder


@dataclass(frozen=True)
class Figures:
    """The figures of one run.

    Latency is the time from an order's acceptance to its last step. Both times
    come from the system itself. Over HTTP: see `HttpDeployment.place`.
    `outside_ms`: CPU per order of the fakes of the outside world, which `cpu_ms` does not hold.
    `ends`: orders per kind. The tables hold the end that each kind must reach: this was checked.
    """

    orders: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_ms_an_order: Mapping[str, float]
    memory_mb: Mapping[str, float]
    ends: Mapping[str, int]
    outside_ms: float = 0.0

    @property
    def orders_a_second(self) -> float:
        """Return the throughput from the first publication to the last end."""
        return self.orders / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Return the CPU per order over all processes except the shop that publishes."""
        return sum(self.cpu_ms_an_order.values())

    @property
    def memory_all_mb(self) -> float:
        """Return the memory of all processes in MiB (proportional set size, see `meter`)."""
        return sum(self.memory_mb.values())


class Deployment(Protocol):
    """A running contender that takes orders."""

    testbed: Testbed

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """Place the orders, at once or `rate` a second; wait for every end and check the tables.

        Raises `WrongEnds` if the tables do not hold the ends that the orders' kinds require.
        """


class Contender(Protocol):
    """A system that takes part.

    `orders`: how many saturate it for about twenty seconds; `rates`: orders a second of its steady
    runs, if nothing else is asked for.
    """

    @property
    def name(self) -> str:
        """Return the name, one word."""

    @property
    def orders(self) -> int:
        """See the class."""

    @property
    def rates(self) -> Sequence[int]:
        """See the class."""

    def deploy(self) -> AbstractContextManager[Deployment]:
        """Start fresh servers and processes; at exit stop them and keep no data."""


class WrongEnds(Exception):
    """The tables do not hold the required ends of the orders, so the run does not count."""


def quantiles_ms(latencies_s: Sequence[float]) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds. Needs at least two latencies."""
    cuts = statistics.quantiles([1000 * s for s in latencies_s], n=100)
    return round(cuts[49], 1), round(cuts[98], 1)


def median(runs: Sequence[Figures]) -> Figures:
    """Return each figure's own median over the runs.

    Needs at least one run; all must have the same number of orders and the same ends.
    """

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
        statistics.median(run.outside_ms for run in runs),
    )
