"""Times the questions that are asked of the databases apart from the processing of orders.

These are the requests of people and Prometheus, and the statements that a process repeats as long
as it runs. Each is timed with and without many orders in the databases.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import psycopg
from sqlalchemy import TextClause, text

from benchmarks.ours import ENTRY_SERVICE, MONITOR
from benchmarks.scaling.homes import EMPTY, Homes, Level
from benchmarks.scaling.runs import platform, settle
from benchmarks.site import Site
from saga_lab.devstack.topics import DEFAULT_PARTITIONS
from saga_monitor import metrics
from saga_monitor.storage import archiver, store
from sagakit.handling import auto_redrive
from sagakit.outbox import relay
from sagakit.store import postgres
from sagakit.store.postgres import engine_for

TIMES = 5
REQUESTS: Mapping[str, Sequence[str]] = {
    MONITOR: (
        "/health/ready",
        "/metrics",
        "/summary",
        "/flows",
        "/sagas",
        "/sagas?stuck=true",
        "/sagas?status=waiting",
        "/sagas?history=true",
        "/blocked",
        "/blocked?stuck=true",
        "/interventions",
    ),
    "payment": (
        "/health/ready",
        "/metrics",
        "/admin/effects",
        "/admin/outbox",
        "/admin/parked",
        "/admin/books/busy",
    ),
    ENTRY_SERVICE: ("/metrics",),
}
READS_ALL = 10_000
"""Rows that a sequential scan may read without being reported."""


@dataclass(frozen=True)
class Look:
    """The median milliseconds of one request or statement.

    `reads`: tables of which the statement reads more than READS_ALL rows in a sequential scan. It
    is empty for requests, whose plans are not known.
    """

    where: str
    what: str
    empty_ms: float
    filled_ms: float
    reads: Sequence[str] = ()


def looked(homes: Homes, level: Level) -> list[Look]:
    """Time every request and statement in the empty home and in the filled one."""
    empty, filled = _all(homes, EMPTY), _all(homes, level)
    return [
        Look(where, what, empty[where, what][0], ms, reads)
        for (where, what), (ms, reads) in filled.items()
    ]


_Found = dict[tuple[str, str], tuple[float, Sequence[str]]]


def _all(homes: Homes, level: Level) -> _Found:
    with platform(homes.of(level)).deployed() as running:
        settle(running.site)
        return {**_requests(running.site), **_statements(running.site)}


def _requests(site: Site) -> _Found:
    found: _Found = {}
    with httpx.Client(timeout=120, trust_env=False) as client:
        for name, paths in REQUESTS.items():
            for path in paths:
                url = f"{site.url(name)}{path}"
                found[name, f"GET {path}"] = _median(lambda u=url: _get(client, u)), ()
        url, asked = f"{site.url(ENTRY_SERVICE)}/erasures", _erasure(site)
        found[ENTRY_SERVICE, "POST /erasures"] = _median(lambda: client.post(url, json=asked)), ()
    return found


def _erasure(site: Site) -> dict[str, str]:
    """Return an erasure request for a customer with orders, if there is one.

    It changes nothing: it is refused while orders are in flight, and the orders that ended have
    nothing sealed.
    """
    with psycopg.connect(site.database(ENTRY_SERVICE)) as connection:
        (customer,) = connection.execute(
            "select coalesce(max(customer_id), 'nobody') from orders where order_id = "
            "(select max(order_id) from orders)"
        ).fetchone() or ("nobody",)
    return {"customer_id": customer, "actor": "bench", "reason": "a look"}


def _get(client: httpx.Client, url: str) -> None:
    client.get(url).raise_for_status()


def _median(work: Any) -> float:
    taken = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - begun))
    return round(statistics.median(taken), 1)


def repeated(now: datetime) -> Iterator[tuple[str, str, TextClause, dict[str, Any]]]:
    """Yield the database, name, text and parameters of each statement that processes repeat."""
    long_ago, nobody = now - timedelta(days=30), UUID(int=0)
    partitions = list(range(DEFAULT_PARTITIONS))
    due = {"partitions": partitions, "throughs": [now] * len(partitions), "latest": now}
    ended = {"ended": ["completed", "cancelled"], "before": long_ago, "limit": archiver.BATCH}
    codes = {"codes": list(auto_redrive.CODES), "but": [], "limit": auto_redrive.AT_ONCE}
    claim = {"token": nobody, "until": now, "now": now, "limit": 1000}
    yield MONITOR, "deadline scan", store.OVERDUE, {**due, "limit": 200}
    yield MONITOR, "what is history now", archiver.FINISHED, ended
    yield MONITOR, "words to forget", archiver.DELETE_COMMANDS, {"before": long_ago}
    yield MONITOR, "sagas in flight", metrics.IN_FLIGHT, {}
    yield MONITOR, "how far it has read", store.OFFSETS, {}
    for name in ("payment", ENTRY_SERVICE):
        yield name, "relay: next events", relay.FETCH, {"limit": relay.BATCH}
        yield name, "effects: lease", postgres.CLAIM_EFFECTS, claim
        yield name, "parked for newer code", postgres.PARKED_FOR, codes


def _statements(site: Site) -> _Found:
    found: _Found = {}
    for name, what, statement, parameters in repeated(datetime.now(UTC)):
        engine = engine_for(site.database(name))
        explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")
        with engine.connect() as connection:  # not committed: ANALYZE also executes writes
            plans = [connection.execute(explain, parameters).scalar_one() for _ in range(TIMES)]
        engine.dispose()
        trees = [plan if isinstance(plan, list) else orjson.loads(plan) for plan in plans]
        taken_ms = statistics.median(plan[0]["Execution Time"] for plan in trees)
        found[name, what] = round(taken_ms, 3), sorted(set(_reads(trees[0][0]["Plan"])))
    return found


def _reads(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables that the plan scans sequentially, if it reads more than READS_ALL rows."""
    rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    if plan["Node Type"] == "Seq Scan" and rows * plan["Actual Loops"] > READS_ALL:
        yield str(plan["Relation Name"])
    for inner in plan.get("Plans", ()):
        yield from _reads(inner)
