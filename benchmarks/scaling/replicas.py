"""Measures throughput by number of partitions and replicas, each point on fresh servers."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks.comparison import SATURATION, Plan, compare, medians
from benchmarks.figures import Figures
from benchmarks.platform_contender import Platform

GRID = ((1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4))
"""Partitions of each topic, replicas of each service and of the monitor."""


def measure_grid(rounds: int, scale: float, say: Callable[[str], None]) -> dict[str, Figures]:
    """Return the medians at saturation for each point of the grid."""
    points = [
        Platform(
            f"{partitions}/{replicas}", partitions=partitions, replicas=replicas, monitors=replicas
        )
        for partitions, replicas in GRID
    ]
    plan = Plan(rounds, scale, (), below_saturation=False)
    found = medians(compare(points, plan, say))
    return {name: by_service(modes[SATURATION]) for name, modes in found.items()}


def by_service(figures: Figures) -> Figures:
    """Return the figures with CPU and memory summed over the replicas of each service."""
    return replace(
        figures,
        cpu_ms_an_order=_together(figures.cpu_ms_an_order),
        memory_mb=_together(figures.memory_mb),
    )


def cores(figures: Figures) -> float:
    """Return how many cores all processes kept busy, except the shop that publishes."""
    return figures.cpu_ms / 1000 * figures.orders_a_second


def _together(by_process: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in by_process.items():
        service = name.partition("-")[0]
        found[service] = round(found.get(service, 0.0) + value, 3)
    return found
