"""Every second, update the watermark and emit events for orders whose deadline has passed."""

import threading
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from saga_monitor.ingest import topic_identity, watermark
from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.watermark import EVERY_PARTITION, Gate
from saga_monitor.saga.deadlines import Emission, judge
from saga_monitor.saga.facts import SOURCE, Saga
from saga_monitor.storage import queries, store
from sagakit.errors import TopicRecreated
from sagakit.kafka.client import KafkaException
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, OutboxRow, TopicPartitionKey, Trace
from sagakit.messages.trace_ids import event_traceparent, log_fields
from sagakit.retry import retry_transaction
from sagakit.store.postgres import add_outbox
from sagakit.telemetry import metrics
from schemas.events import VerdictGiven

log = structlog.get_logger(__name__)
EVERY_S = 1.0
BATCH = 200
ECHO_S = 30.0
"""The wait, in log time, for an emitted event to be read back before it is emitted again, under the
same id."""


@dataclass(frozen=True)
class Voice:
    """Turns the monitor's emissions into outbox rows.

    Its events carry no sequence: two replicas may emit the same event, and consumers recognize the
    repeat by its id.
    """

    codec: Codec

    def row(self, saga: Saga, flow: str, emission: Emission, at: datetime) -> OutboxRow:
        """Return the outbox row of an emission; the caller holds the lock of the saga's row."""
        first = next(iter(saga.timeline()), None)
        correlation = first.id if first else str(emission.id)
        trace = Trace(
            flow, correlation=correlation, traceparent=event_traceparent(emission.id, saga.order_id)
        )
        envelope = Envelope(
            id=emission.id,
            key=saga.order_id,
            source=SOURCE,
            seq=None,
            time=at,
            event=emission.event,
            causation=emission.cause,
            trace=trace,
        )
        metrics.EVENTS.labels("monitor", emission.event.type).inc()
        return self.codec.encode(envelope)


class Watch:
    """Judges deadlines behind the watermark. Call `run` in a thread.

    `wake` is called after a commit that added outbox rows; `reading` returns the partitions that
    this process has started to read. As of the last look: `gate` holds how far each partition is
    read, `unread` the number of unread records, `tick_at` the log time of the tick.
    """

    def __init__(
        self,
        engine: Engine,
        projection: Projection,
        voice: Voice,
        clock: watermark.Clock,
        ends: watermark.LogInspector,
        topics: Sequence[str],
        wake: Callable[[], None],
        reading: Callable[[], Set[TopicPartitionKey]],
    ) -> None:
        self._engine = engine
        self._projection = projection
        self._voice = voice
        self._clock = clock
        self._log = ends
        self._topics = topics
        self._wake = wake
        self._reading = reading
        self.gate = Gate()
        self.unread = 0
        self.tick_at: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        """Look every EVERY_S until `stop`. While the broker does not answer, judge nothing."""
        while not stop.is_set():
            try:
                self.look(stop)
            except (PublishFailed, KafkaException) as error:
                log.warning("cannot tell the log time, nothing is judged", error=str(error))
            stop.wait(EVERY_S)

    def look(self, stop: threading.Event) -> int:
        """Take a tick, judge deadlines, and return the number of events emitted.

        Raises PublishFailed, KafkaException and TopicRecreated.
        """
        tick = watermark.take(self._clock, self._log, self._topics)

        def read() -> watermark.Offsets:
            with self._engine.connect() as connection:
                return store.offsets(connection)

        stored = retry_transaction(read, stop)
        self._check_truncated(tick.ends, stored, stop)
        if self._check_recreated(stop):
            return 0
        self.gate = self.gate.after(tick, stored)
        self.tick_at = tick.at
        self.unread = sum(max(end - stored.get(place, 0), 0) for place, end in tick.ends.items())
        return self.judge(stop)

    def _check_truncated(
        self, ends: watermark.Offsets, stored: watermark.Offsets, stop: threading.Event
    ) -> None:
        """Raise TopicRecreated if a topic ends before its stored offset.

        It was recreated or has lost its tail. Its offsets are reset, and the process restarts and
        reads it from the first record, before it grows as long as the old one.
        """
        if all(stored.get(place, 0) <= end for place, end in ends.items()):
            return
        ends = self._log.ends(self._topics)  # ends that are newer than the stored offsets
        shorter = {place: 0 for place, end in ends.items() if stored.get(place, 0) > end}
        if not shorter:
            return

        def reset() -> None:
            with self._engine.begin() as connection:
                store.reset(connection, shorter)

        retry_transaction(reset, stop)
        names = ", ".join(sorted({topic for topic, _ in shorter}))
        raise TopicRecreated(f"{names} recreated or truncated: it is read from the first record")

    def _check_recreated(self, stop: threading.Event) -> bool:
        """Return True while a recreated topic is still to be read: nothing is judged until then.

        A recreated topic that is already as long as the old one differs only by its id. Start
        offsets are chosen at an assignment, so this raises TopicRecreated if this process has
        started at the offsets of the old topic.
        """
        ids = self._log.ids(self._topics)

        def of_another() -> list[TopicPartitionKey]:
            with self._engine.begin() as connection:
                topic_identity.first_seen(connection, ids)
                return topic_identity.of_another_log(connection, ids)

        other = retry_transaction(of_another, stop)
        if begun := self._reading() & set(other):
            names = ", ".join(sorted({topic for topic, _ in begun}))
            raise TopicRecreated(f"{names} recreated; the monitor restarts at the first record")
        return bool(other)

    def judge(self, stop: threading.Event) -> int:
        """Emit events for all orders whose deadline has passed in log time; return their number."""
        emitted = 0
        while not stop.is_set():
            looked_at, said = retry_transaction(self._judge_some, stop)
            emitted += said
            if said:
                self._wake()
            if looked_at < BATCH:
                break
        return emitted

    def _judge_some(self) -> tuple[int, int]:
        partitions = [*self.gate.read_through, EVERY_PARTITION]
        known = {p: at for p in partitions if (at := self.gate.of(p)) is not None}
        if not known:
            return 0, 0
        with self._engine.begin() as connection:
            overdue = store.overdue(connection, known, BATCH)
            rows: list[OutboxRow] = []
            quiet: dict[str, datetime] = {}
            for saga, partition in overdue:
                through = self.gate.of_order(saga.order_id, partition)
                quiet[saga.order_id] = known[partition]
                if through is not None and (said := self._said(connection, saga, through)):
                    rows += said
                    quiet[saga.order_id] = through + timedelta(seconds=ECHO_S)
            add_outbox(connection, rows)
            store.snooze(connection, quiet)
        return len(overdue), len(rows)

    def _said(self, connection: Connection, saga: Saga, through: datetime) -> list[OutboxRow]:
        seen = self._projection.view(saga)
        emissions = [
            emission
            for emission in judge(saga, seen, through)
            if emission.event.type != VerdictGiven.type
            or self._is_first(connection, emission, through)
        ]
        for emission in emissions:
            log.warning(
                "deadline passed",
                **log_fields(saga.order_id, emission.id),
                emitted=emission.event.type,
                reason=emission.event.reason,
            )
        return [self._voice.row(saga, seen.flow, emission, through) for emission in emissions]

    def _is_first(self, connection: Connection, verdict: Emission, at: datetime) -> bool:
        """Return False if a person's verdict is on its way; else record this one.

        A person's later verdict is then refused with the words of this one.
        """
        event = verdict.event
        words = event.to_dict()
        before = queries.said(connection, verdict.id, event.type, event.order_id, words, at)
        return before is None or before == words
