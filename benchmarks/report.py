"""Renders figures as tables and as JSON."""

import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.comparison import SATURATION, Runs, medians
from benchmarks.figures import Figures

PLATFORM = "platform"
"""The contender with which the tables compare the others."""


def machine() -> dict[str, str | int | float | None]:
    """Describe this machine. `load`: its one-minute load average, which shows what else ran."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model[0] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_mb": pages // 2**20,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }


def as_json(found: Mapping[str, Runs], machine_before: Mapping[str, object]) -> dict[str, object]:
    """Return machine, medians and every run as data for JSON."""
    return {
        "machine": machine_before,
        "medians": {
            name: {mode: _as_numbers(figures) for mode, figures in modes.items()}
            for name, modes in medians(found).items()
        },
        "runs": {
            name: {mode: [_as_numbers(run) for run in runs] for mode, runs in modes.items()}
            for name, modes in found.items()
        },
    }


def tables(found: Mapping[str, Runs]) -> Iterator[Table]:
    """Yield one table per mode with all contenders.

    Then follow the CPU per process of each contender, and the spread of the rounds.
    """
    all_medians = medians(found)
    for mode in dict.fromkeys(mode for modes in all_medians.values() for mode in modes):
        yield _mode(mode, {n: modes[mode] for n, modes in all_medians.items() if mode in modes})
    for name, modes in all_medians.items():
        yield _cost(f"{name}: CPU at {SATURATION}", modes[SATURATION])
    yield _spread(found)


def ratios(figures: Mapping[str, Figures], name: str) -> tuple[str, str]:
    """Return how much better the platform is than this contender.

    The figures are the platform's orders/s over the contender's, and the contender's CPU per order
    over the platform's. Both are empty for the platform itself, or if it did not run.
    """
    if PLATFORM not in figures or name == PLATFORM:
        return "", ""
    own, other = figures[PLATFORM], figures[name]
    return (
        f"{own.orders_a_second / other.orders_a_second:.1f}x",
        f"{other.cpu_ms / own.cpu_ms:.1f}x",
    )


def _mode(mode: str, figures: Mapping[str, Figures]) -> Table:
    columns = (
        "",
        "orders",
        "seconds",
        "a second",
        "platform is",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "of platform",
        "MiB",
    )
    table = table_of(f"{mode} ({os.cpu_count()} cores)", columns)
    for name, f in figures.items():
        times, cpu = ratios(figures, name)
        table.add_row(
            name,
            str(f.orders),
            f"{f.seconds:.1f}",
            f"{f.orders_a_second:.0f}",
            times,
            f"{f.p50_ms:.0f}",
            f"{f.p99_ms:.0f}",
            f"{f.cpu_ms:.2f}",
            cpu,
            f"{f.memory_all_mb:.0f}",
        )
    return table


def _cost(title: str, figures: Figures) -> Table:
    table = table_of(title, ("process", "CPU an order", "memory"))
    for process, ms in sorted(figures.cpu_ms_an_order.items(), key=lambda item: -item[1]):
        table.add_row(process, f"{ms:.2f} ms", f"{figures.memory_mb[process]:.0f} MiB")
    if figures.outside_ms:
        table.add_row("the fakes (not counted)", f"{figures.outside_ms:.2f} ms", "")
    return table


def _spread(found: Mapping[str, Runs]) -> Table:
    """Return a table of each round's orders/s and their spread.

    A difference between contenders counts only if it exceeds this spread.
    """
    table = table_of("orders/s at saturation, every round", ("", "rounds", "spread"))
    for name, modes in found.items():
        rates = [run.orders_a_second for run in modes[SATURATION]]
        spread = (max(rates) - min(rates)) / statistics.median(rates)
        table.add_row(name, " ".join(f"{rate:.0f}" for rate in rates), f"{100 * spread:.0f} %")
    return table


def table_of(title: str, columns: Sequence[str]) -> Table:
    """Return an empty table: the first column is left-aligned, the others right-aligned."""
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _as_numbers(figures: Figures) -> dict[str, object]:
    return {
        **asdict(figures),
        "orders_a_second": round(figures.orders_a_second, 1),
        "cpu_ms": round(figures.cpu_ms, 3),
    }
