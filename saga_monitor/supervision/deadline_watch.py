"""Every second, update the watermark and emit events for sagas whose deadline has passed."""

import threading
import time
from collections.abc import Callable, Sequence, Set
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from saga_monitor.ingest import topic_identity
from saga_monitor.ingest.broker_clocks import BrokerClocks
from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.watermark import (
    EVERY_PARTITION,
    Clock,
    LogInspector,
    Offsets,
    Tick,
    Watermark,
    take_tick,
)
from saga_monitor.saga.deadlines import Emission, due_emissions
from saga_monitor.saga.facts import Saga
from saga_monitor.storage import store
from saga_monitor.storage.stored_saga import StoredSaga, reading
from saga_monitor.supervision.emitter import Emitter
from sagakit.contract.platform import VerdictGiven
from sagakit.errors import TopicRecreated, UnprocessableRecord
from sagakit.kafka.client import KafkaException
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.envelope import OutboxRow, TopicPartitionKey
from sagakit.messages.trace_ids import log_fields
from sagakit.retry import retry_transaction, retry_with_less
from sagakit.store.postgres import add_outbox

log = structlog.get_logger(__name__)
EVERY_S = 1.0
BATCH = 200
NOBODY_S = 60.0
"""How long a recreated topic may wait for a replica that reads it."""
ECHO_S = 30.0
"""How long an emitted event may take to be read back, in log time. After that it is emitted again,
under the same id."""


class DeadlineWatch:
    """Judges deadlines behind the watermark. Call `run` in a thread.

    `wake` is called after a commit that added outbox rows; `started_partitions` returns the
    partitions that this process has started to read. As of the last check: `watermark` is how far
    each partition is read, `unread` the number of records that could be read and are not, `hidden`
    the number of those behind open transactions, `tick_at` the log time of the tick.
    """

    def __init__(
        self,
        engine: Engine,
        projection: Projection,
        emitter: Emitter,
        clock: Clock,
        inspector: LogInspector,
        topics: Sequence[str],
        wake: Callable[[], None],
        started_partitions: Callable[[], Set[TopicPartitionKey]],
        clocks: BrokerClocks | None = None,
    ) -> None:
        self._clocks = clocks or BrokerClocks()
        self._skewed: Set[TopicPartitionKey] = frozenset()
        self._engine = engine
        self._projection = projection
        self._emitter = emitter
        self._clock = clock
        self._inspector = inspector
        self._topics = topics
        self._wake = wake
        self._started_partitions = started_partitions
        self._nobody_since: float | None = None
        self.watermark = Watermark()
        self.unread = self.hidden = 0
        self.tick_at: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        """Check every EVERY_S until `stop`. While the broker does not answer, judge nothing."""
        while not stop.is_set():
            try:
                self.check(stop)
            except (PublishFailed, KafkaException) as error:
                log.warning("no deadline is judged, log time is unknown", error=str(error))
            stop.wait(EVERY_S)

    def check(self, stop: threading.Event) -> int:
        """Take a tick, judge deadlines, and return the number of events emitted.

        Raises PublishFailed, KafkaException and TopicRecreated.
        """
        tick = take_tick(self._clock, self._inspector, self._topics)

        def read_offsets() -> Offsets:
            with self._engine.connect() as connection:
                return store.offsets(connection)

        stored = retry_transaction(read_offsets, stop)
        self._check_truncated(tick.ends, stored, stop)
        recreated = self._check_recreated(stop)
        self._count_unread(tick.ends, {**stored, **dict.fromkeys(recreated, 0)})
        if recreated:
            return 0
        self.watermark = self.watermark.after(tick, stored)
        self.tick_at = tick.at
        self._compare_clocks(tick)
        return self.emit_due(stop)

    def _compare_clocks(self, tick: Tick) -> None:
        """Note the tick, and log partitions whose leader's clock differs, when that begins."""
        self._clocks.note_tick(tick)
        found = self._clocks.differences()
        for (topic, partition), ahead in found.items():
            if (topic, partition) not in self._skewed:
                log.error(
                    "the clocks of brokers differ",
                    topic=topic,
                    partition=partition,
                    leader_ahead_s=ahead.total_seconds(),
                    remedy="docs/runbooks/broker-clocks.md",
                )
        self._skewed = found.keys()

    def _count_unread(self, ends: Offsets, stored: Offsets) -> None:
        readable = ends
        if any(stored.get(place, 0) < end for place, end in ends.items()):
            readable = self._inspector.readable_ends(self._topics)
        self.unread = sum(max(end - stored.get(at, 0), 0) for at, end in readable.items())
        self.hidden = sum(max(end - readable.get(at, end), 0) for at, end in ends.items())

    def _check_truncated(self, ends: Offsets, stored: Offsets, stop: threading.Event) -> None:
        """Raise TopicRecreated if a topic ends before its stored offset.

        It was recreated or has lost its tail. Its offsets are reset, and the process restarts and
        reads it from the first record, before it grows as long as the old one.
        """
        if all(stored.get(place, 0) <= end for place, end in ends.items()):
            return
        ends = self._inspector.ends(self._topics)  # ends that are newer than the stored offsets
        shorter = {place: 0 for place, end in ends.items() if stored.get(place, 0) > end}
        if not shorter:
            return

        def reset() -> None:
            with self._engine.begin() as connection:
                store.reset(connection, shorter)

        retry_transaction(reset, stop)
        names = ", ".join(sorted({topic for topic, _ in shorter}))
        raise TopicRecreated(
            f"{names} was recreated or has lost records; the restarted process reads it from its "
            "first record"
        )

    def _check_recreated(self, stop: threading.Event) -> Sequence[TopicPartitionKey]:
        """Return partitions of recreated topics that nobody reads yet: nothing is judged till then.

        A recreated topic that is already as long as the old one differs only by its id. Start
        offsets are chosen at an assignment, so this raises TopicRecreated if this process has
        started at the offsets of the old topic, or if for NOBODY_S no replica was given them.
        """
        ids = self._inspector.ids(self._topics)

        def find_recreated() -> list[TopicPartitionKey]:
            with self._engine.begin() as connection:
                topic_identity.note_missing_ids(connection, ids)
                return topic_identity.recreated_partitions(connection, ids)

        recreated = retry_transaction(find_recreated, stop)
        if started := self._started_partitions() & set(recreated):
            names = ", ".join(sorted({topic for topic, _ in started}))
            raise TopicRecreated(
                f"{names} was recreated; the restarted process reads it from its first record"
            )
        self._wait_for_reader(recreated)
        return recreated

    def _wait_for_reader(self, recreated: Sequence[TopicPartitionKey]) -> None:
        now = time.monotonic()
        self._nobody_since = (self._nobody_since or now) if recreated else None
        if self._nobody_since is not None and now - self._nobody_since > NOBODY_S:
            names = ", ".join(sorted({topic for topic, _ in recreated}))
            raise TopicRecreated(
                f"{names} was recreated, and for {NOBODY_S:.0f} s no replica of the monitor was "
                "given it to read; the restarted process joins the group as another member"
            )

    def emit_due(self, stop: threading.Event) -> int:
        """Emit events for all sagas whose deadline has passed in log time; return their number."""
        emitted = 0
        while not stop.is_set():
            judge = lambda limit: (limit, *self._emit_batch(limit))  # noqa: E731
            most, sagas, events = retry_with_less(judge, BATCH, stop)
            emitted += events
            if events:
                self._wake()
            if sagas < most:
                break
        return emitted

    def _emit_batch(self, limit: int) -> tuple[int, int]:
        """Judge up to `limit` sagas; return the numbers of sagas judged and of events emitted."""
        partitions = [*self.watermark.read_through, EVERY_PARTITION]
        known = {p: at for p in partitions if (at := self.watermark.of_partition(p)) is not None}
        if not known:
            return 0, 0
        behind = self._clocks.behind()
        with self._engine.begin() as connection:
            overdue = store.overdue(connection, known, limit)
            rows: list[OutboxRow] = []
            quiet_until: dict[str, datetime] = {}
            for stored, partition in overdue:
                through = self.watermark.of_saga(stored.id, partition)
                quiet_until[stored.key] = known[partition]
                if through is None:
                    continue
                emitted = self._judged(connection, stored, through - behind)
                rows += emitted or ()
                if emitted or emitted is None:
                    quiet_until[stored.key] = through + timedelta(seconds=ECHO_S)
            add_outbox(connection, rows)
            store.snooze(connection, quiet_until)
        return len(overdue), len(rows)

    def _judged(
        self, connection: Connection, stored: StoredSaga, through: datetime
    ) -> list[OutboxRow] | None:
        """Return the rows to emit for a saga; None if it cannot be judged: others still are."""
        try:
            return self._outbox_rows(connection, stored.load(), through)
        except UnprocessableRecord as error:
            log.error("a deadline cannot be judged", saga=stored.key, reason=str(error))
            return None

    def _outbox_rows(
        self, connection: Connection, saga: Saga, through: datetime
    ) -> list[OutboxRow]:
        view = self._projection.view(saga)
        with reading(saga.key):
            due = due_emissions(saga, view, through)
        emissions = [
            emission
            for emission in due
            if emission.event.type != VerdictGiven.type
            or self._is_first(connection, saga, emission, through)
        ]
        for emission in emissions:
            log.warning(
                "deadline passed",
                **log_fields(saga.key, emission.id),
                emitted=emission.event.type,
                reason=emission.event.reason,
            )
        return [self._emitter.outbox_row(saga, view.flow, e, through) for e in emissions]

    def _is_first(
        self, connection: Connection, saga: Saga, verdict: Emission, at: datetime
    ) -> bool:
        """Return False if a person's verdict is in the outbox already; else record this one.

        A person's later verdict is then refused, and the refusal names this one.
        """
        earlier = store.record_command(connection, saga.key, verdict.id, verdict.event, at)
        return earlier is None or earlier == verdict.event.to_dict()
