"""Exports Prometheus metrics; no other module of the kit imports prometheus_client.

Handler, publisher and outside calls have a wrapper each. Gauges are read from the tables at each
scrape.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from sagakit.bounded_call import BoundedCall
from sagakit.effects.worker import Perform, PerformWrapper
from sagakit.errors import RegistryUnavailable
from sagakit.handling.handler import HandlingResult, MessageHandler
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.envelope import AppendTimes, EffectRow, Message, OutboxRow
from sagakit.messages.framing import SchemaId
from sagakit.messages.registry_port import Registry
from sagakit.outbox.relay import OutboxPublisher
from sagakit.store.ports import Clock

R = TypeVar("R")
S = TypeVar("S")
log = structlog.get_logger(__name__)
CONTENT_TYPE = CONTENT_TYPE_LATEST

MESSAGES = Counter("saga_messages_total", "Messages by fate", ["participant", "fate"])
EVENTS = Counter("saga_events_total", "Own events decided, by type", ["participant", "type"])
BATCH_SECONDS = Histogram(
    "saga_batch_seconds",
    "Time of one transaction",
    ["participant"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCH_MESSAGES = Histogram(
    "saga_batch_messages",
    "Messages in one transaction",
    ["participant"],
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500),
)
_WAITS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
WAIT_SECONDS = Histogram(
    "saga_consume_wait_seconds",
    "From the log to the participant's tables",
    ["participant", "topic"],
    buckets=_WAITS_S,
)
RELAY_SECONDS = Histogram(
    "saga_relay_lag_seconds",
    "From an event's decision to the broker's acknowledgement",
    ["participant"],
    buckets=_WAITS_S,
)
EFFECT_SECONDS = Histogram(
    "saga_effect_seconds",
    "One attempt at a call to the outside world; outcome: answered or failed",
    ["participant", "kind", "outcome"],
    buckets=_WAITS_S,
)
FOREIGN = Counter(
    "saga_foreign_records_total",
    "Platform events of sagas of other applications, not handled here",
    ["participant"],
)
UNANSWERED = Counter(
    "saga_registry_unanswered_total",
    "Look-ups of a schema that the schema registry did not answer, so that a reader waits",
    ["participant"],
)
LOST = Counter(
    "saga_lost_records_total",
    "Records that a topic lost: removed before they were read, or with the end of its log",
    ["participant", "topic"],
)
CLOCK_APART = Gauge(
    "saga_clock_apart_s",
    "By how much this process's clock is ahead of the brokers', negative: behind; 0 below 5 s",
    ["participant"],
)
CLOCK_BOUND = timedelta(seconds=5)
GAUGES = text("""
    SELECT (SELECT count(*) FROM outbox) AS outbox,
           (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
              FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 1) o) AS outbox_age_s,
           (SELECT count(*) FROM effects) AS effects,
           (SELECT count(*) FROM effects
            WHERE attempts > 0 AND last_error NOT LIKE 'ResultPending:%') AS effects_retried,
           (SELECT count(*) FROM effects WHERE last_error LIKE 'OutcomeUntold:%')
             AS effects_untold,
           (SELECT count(*) FROM outbox_refused) AS outbox_refused,
           (SELECT count(*) FROM effects
            WHERE last_error LIKE 'EffectSetAside:%') AS effects_set_aside,
           (SELECT count(*) FROM parked WHERE code <> 'paused') AS parked
""")
OLDEST_SNAPSHOT = text("""
    SELECT holder, extract(epoch FROM clock_timestamp() - since) AS age_s FROM (
        SELECT format('session %s of %s, %s', pid, usename, application_name) AS holder,
               xact_start AS since
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
        UNION ALL
        SELECT format('prepared transaction %s of %s', gid, owner), prepared
        FROM pg_prepared_xacts WHERE database = current_database()
    ) AS held
    WHERE since IS NOT NULL ORDER BY since LIMIT 1
""")
NAMED_S = 60.0
"""From this age the oldest transaction is named: each name is a time series of its own."""
READ_S = 3.0
"""How long a scrape waits for the database, in seconds."""
PROCESS_HELP = {
    "saga_wait_s": "Seconds since the oldest transaction that is being tried again first failed",
    "saga_loop_age_s": "Seconds since the last turn of a loop of the process",
}
SNAPSHOT = "saga_oldest_snapshot_s"
SNAPSHOT_HELP = "Age of the oldest transaction in the database; dead rows since then are kept"
HELP = {
    "database_up": "1 if the database answered this scrape; else its gauges are missing",
    "outbox": "Events awaiting publication",
    "outbox_age_s": "Seconds the oldest of them has waited",
    "effects": "Pending effects",
    "effects_retried": "Pending effects that failed at least once",
    "effects_untold": "Pending effects whose answer no event can be made of",
    "outbox_refused": "Events that can never be published",
    "effects_set_aside": "Pending effects called once an hour, since processes died of them",
    "parked": "Parked records",
}


def sums_of(exposition: str) -> dict[str, float]:
    """Return name -> sum over all labels of each metric of a process, as it exposes them.

    Raises ValueError for another text.
    """
    return {
        family.name: sum(sample.value for sample in family.samples)
        for family in text_string_to_metric_families(exposition)
    }


class MeasuredHandler(Generic[S]):
    """Wraps a handler, and measures its batches, messages and events."""

    def __init__(self, handler: MessageHandler[S], participant: str, clock: Clock) -> None:
        self._handler, self._participant, self._clock = handler, participant, clock

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[S]]:
        """See `handler.Handler.handle`."""
        began = time.perf_counter()
        fates = self._handler.handle(messages)
        name = self._participant
        BATCH_SECONDS.labels(name).observe(time.perf_counter() - began)
        BATCH_MESSAGES.labels(name).observe(len(messages))
        now_s = self._clock().timestamp()
        for record in (m.record for m in messages if m.record):
            waited_s = max(now_s - record.timestamp_ms / 1000, 0.0)
            WAIT_SECONDS.labels(name, record.topic).observe(waited_s)
        for fate, n in Tally(f.disposition for f in fates).items():
            MESSAGES.labels(name, fate.value).inc(n)
        for kind, n in Tally(e.type for f in fates for e in f.events).items():
            EVENTS.labels(name, kind).inc(n)
        return fates


class MeasuredPublisher:
    """Wraps a relay's publisher, and measures how long events waited to be acknowledged.

    Every acknowledged row is measured, even if others of its batch failed. A broker stamps a record
    between the call and its end: a stamp outside shows that the clocks differ.
    """

    def __init__(self, publisher: OutboxPublisher, participant: str, clock: Clock) -> None:
        self._publisher, self._clock = publisher, clock
        self._lag = RELAY_SECONDS.labels(participant)
        self._apart = CLOCK_APART.labels(participant)

    def publish(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        """See `kafka.Publisher.publish`."""
        began = self._clock()
        try:
            logged = self._publisher.publish(rows)
        except PublishFailed as failure:
            self._observe([row for row in rows if row.id in failure.acknowledged])
            raise
        self._observe(rows)
        for at_ms in logged.values():
            if at_ms is not None:
                apart = clocks_apart(began, at_ms, self._clock())
                self._apart.set(apart.total_seconds())
                break
        return logged

    def discard(self) -> None:
        """See `kafka.Publisher.discard`."""
        self._publisher.discard()

    def _observe(self, rows: Sequence[OutboxRow]) -> None:
        now = self._clock()
        for row in rows:
            decided = next((value for name, value in row.headers if name == "ce_time"), None)
            # A dead-letter record carries the `ce_time` of its record.
            if decided and not row.topic.endswith(".dlt"):
                waited = now - datetime.fromisoformat(decided.decode())
                self._lag.observe(max(waited.total_seconds(), 0.0))


def clocks_apart(began: datetime, stamp_ms: int, ended: datetime) -> timedelta:
    """Return by how much a clock is at least ahead of the one that stamped in between.

    Negative if it is behind, 0 if they may be less than CLOCK_BOUND apart.
    """
    stamp = datetime.fromtimestamp(stamp_ms / 1000, UTC)
    if began - stamp >= CLOCK_BOUND:
        return began - stamp
    return ended - stamp if stamp - ended >= CLOCK_BOUND else timedelta(0)


class MeasuredCalls:
    """Times each attempt at a call to the outside world."""

    def __init__(self, participant: str, wrapper: PerformWrapper) -> None:
        self._participant, self._wrapper = participant, wrapper

    async def __call__(self, row: EffectRow, perform: Perform) -> Any:
        """Perform an effect, and time the attempt."""
        began, outcome = time.perf_counter(), "failed"
        try:
            result = await self._wrapper(row, perform)
            outcome = "answered"
        finally:
            labels = EFFECT_SECONDS.labels(self._participant, row.effect.kind, outcome)
            labels.observe(time.perf_counter() - began)
        return result


class MeasuredRegistry:
    """Wraps a schema registry, and counts the look-ups that it does not answer."""

    def __init__(self, registry: Registry, participant: str) -> None:
        self._registry = registry
        self._unanswered = UNANSWERED.labels(participant)

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """See `registry_port.Registry`."""
        return self._registry.register(subject, schema)

    def current_id(self, subject: str, schema: Mapping[str, Any]) -> int | None:
        """See `registry_port.Registry`."""
        return self._registry.current_id(subject, schema)

    def lookup(self, schema_id: SchemaId) -> Sequence[Any]:
        """See `registry_port.Registry`."""
        try:
            return self._registry.lookup(schema_id)
        except RegistryUnavailable:
            self._unanswered.inc()
            raise


def count_foreign(participant: str) -> Callable[[int], None]:
    """Return the function that counts platform events of other applications."""
    return FOREIGN.labels(participant).inc


def answer_or_none(ask: Callable[[], R]) -> R | None:
    """Return an answer of the database, None without one: a scrape tells what else is known."""
    try:
        return ask()
    except (SQLAlchemyError, TimeoutError) as error:
        log.warning("a scrape without the database", error=str(error) or type(error).__name__)
        return None


def count_lost(participant: str) -> Callable[[str, int], None]:
    """Return the function that counts records of a topic that were removed unread."""
    return lambda topic, records: LOST.labels(participant, topic).inc(records)


class TableGauges(Collector):
    """Counts outbox rows, effects and parked records of one database at each scrape."""

    def __init__(self, engine: Engine, participant: str) -> None:
        self._engine, self._participant = engine, participant
        self._ask = BoundedCall("gauges", self._read, READ_S)

    def _read(self) -> tuple[dict[str, float], tuple[str, float]]:
        with self._engine.connect() as connection:
            counts = {**connection.execute(GAUGES).one()._mapping}
            oldest = connection.execute(OLDEST_SNAPSHOT).one_or_none()
        return counts, (oldest.holder, float(oldest.age_s)) if oldest else ("", 0.0)

    def collect(self) -> Iterable[Metric]:
        """Yield one gauge per column of GAUGES, and whether the database gave them."""
        found = answer_or_none(self._ask)
        counts, oldest = found or ({}, None)
        if oldest is not None:
            holder, age_s = oldest
            gauge = GaugeMetricFamily(SNAPSHOT, SNAPSHOT_HELP, labels=["participant", "holder"])
            gauge.add_metric([self._participant, holder if age_s >= NAMED_S else ""], age_s)
            yield gauge
        for name, value in {"database_up": found is not None, **counts}.items():
            gauge = GaugeMetricFamily(f"saga_{name}", HELP[name], labels=["participant"])
            gauge.add_metric([self._participant], float(value))
            yield gauge

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not need the database."""
        return ()


class GaugeReadings(Collector):
    """Reads gauges at each scrape.

    `helps`: name -> help text. `read` yields name, labels and value.
    """

    def __init__(
        self,
        helps: Mapping[str, str],
        read: Callable[[], Iterable[tuple[str, Mapping[str, str], float]]],
    ) -> None:
        self._helps, self._read = helps, read

    def collect(self) -> Iterable[Metric]:
        """Return one gauge per name."""
        found: dict[str, GaugeMetricFamily] = {}
        for name, labels, value in self._read():
            if name not in found:
                found[name] = GaugeMetricFamily(name, self._helps[name], labels=list(labels))
            found[name].add_metric(list(labels.values()), value)
        return found.values()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not call `read`."""
        return ()


def counter(name: str, text: str, *labels: str) -> Counter:
    """Create a counter of this process."""
    return Counter(name, text, labels)


def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
    """Create a histogram of this process; `buckets` in seconds."""
    return Histogram(name, text, labels, buckets=buckets)


def register(collector: Collector) -> None:
    """Register a collector, which is read at each scrape of this process."""
    REGISTRY.register(collector)


def exposition() -> bytes:
    """Return all metrics of this process in the Prometheus text format."""
    return generate_latest()
