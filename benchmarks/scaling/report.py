"""Renders the parts' figures as tables."""

import os
from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from benchmarks.figures import Figures
from benchmarks.report import table_of
from benchmarks.scaling.idle_cost import IdleCost, medians_by_process
from benchmarks.scaling.queries import QueryTime
from benchmarks.scaling.replicas import cores
from benchmarks.scaling.size import Bytes, OrderSizes
from benchmarks.scaling.volume import VolumeRuns


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


def of_volume(found: Sequence[VolumeRuns]) -> Iterator[Table]:
    """Yield a table with one row per prefill, and the throughput of each round.

    The rounds show the spread. A difference counts only if it exceeds the spread.
    """
    columns = ("before the run", "orders/s", "on empty", "ratio", "CPU ms", "on empty", "rounds")
    table = table_of("saturation on prefilled databases", columns)
    for one in found:
        empty, filled = one.medians
        rounds = zip(one.filled, one.empty, strict=True)
        table.add_row(
            one.prefill,
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


def of_idle_cost(found: IdleCost) -> Iterator[Table]:
    """Yield a table with one row per process."""
    title = f"idle for {found.seconds:g} s: {found.prefill}, {found.effects} effects pending"
    columns = ("process", "CPU ms/s", "on empty", "rounds", "MiB", "on empty")
    table = table_of(title, columns)
    filled, empty = found.filled, found.empty
    cpu, cpu_none = (
        medians_by_process(filled.cpu_ms_a_second),
        medians_by_process(empty.cpu_ms_a_second),
    )
    memory, memory_none = medians_by_process(filled.memory_mb), medians_by_process(empty.memory_mb)
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


def of_size(found: OrderSizes) -> Iterator[Table]:
    """Yield a table of bytes by database table, and one of events by process."""
    table = table_of(
        f"PostgreSQL, bytes an order ({found.orders:,} orders)",
        ("database: table", "after VACUUM", "after VACUUM FULL"),
    )
    for database in found.after_vacuum:
        for name, size in found.after_vacuum[database].items():
            full = found.after_vacuum_full[database].get(name, 0.0)
            table.add_row(f"{database}: {name}", f"{size:,.0f}", f"{full:,.0f}")
    table.add_row(
        "all", f"{_sum(found.after_vacuum):,.0f}", f"{_sum(found.after_vacuum_full):,.0f}"
    )
    yield table
    table = table_of("events a CPU second of one process", ("process", "events"))
    for name, events in found.events_a_cpu_s.items():
        table.add_row(name, f"{events:,.0f}")
    yield table


def of_queries(title: str, found: Sequence[QueryTime]) -> Iterator[Table]:
    """Yield a table with one row per request or statement."""
    columns = ("process", "query", "ms", "on empty", "large scans")
    table = table_of(f"queries, {title}", columns)
    for query in found:
        times = (f"{query.filled_ms:.2f}", f"{query.empty_ms:.2f}")
        table.add_row(query.where, query.what, *times, ", ".join(query.reads))
    yield table


def _sum(sizes: Bytes) -> float:
    return sum(size for tables in sizes.values() for size in tables.values())
