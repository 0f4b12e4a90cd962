"""Renders the parts' figures as tables."""

import os
from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from benchmarks.figures import Figures
from benchmarks.report import table_of
from benchmarks.scaling.crowd import Crowded
from benchmarks.scaling.looks import Look
from benchmarks.scaling.replicas import cores
from benchmarks.scaling.size import Bytes, Sized
from benchmarks.scaling.waiting import Waited, middle


def of_grid(found: Mapping[str, Figures]) -> Iterator[Table]:
    """Yield a table with one row per point of the grid."""
    columns = ("partitions/replicas", "orders/s", "CPU ms", "cores", "most CPU", "MiB")
    table = table_of(f"partitions and replicas ({os.cpu_count()} cores)", columns)
    for name, f in found.items():
        most = sorted(f.cpu_ms_an_order.items(), key=lambda item: -item[1])[:3]
        table.add_row(
            name,
            f"{f.orders_a_second:.0f}",
            f"{f.cpu_ms:.2f}",
            f"{cores(f):.1f}",
            " ".join(f"{process} {ms:.2f}" for process, ms in most),
            f"{f.memory_all_mb:.0f}",
        )
    yield table


def of_crowd(found: Sequence[Crowded]) -> Iterator[Table]:
    """Yield a table with one row per level, and the throughput of each round.

    The rounds show the spread, which a difference has to exceed.
    """
    columns = ("before the run", "orders/s", "on empty", "ratio", "CPU ms", "on empty", "rounds")
    table = table_of("saturation among many orders", columns)
    for one in found:
        empty, filled = one.medians
        rounds = zip(one.filled, one.empty, strict=True)
        table.add_row(
            one.level,
            f"{filled.orders_a_second:.0f}",
            f"{empty.orders_a_second:.0f}",
            f"{one.of_empty:.2f}",
            f"{filled.cpu_ms:.2f}",
            f"{empty.cpu_ms:.2f}",
            " ".join(
                f"{a.figures.orders_a_second:.0f}:{b.figures.orders_a_second:.0f}"
                for a, b in rounds
            ),
        )
    yield table


def of_waiting(found: Waited) -> Iterator[Table]:
    """Yield a table with one row per process."""
    title = (
        f"idle for {found.seconds:g} s: {found.level}, {found.effects} effects pending, beside none"
    )
    columns = ("process", "CPU ms/s", "none", "rounds", "MiB", "none")
    table = table_of(title, columns)
    filled, empty = found.filled, found.empty
    cpu, cpu_none = middle(filled.cpu_ms_a_second), middle(empty.cpu_ms_a_second)
    memory, memory_none = middle(filled.memory_mb), middle(empty.memory_mb)
    for name in cpu:
        rounds = zip(filled.cpu_ms_a_second[name], empty.cpu_ms_a_second[name], strict=True)
        table.add_row(
            name,
            f"{cpu[name]:.1f}",
            f"{cpu_none[name]:.1f}",
            " ".join(f"{a:.0f}:{b:.0f}" for a, b in rounds),
            f"{memory[name]:.0f}",
            f"{memory_none[name]:.0f}",
        )
    table.add_row("all", f"{sum(cpu.values()):.1f}", f"{sum(cpu_none.values()):.1f}")
    yield table


def of_size(found: Sized) -> Iterator[Table]:
    """Yield a table of bytes by database table, and one of events by process."""
    table = table_of(
        f"PostgreSQL, bytes an order ({found.orders:,} orders)",
        ("database: table", "after VACUUM", "packed"),
    )
    for database in found.lying:
        for name, size in found.lying[database].items():
            packed = found.packed[database].get(name, 0.0)
            table.add_row(f"{database}: {name}", f"{size:,.0f}", f"{packed:,.0f}")
    table.add_row("all", f"{_all(found.lying):,.0f}", f"{_all(found.packed):,.0f}")
    yield table
    table = table_of("events a CPU second of one process", ("process", "events"))
    for name, events in found.events_a_cpu_s.items():
        table.add_row(name, f"{events:,.0f}")
    yield table


def of_looks(title: str, found: Sequence[Look]) -> Iterator[Table]:
    """Yield a table with one row per request or statement."""
    columns = ("whom", "what", "ms", "on empty", "reads all of")
    table = table_of(f"what is asked, {title}", columns)
    for look in found:
        times = (f"{look.filled_ms:.2f}", f"{look.empty_ms:.2f}")
        table.add_row(look.where, look.what, *times, ", ".join(look.reads))
    yield table


def _all(sizes: Bytes) -> float:
    return sum(size for tables in sizes.values() for size in tables.values())
