"""Define all metrics of the monitor.

The projection reports its commits to `Meter`; at a scrape `Meter` reads the other values from the
tables and the watermark.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, text

from saga_monitor.saga.facts import log_time
from saga_monitor.saga.measures import (
    Change,
    deadline_requests,
    movements,
    status_changes,
    step_times,
)
from sagakit.bounded_call import BoundedCall
from sagakit.messages.envelope import Record
from sagakit.telemetry import metrics

_FLOW = ("flow", "version")
MAX_KINDS = 20
_LONG_S = (0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 86400, 3 * 86400, 7 * 86400)
_SHORT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)

SAGAS = metrics.counter(
    "saga_sagas_total", "Sagas that started, completed, were cancelled", *_FLOW, "became"
)
TIMEOUTS = metrics.counter("saga_timeouts_total", "Steps whose deadline passed", *_FLOW, "step")
MOVED = metrics.counter(
    "saga_balance_moved_total",
    "What events added to balances and removed from them",
    *("flow", "balance", "kind", "moved"),
)
STEP_SECONDS = metrics.histogram(
    "saga_step_seconds", "From due to done, failed or undone", _LONG_S, *_FLOW, "step", "outcome"
)
LATE_SECONDS = metrics.histogram(
    "saga_deadline_late_seconds", "From a deadline to the request in the log", _SHORT_S, "step"
)
WAIT_SECONDS = metrics.histogram(
    "saga_queue_wait_seconds", "From the log to the monitor's tables, by topic", _SHORT_S, "topic"
)
HELP = {
    "saga_in_flight": "Sagas that have not ended, by status",
    "saga_unreadable": "Records that could not be read",
    "saga_interventions": "Interventions that are open or claimed, by code and age",
    "saga_unread": "Records that the monitor has not read yet, at its last check",
    "saga_behind_open_transactions": "Records that nobody can read before a transaction ends",
    "saga_broker_clocks_apart_s": "By how much the clocks of brokers differ, 0 below 5 seconds",
    "saga_read_through_age_s": "Age of the log time up to which all topics are read, in seconds",
}
IN_FLIGHT = text("""
    SELECT coalesce(flow, '') AS flow, coalesce(version, 0) AS version, status, count(*) AS sagas
    FROM saga
    WHERE status IN ('unplaced', 'running', 'waiting', 'paused', 'undoing', 'intervention')
    GROUP BY 1, 2, 3
""")
INTERVENTIONS = text("""
    SELECT code, status, CASE WHEN age < interval '1 hour' THEN '1h'
                        WHEN age < interval '1 day' THEN '1d'
                        WHEN age < interval '7 days' THEN '7d' ELSE 'more' END AS up_to,
           count(*) AS interventions
    FROM (SELECT code, status, CAST(:now AS timestamptz) - opened_at AS age
          FROM intervention WHERE status IN ('open', 'claimed')) AS waiting
    GROUP BY 1, 2, 3
""")
UNREADABLE = text("SELECT count(*) FROM monitor_unreadable")
Reading = tuple[str, Mapping[str, str], float]


class Position(NamedTuple):
    """The monitor's read position: unread records, and the log time up to which it has read all.

    hidden: the number of records behind open transactions; clocks_apart_s: by how much the clocks
    of brokers differ, 0 within the bound.
    """

    unread: int
    hidden: int
    read_through: datetime | None
    clocks_apart_s: float


class KindLabels:
    """Bounds the label `kind`: the first MAX_KINDS kinds of a balance have their own, then `other`.

    A kind may be an article of a catalogue, and each label costs memory until the process ends.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], set[str]] = defaultdict(set)

    def label(self, flow: str, balance: str, kind: str) -> str:
        """Return the label for a kind."""
        known = self._known[flow, balance]
        if len(known) < MAX_KINDS:
            known.add(kind)
        return kind if kind in known else "other"


_KINDS = KindLabels()


class Meter:
    """Counts committed records and changes; `read` yields the gauges."""

    def __init__(
        self, engine: Engine, position: Callable[[], Position], now: Callable[[], datetime]
    ) -> None:
        self._engine, self._position, self._now = engine, position, now
        self._ask = BoundedCall("monitor gauges", self._of_tables, metrics.READ_S)

    def count_commit(self, records: Sequence[Record], changes: Sequence[Change]) -> None:
        """Count records and changes that are committed to the tables."""
        now = self._now()
        for record in records:
            wait_s = (now - log_time(record.timestamp_ms)).total_seconds()
            WAIT_SECONDS.labels(record.topic).observe(max(wait_s, 0.0))
        for change in changes:
            _count_change(change)

    def read(self) -> Iterator[Reading]:
        """Yield all gauges; without an answer of the database, those that need none."""
        yield from metrics.answer_or_none(self._ask) or ()
        position = self._position()
        yield "saga_unread", {}, position.unread
        yield "saga_broker_clocks_apart_s", {}, position.clocks_apart_s
        yield "saga_behind_open_transactions", {}, position.hidden
        if position.read_through is not None:
            age = self._now() - position.read_through
            yield "saga_read_through_age_s", {}, age.total_seconds()

    def _of_tables(self) -> list[Reading]:
        found: list[Reading] = []
        with self._engine.connect() as connection:
            for flow, version, status, sagas in connection.execute(IN_FLIGHT):
                labels = {"flow": flow, "version": str(version), "status": status}
                found.append(("saga_in_flight", labels, sagas))
            now = {"now": self._now()}
            for code, status, up_to, number in connection.execute(INTERVENTIONS, now):
                labels = {"code": code, "status": status, "up_to": up_to}
                found.append(("saga_interventions", labels, number))
            unreadable = connection.execute(UNREADABLE).scalar_one()
        return [*found, ("saga_unreadable", {}, unreadable)]


def _count_change(change: Change) -> None:
    flow, _, version = change.plan.label.partition("/")
    for status in status_changes(change):
        SAGAS.labels(flow, version, status).inc()
    for moved in movements(change):
        kind = _KINDS.label(flow, moved.name, moved.kind)
        MOVED.labels(flow, moved.name, kind, "added").inc(max(moved.added, 0))
        MOVED.labels(flow, moved.name, kind, "removed").inc(max(moved.removed, 0))
    for request in deadline_requests(change):
        LATE_SECONDS.labels(request.step).observe(request.late_s)
        if request.attempt == 1:
            TIMEOUTS.labels(flow, version, request.step).inc()
    for step in step_times(change):
        STEP_SECONDS.labels(flow, version, step.step, step.outcome).observe(step.seconds)
