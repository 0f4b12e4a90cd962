"""Measures bytes per order in PostgreSQL and events a CPU second of one process.

Both figures come from orders that really ran.
"""

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.comparison import MAX_WARM_UP
from benchmarks.scaling.order_copies import TABLES
from benchmarks.scaling.runs import SaturationRun, platform_at, run_saturation
from benchmarks.testbed import Testbed, start_testbed

SIZES = """
    select relname, pg_total_relation_size(c.oid) from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where nspname = 'public' and relkind = 'r'
"""
Bytes = dict[str, dict[str, float]]
"""Database -> table -> bytes per order, indexes included."""


@dataclass(frozen=True)
class OrderSizes:
    """The bytes per order in each table. VACUUM FULL shows the minimum."""

    orders: int
    after_vacuum: Bytes
    after_vacuum_full: Bytes
    events_a_cpu_s: Mapping[str, float]


def measure_sizes(home: Path, rounds: int, count: int) -> OrderSizes:
    """Measure sizes over `rounds` saturation runs of `count` orders in a new home."""
    with platform_at(home).deploy() as running:
        before = _sizes(running.testbed)
        runs = [run_saturation(running, number, count) for number in range(1, rounds + 1)]
    ran = rounds * (count + min(MAX_WARM_UP, count))
    with start_testbed(home) as testbed:
        plain, full = (
            _an_order(before, _sizes_after_vacuum(testbed, how), ran) for how in ("", "full")
        )
    return OrderSizes(ran, plain, full, _medians(runs))


def _medians(runs: list[SaturationRun]) -> dict[str, float]:
    return {
        name: statistics.median(run.events_a_cpu_s[name] for run in runs)
        for name in runs[0].events_a_cpu_s
    }


def _sizes_after_vacuum(testbed: Testbed, how: str) -> Bytes:
    for database in TABLES:
        with psycopg.connect(testbed.database(database), autocommit=True) as connection:
            connection.execute(f"vacuum {how}")
    return _sizes(testbed)


def _sizes(testbed: Testbed) -> Bytes:
    found: Bytes = {}
    for database in TABLES:
        tables: defaultdict[str, float] = defaultdict(float)
        with psycopg.connect(testbed.database(database)) as connection:
            for name, size in connection.execute(SIZES):
                tables[re.sub(r"_\d{8}$", "", name)] += size
        found[database] = dict(tables)
    return found


def _an_order(before: Bytes, after: Bytes, orders: int) -> Bytes:
    return {
        database: {
            table: round((size - before[database].get(table, 0)) / orders, 1)
            for table, size in tables.items()
            if table in TABLES[database]
        }
        for database, tables in after.items()
    }
