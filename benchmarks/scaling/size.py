"""Measures bytes per order in PostgreSQL and events a CPU second of one process.

Both come from orders that really ran.
"""

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.contest import MAX_WARM_UP
from benchmarks.scaling.filling import TABLES
from benchmarks.scaling.runs import Saturated, platform, saturated
from benchmarks.site import Site, servers

SIZES = """
    select relname, pg_total_relation_size(c.oid) from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where nspname = 'public' and relkind = 'r'
"""
Bytes = dict[str, dict[str, float]]
"""Database -> table -> bytes per order, indexes included."""


@dataclass(frozen=True)
class Sized:
    """The sizes per order. `lying`: after VACUUM; `packed`: after VACUUM FULL (minimum)."""

    orders: int
    lying: Bytes
    packed: Bytes
    events_a_cpu_s: Mapping[str, float]


def sized(home: Path, rounds: int, count: int) -> Sized:
    """Measure sizes over `rounds` saturation runs of `count` orders in a new home."""
    with platform(home).deployed() as running:
        before = _sizes(running.site)
        runs = [saturated(running, number, count) for number in range(1, rounds + 1)]
    ran = rounds * (count + min(MAX_WARM_UP, count))
    with servers(home) as site:
        lying, packed = (_an_order(before, _vacuumed(site, how), ran) for how in ("", "full"))
    return Sized(ran, lying, packed, _middle(runs))


def _middle(runs: list[Saturated]) -> dict[str, float]:
    return {
        name: statistics.median(run.events_a_cpu_s[name] for run in runs)
        for name in runs[0].events_a_cpu_s
    }


def _vacuumed(site: Site, how: str) -> Bytes:
    for database in TABLES:
        with psycopg.connect(site.database(database), autocommit=True) as connection:
            connection.execute(f"vacuum {how}")
    return _sizes(site)


def _sizes(site: Site) -> Bytes:
    found: Bytes = {}
    for database in TABLES:
        tables: defaultdict[str, float] = defaultdict(float)
        with psycopg.connect(site.database(database)) as connection:
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
