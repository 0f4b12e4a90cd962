"""Times the queries that do not belong to the processing of orders.

These are the requests of people and Prometheus, and the statements that a process repeats as long
as it runs. Each runs with and without many orders in the databases.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import orjson
import psycopg
from sqlalchemy import TextClause, text

from benchmarks.platform_contender import ENTRY_SERVICE, MONITOR
from benchmarks.scaling.prefilled_homes import EMPTY, Prefill, PrefilledHomes
from benchmarks.scaling.runs import platform_at, settle
from benchmarks.testbed import Testbed
from saga_lab.devstack.topics import DEFAULT_PARTITIONS
from saga_monitor import metrics
from saga_monitor.storage import archiver, store
from sagakit.handling import auto_redrive
from sagakit.outbox import relay
from sagakit.store import postgres
from sagakit.store.connections import sql_text
from sagakit.store.postgres import engine_for

REPEATS = 5
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
MANY_ROWS = 10_000
"""A sequential scan of more rows than these appears in the report."""


@dataclass(frozen=True)
class QueryTime:
    """The median milliseconds of one request or statement.

    `reads`: tables of which the statement reads more than MANY_ROWS rows in a sequential scan. It
    is empty for requests, because their plans are unknown.
    """

    where: str
    what: str
    empty_ms: float
    filled_ms: float
    reads: Sequence[str] = ()


def measure_queries(homes: PrefilledHomes, prefill: Prefill) -> list[QueryTime]:
    """Time every request and statement in the empty home and in the filled one."""
    empty, filled = _times(homes, EMPTY), _times(homes, prefill)
    return [
        QueryTime(where, what, empty[where, what][0], ms, reads)
        for (where, what), (ms, reads) in filled.items()
    ]


_Times = dict[tuple[str, str], tuple[float, Sequence[str]]]


def _times(homes: PrefilledHomes, prefill: Prefill) -> _Times:
    with platform_at(homes.of(prefill)).deploy() as running:
        settle(running.testbed)
        return {**_requests(running.testbed), **_statements(running.testbed)}


def _requests(testbed: Testbed) -> _Times:
    found: _Times = {}
    with httpx2.Client(timeout=120, trust_env=False, headers=testbed.headers) as client:
        for name, paths in REQUESTS.items():
            for path in paths:
                url = f"{testbed.url(name)}{path}"
                found[name, f"GET {path}"] = _median(lambda u=url: _get(client, u)), ()
        url, asked = f"{testbed.url(ENTRY_SERVICE)}/erasures", _erasure(testbed)
        found[ENTRY_SERVICE, "POST /erasures"] = _median(lambda: client.post(url, json=asked)), ()
    return found


def _erasure(testbed: Testbed) -> dict[str, str]:
    """Return an erasure request for a customer with orders, if there is one.

    It changes nothing: the service refuses it while orders are in flight, and orders that ended
    have no encrypted data here.
    """
    with psycopg.connect(testbed.database(ENTRY_SERVICE)) as connection:
        (customer,) = connection.execute(
            "select coalesce(max(customer_id), 'nobody') from orders where saga = "
            "(select max(saga) from orders)"
        ).fetchone() or ("nobody",)
    return {"customer_id": customer, "actor": "bench", "reason": "benchmark"}


def _get(client: httpx2.Client, url: str) -> None:
    client.get(url).raise_for_status()


def _median(work: Any) -> float:
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - begun))
    return round(statistics.median(taken), 1)


def repeated_statements(now: datetime) -> Iterator[tuple[str, str, TextClause, dict[str, Any]]]:
    """Yield the database, name, text and parameters of each statement that processes repeat."""
    long_ago, nobody = now - timedelta(days=30), UUID(int=0)
    partitions = list(range(DEFAULT_PARTITIONS))
    due = {"partitions": partitions, "throughs": [now] * len(partitions), "latest": now}
    ended = {"ended": ["completed", "cancelled"], "before": long_ago, "limit": archiver.BATCH}
    codes = {"codes": list(auto_redrive.CODES), "but": [], "limit": auto_redrive.AT_ONCE}
    claim = {"token": nobody, "until": now, "now": now, "limit": 1000}
    yield MONITOR, "deadline scan", store.OVERDUE, {**due, "limit": 200}
    yield MONITOR, "finished sagas to archive", archiver.FINISHED, ended
    yield MONITOR, "old commands to delete", archiver.DELETE_COMMANDS, {"before": long_ago}
    yield MONITOR, "sagas in flight", metrics.IN_FLIGHT, {}
    yield MONITOR, "stored offsets", store.OFFSETS, {}
    for name in ("payment", ENTRY_SERVICE):
        yield name, "relay: next events", relay.FETCH, {"limit": relay.BATCH}
        yield name, "effects: lease", text(sql_text("claim_effects")), claim
        yield name, "parked for newer code", postgres.PARKED_FOR, codes


def _statements(testbed: Testbed) -> _Times:
    found: _Times = {}
    for name, what, statement, parameters in repeated_statements(datetime.now(UTC)):
        engine = engine_for(testbed.database(name))
        explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")
        with engine.connect() as connection:  # not committed: ANALYZE also executes writes
            plans = [connection.execute(explain, parameters).scalar_one() for _ in range(REPEATS)]
        engine.dispose()
        trees = [plan if isinstance(plan, list) else orjson.loads(plan) for plan in plans]
        taken_ms = statistics.median(plan[0]["Execution Time"] for plan in trees)
        found[name, what] = round(taken_ms, 3), sorted(set(_large_scans(trees[0][0]["Plan"])))
    return found


def _large_scans(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables that the plan scans sequentially, if it reads more than MANY_ROWS rows."""
    rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    if plan["Node Type"] == "Seq Scan" and rows * plan["Actual Loops"] > MANY_ROWS:
        yield str(plan["Relation Name"])
    for inner in plan.get("Plans", ()):
        yield from _large_scans(inner)
