"""Measures the cost of waiting: idle processes with and without many orders in flight."""

import statistics
import time
from dataclasses import dataclass, field

import psycopg

from benchmarks.meter import cpu_s, memory_mb
from benchmarks.scaling.homes import EMPTY, Homes, Level, Say
from benchmarks.scaling.runs import PARTICIPANTS, platform, settle
from benchmarks.site import Site

REST_S = 15.0
"""Seconds from when the processes have settled until they are watched."""
GaugeReadings = dict[str, list[float]]
"""Process -> one figure per round."""


@dataclass(frozen=True)
class Idle:
    """The CPU milliseconds a second and the MiB of each process."""

    cpu_ms_a_second: GaugeReadings = field(default_factory=dict)
    memory_mb: GaugeReadings = field(default_factory=dict)


@dataclass(frozen=True)
class Waited:
    """Alternating readings, as in `crowd`. `effects`: pending ones in the filled home."""

    level: str
    seconds: float
    empty: Idle
    filled: Idle
    effects: int = 0


def waited(homes: Homes, level: Level, pairs: int, seconds: float, say: Say) -> Waited:
    """Watch the processes of both homes in turn, `seconds` at a time."""
    empty, filled, effects = Idle(), Idle(), 0
    for _ in range(pairs):
        for where, idle in ((EMPTY, empty), (level, filled)):
            with platform(homes.of(where)).deployed() as running:
                settle(running.site)
                time.sleep(REST_S)
                total_ms = _watch(running.site, seconds, idle)
                effects = _effects(running.site)
            say(f"idle, {where.name}: {total_ms:.1f} ms CPU a second")
    return Waited(level.name, seconds, empty, filled, effects)


def middle(readings: GaugeReadings) -> dict[str, float]:
    """Return the medians by process."""
    return {name: round(statistics.median(some), 2) for name, some in readings.items()}


def _watch(site: Site, seconds: float, idle: Idle) -> float:
    before = cpu_s(site.pids)
    time.sleep(seconds)
    spent = cpu_s(site.pids)
    spent.subtract(before)
    for name, cpu in spent.items():
        idle.cpu_ms_a_second.setdefault(name, []).append(round(1000 * cpu / seconds, 3))
    for name, mb in memory_mb(site.pids).items():
        idle.memory_mb.setdefault(name, []).append(round(mb, 1))
    return 1000 * sum(spent.values()) / seconds


def _effects(site: Site) -> int:
    found = 0
    for name in PARTICIPANTS:
        with psycopg.connect(site.database(name)) as connection:
            (rows,) = connection.execute("select count(*) from effects").fetchone() or (0,)
            found += rows
    return found
