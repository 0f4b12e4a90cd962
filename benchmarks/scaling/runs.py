"""Performs saturation runs in a home that keeps its data.

Every run has orders of the same kinds, with ids of their own.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psycopg

from benchmarks.comparison import MAX_WARM_UP
from benchmarks.figures import Figures
from benchmarks.meter import cpu_s
from benchmarks.orders import orders
from benchmarks.platform_contender import (
    ENTRY_SERVICE,
    MONITOR,
    SERVICES,
    Platform,
    PlatformDeployment,
)
from benchmarks.testbed import Testbed
from sagakit.flow.routing import topics_of
from sagakit.kafka.inspector import LogEnds, lag
from schemas import CONTRACT, FLOWS

PARTICIPANTS = (*SERVICES, ENTRY_SERVICE)
MAX_SETTLE_S, POLL_S = 120.0, 0.2


@dataclass(frozen=True)
class SaturationRun:
    """The figures of a saturation run.

    `events`, `cpu_s`: handled events and spent CPU seconds of each service and the monitor, until
    all of them are idle.
    """

    figures: Figures
    events: dict[str, float]
    cpu_s: dict[str, float]

    @property
    def events_a_cpu_s(self) -> dict[str, float]:
        """Return the events a second that a process could handle with a core to itself."""
        return {name: round(n / self.cpu_s[name]) for name, n in self.events.items() if n}


def platform_at(home: Path) -> Platform:
    """Return the platform with the order API; its data is in `home`.

    The order API runs too, so that every table gets rows.
    """
    return Platform(order_api=True, home=home)


def run_saturation(running: PlatformDeployment, number: int, count: int) -> SaturationRun:
    """Perform run `number` in this home, after a warm-up."""
    running.place(orders(f"warm{number}", 2 * number, min(MAX_WARM_UP, count)))
    settle(running.testbed)
    events, spent = handled_events(running.testbed), cpu_s(running.testbed.pids)
    figures = running.place(orders(f"full{number}", 2 * number + 1, count))
    settle(running.testbed)
    after = cpu_s(running.testbed.pids)
    handled_after = handled_events(running.testbed)
    return SaturationRun(
        figures,
        {name: handled_after[name] - events[name] for name in events},
        {name: after[name] - spent[name] for name in events},
    )


def settle(testbed: Testbed) -> None:
    """Wait until neither a service nor the monitor has work left. Raises TimeoutError."""
    deadline = time.monotonic() + MAX_SETTLE_S
    while left := _left(testbed):
        if time.monotonic() > deadline:
            testbed.check_alive()
            raise TimeoutError(f"after {MAX_SETTLE_S} s there is still work left: {left}")
        time.sleep(POLL_S)


def handled_events(testbed: Testbed) -> Counter[str]:
    """Return service or monitor -> events that its process has handled since its start."""
    found = Counter[str]()
    for name in (*PARTICIPANTS, MONITOR):
        text = _metrics(testbed, name)
        for labels, value in re.findall(r"^saga_messages_total\{(.*)\} (\S+)$", text, re.M):
            if 'fate="handled"' in labels:
                found[name] += round(float(value))
    return found


def _left(testbed: Testbed) -> dict[str, int]:
    """Return the counts of unread records, pending effects and unpublished events, by process."""
    found = Counter[str]()
    for name in (*PARTICIPANTS, MONITOR):
        with psycopg.connect(testbed.database(name)) as connection:
            for table in ("outbox", "effects"):
                (rows,) = connection.execute(f"select count(*) from {table}").fetchone() or (0,)
                found[f"{name}: {table}"] = rows
    for name in PARTICIPANTS:
        found[f"{name}: topics"] = lag(testbed.bootstrap_servers, name, topics_of(FLOWS, name))
    found["monitor: topics"] = _unread(testbed)
    return {what: rows for what, rows in found.items() if rows}


def _unread(testbed: Testbed) -> int:
    ends = LogEnds(testbed.bootstrap_servers).ends(CONTRACT.topics)
    with psycopg.connect(testbed.database(MONITOR)) as connection:
        rows = connection.execute('select topic, partition, "offset" from stream_offset').fetchall()
    stored = {(topic, partition): offset for topic, partition, offset in rows}
    return sum(max(end - stored.get(partition, 0), 0) for partition, end in ends.items())


def _metrics(testbed: Testbed, name: str) -> str:
    """Return the metrics of a process as text."""
    url = f"{testbed.url(name)}/metrics"
    return httpx2.get(url, headers=testbed.headers, timeout=60).raise_for_status().text
