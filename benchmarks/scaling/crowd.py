"""The same saturation run among many orders in flight or finished, and on an empty database."""

from dataclasses import dataclass

from benchmarks.figures import Figures, median
from benchmarks.scaling.homes import EMPTY, Homes, Level, Say
from benchmarks.scaling.runs import Saturated, platform, saturated


@dataclass(frozen=True)
class Crowded:
    """Runs by turns: one on the empty database, one on the filled one, and so on."""

    level: str
    empty: list[Saturated]
    filled: list[Saturated]

    @property
    def medians(self) -> tuple[Figures, Figures]:
        """Of the empty and of the filled one."""
        first, second = (
            median([run.figures for run in runs]) for runs in (self.empty, self.filled)
        )
        return first, second

    @property
    def of_empty(self) -> float:
        """Orders a second of the filled one in those of the empty one."""
        empty, filled = self.medians
        return filled.orders_a_second / empty.orders_a_second


def crowded(homes: Homes, level: Level, pairs: int, count: int, say: Say) -> Crowded:
    """`pairs` runs of `count` orders in each home."""
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
