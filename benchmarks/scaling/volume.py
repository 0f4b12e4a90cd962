"""Compares saturation runs on empty databases and on prefilled ones.

The orders in the prefilled databases are in flight or finished.
"""

from dataclasses import dataclass

from benchmarks.figures import Figures, median
from benchmarks.scaling.prefilled_homes import EMPTY, Prefill, PrefilledHomes, Say
from benchmarks.scaling.runs import SaturationRun, platform_at, run_saturation


@dataclass(frozen=True)
class VolumeRuns:
    """The runs, by turns on the empty databases and on the filled ones."""

    prefill: str
    empty: list[SaturationRun]
    filled: list[SaturationRun]

    @property
    def medians(self) -> tuple[Figures, Figures]:
        """Return the medians of the runs on the empty databases, and on the filled ones."""
        first, second = (
            median([run.figures for run in runs]) for runs in (self.empty, self.filled)
        )
        return first, second

    @property
    def of_empty(self) -> float:
        """Return the orders a second on the filled databases over those on the empty ones."""
        empty, filled = self.medians
        return filled.orders_a_second / empty.orders_a_second


def run_by_turns(
    homes: PrefilledHomes, prefill: Prefill, pairs: int, count: int, say: Say
) -> VolumeRuns:
    """Run `count` orders `pairs` times in each of the two homes, by turns."""
    found = VolumeRuns(prefill.name, [], [])
    for _ in range(pairs):
        for where, runs in ((EMPTY, found.empty), (prefill, found.filled)):
            with platform_at(homes.of(where)).deploy() as running:
                run = run_saturation(running, homes.run(where), count)
            runs.append(run)
            figures = run.figures
            say(
                f"{where.name}: {figures.orders_a_second:.0f} orders/s, "
                f"CPU {figures.cpu_ms:.2f} ms an order"
            )
    return found
