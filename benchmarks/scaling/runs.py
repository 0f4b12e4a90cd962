"""Performs saturation runs in a home that keeps its data.

The orders are of the same kinds each time, under ids of their own.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from benchmarks.contest import MAX_WARM_UP
from benchmarks.figures import Figures
from benchmarks.meter import cpu_s
from benchmarks.orders import orders
from benchmarks.ours import ENTRY_SERVICE, MONITOR, SERVICES, Platform, Running
from benchmarks.site import Site
from saga_monitor.service import topics_of as topics_of_all
from sagakit.flow.routing import topics_of
from sagakit.kafka.inspector import LogEnds, lag
from schemas import FLOWS

PARTICIPANTS = (*SERVICES, ENTRY_SERVICE)
SETTLED_S, LOOK_S = 120.0, 0.2


@dataclass(frozen=True)
class Saturated:
    """The figures of a saturation run.

    `events`, `cpu_s`: events handled and CPU seconds spent by each service and the monitor, until
    all of them were idle.
    """

    figures: Figures
    events: dict[str, float]
    cpu_s: dict[str, float]

    @property
    def events_a_cpu_s(self) -> dict[str, float]:
        """Return the events a second that a process could handle with a core to itself."""
        return {name: round(n / self.cpu_s[name]) for name, n in self.events.items() if n}


def platform(home: Path) -> Platform:
    """Return the platform with the order API, keeping its data in `home`.

    The order API takes part so that every table of an order is filled.
    """
    return Platform(order_api=True, home=home)


def saturated(running: Running, number: int, count: int) -> Saturated:
    """Perform run `number` in this home, after a warm-up."""
    running.place(orders(f"warm{number}", 2 * number, min(MAX_WARM_UP, count)))
    settle(running.site)
    events, spent = handled(running.site), cpu_s(running.site.pids)
    figures = running.place(orders(f"full{number}", 2 * number + 1, count))
    settle(running.site)
    after = cpu_s(running.site.pids)
    handled_after = handled(running.site)
    return Saturated(
        figures,
        {name: handled_after[name] - events[name] for name in events},
        {name: after[name] - spent[name] for name in events},
    )


def settle(site: Site) -> None:
    """Wait until no service, nor the monitor, has work left. Raises TimeoutError."""
    deadline = time.monotonic() + SETTLED_S
    while left := _left(site):
        if time.monotonic() > deadline:
            site.check_alive()
            raise TimeoutError(f"after {SETTLED_S} s there is still left: {left}")
        time.sleep(LOOK_S)


def handled(site: Site) -> Counter[str]:
    """Return service or monitor -> events its process has handled since it started."""
    found = Counter[str]()
    for name in (*PARTICIPANTS, MONITOR):
        text = httpx.get(f"{site.url(name)}/metrics", timeout=60).raise_for_status().text
        for labels, value in re.findall(r"^saga_messages_total\{(.*)\} (\S+)$", text, re.M):
            if 'fate="handled"' in labels:
                found[name] += round(float(value))
    return found


def _left(site: Site) -> dict[str, int]:
    """Return the counts of unread records, pending effects and unpublished events, by process."""
    found = Counter[str]()
    for name in (*PARTICIPANTS, MONITOR):
        with psycopg.connect(site.database(name)) as connection:
            for table in ("outbox", "effects"):
                (rows,) = connection.execute(f"select count(*) from {table}").fetchone() or (0,)
                found[f"{name}: {table}"] = rows
    for name in PARTICIPANTS:
        found[f"{name}: topics"] = lag(site.bootstrap_servers, name, topics_of(FLOWS, name))
    found["monitor: topics"] = _unread(site)
    return {what: rows for what, rows in found.items() if rows}


def _unread(site: Site) -> int:
    ends = LogEnds(site.bootstrap_servers)
    with psycopg.connect(site.database(MONITOR)) as connection:
        rows = connection.execute('select topic, partition, "offset" from stream_offset').fetchall()
    stored = {(topic, partition): offset for topic, partition, offset in rows}
    try:
        return sum(
            max(end - stored.get(place, 0), 0)
            for place, end in ends.ends(topics_of_all(FLOWS)).items()
        )
    finally:
        ends.close()
