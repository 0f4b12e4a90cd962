"""Compares saturation runs on an empty database and on one with many orders.

These orders are in flight or finished.
"""

from dataclasses import dataclass

from benchmarks.figures import Figures, median
from benchmarks.scaling.homes import EMPTY, Homes, Level, Say
from benchmarks.scaling.runs import Saturated, platform, saturated


@dataclass(frozen=True)
class Crowded:
    """Alternating runs: one on the empty database, one on the filled one, and so on."""

    level: str
    empty: list[Saturated]
    filled: list[Saturated]

    @property
    def medians(self) -> tuple[Figures, Figures]:
        """Return the medians of the empty database and of the filled one."""
        first, second = (
            median([run.figures for run in runs]) for runs in (self.empty, self.filled)
        )
        return first, second

    @property
    def of_empty(self) -> float:
        """Return the orders a second on the filled database over those on the empty one."""
        empty, filled = self.medians
        return filled.orders_a_second / empty.orders_a_second


def crowded(homes: Homes, level: Level, pairs: int, count: int, say: Say) -> Crowded:
    """Run `count` orders `pairs` times in each of the two homes."""
    found = Crowded(level.name, [], [])
    for _ in range(pairs):
        for where, runs in ((EMPTY, found.empty), (level, found.filled)):
            with platform(homes.of(where)).deployed() as running:
                run = saturated(running, homes.run(where), count)
            runs.append(run)
            figures = run.figures
            say(
                f"{where.name}: {figures.orders_a_second:.0f} orders/s, "
                f"CPU {figures.cpu_ms:.2f} ms an order"
            )
    return found
