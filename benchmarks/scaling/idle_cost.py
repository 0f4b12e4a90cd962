"""Measures the cost of idle processes, with and without many orders in flight."""

import statistics
import time
from dataclasses import dataclass, field

import psycopg

from benchmarks.meter import cpu_s, memory_mb
from benchmarks.scaling.prefilled_homes import EMPTY, Prefill, PrefilledHomes, Say
from benchmarks.scaling.runs import PARTICIPANTS, platform_at, settle
from benchmarks.testbed import Testbed

PAUSE_S = 15.0
"""Seconds between the moment when no work is left and the first reading."""
Series = dict[str, list[float]]
"""Process -> one figure per round."""


@dataclass(frozen=True)
class Readings:
    """The CPU milliseconds a second and the MiB of each process."""

    cpu_ms_a_second: Series = field(default_factory=dict)
    memory_mb: Series = field(default_factory=dict)


@dataclass(frozen=True)
class IdleCost:
    """The readings, by turns with empty and filled databases. `effects`: pending in the latter."""

    prefill: str
    seconds: float
    empty: Readings
    filled: Readings
    effects: int = 0


def measure_idle_cost(
    homes: PrefilledHomes, prefill: Prefill, pairs: int, seconds: float, say: Say
) -> IdleCost:
    """Watch the processes of both homes in turn, `seconds` at a time."""
    empty, filled, effects = Readings(), Readings(), 0
    for _ in range(pairs):
        for where, idle in ((EMPTY, empty), (prefill, filled)):
            with platform_at(homes.of(where)).deploy() as running:
                settle(running.testbed)
                time.sleep(PAUSE_S)
                total_ms = _watch(running.testbed, seconds, idle)
                effects = _effects(running.testbed)
            say(f"idle, {where.name}: {total_ms:.1f} ms CPU a second")
    return IdleCost(prefill.name, seconds, empty, filled, effects)


def medians_by_process(readings: Series) -> dict[str, float]:
    """Return the medians by process."""
    return {name: round(statistics.median(some), 2) for name, some in readings.items()}


def _watch(testbed: Testbed, seconds: float, idle: Readings) -> float:
    before = cpu_s(testbed.pids)
    time.sleep(seconds)
    spent = cpu_s(testbed.pids)
    spent.subtract(before)
    for name, cpu in spent.items():
        idle.cpu_ms_a_second.setdefault(name, []).append(round(1000 * cpu / seconds, 3))
    for name, mb in memory_mb(testbed.pids).items():
        idle.memory_mb.setdefault(name, []).append(round(mb, 1))
    return 1000 * sum(spent.values()) / seconds


def _effects(testbed: Testbed) -> int:
    found = 0
    for name in PARTICIPANTS:
        with psycopg.connect(testbed.database(name)) as connection:
            (rows,) = connection.execute("select count(*) from effects").fetchone() or (0,)
            found += rows
    return found
