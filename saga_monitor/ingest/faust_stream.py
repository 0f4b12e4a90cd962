"""Read every flow topic with Faust and hand micro-batches to the projection.

Only this module imports Faust. The monitor may lag a little, and a fetch, a Faust message and a
transaction cost about as much for one event as for several. So the broker collects records for a
moment before it answers a fetch, each fetch yields one Faust message (`Bundle`) per partition, and
a batch holds everything that arrived while the previous batch was written.

`Stream.take` is unsuitable: it acks in a `finally`, so it commits a batch whose processing failed.
Here a batch is acked once the projection's transaction has committed. The group's committed offsets
are not used, because Faust also acks events that it drops in a rebalance: reading always starts at
the offsets in the projection's database.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple, cast

import faust
import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage
from sqlalchemy import Connection, Engine

from saga_monitor import GROUP
from saga_monitor.ingest import record_batches, topic_identity
from saga_monitor.ingest.broker_clocks import BrokerClocks
from saga_monitor.ingest.lost_records import tell_lost
from saga_monitor.ingest.projection import BatchCounts, Projection
from saga_monitor.ingest.refused_reads import RefusedReads
from saga_monitor.ingest.watermark import CLOCK_TOPIC, LogInspector
from saga_monitor.storage import store
from sagakit.handling.attempts import KILLED, SINGLE_AFTER, Attempts
from sagakit.kafka.client import KafkaException
from sagakit.kafka.consumer import SESSION_S, TOPICS_S, member_of
from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.envelope import (
    Record,
    SkippedRecords,
    TopicPartitionKey,
    first_not_skipped,
    unreadable_header,
)
from sagakit.retry import retry_transaction
from sagakit.service.settings import ServiceSettings
from sagakit.stop_signal import StopSignal
from sagakit.store.skipped_records import skipped_records
from sagakit.telemetry import metrics

log = structlog.get_logger(__name__)
BATCH = 4000
ENOUGH_BYTES, MOST_BYTES, MOST_WAIT_MS = 64 * 1024, 128 * 1024, 500
"""Fetch sizes: the broker answers at once when it has ENOUGH_BYTES, else after MOST_WAIT_MS; a
fetch returns at most MOST_BYTES of a partition (or one record batch, if that is larger)."""
BUNDLES = 64
"""The largest number of bundles that wait to be written."""
SAME_FETCH_S = 0.005
"""The wait, after the first bundle of a fetch, for the bundles of its other partitions."""
LOG_APPEND_TIME = 1
"""The timestamp type of records of a topic that is set to LogAppendTime."""
TURN_S = 1.0
SEEK_S = 60.0
"""The longest wait for the database at an assignment; then the process exits and is restarted. It
must stay below 90 s: after that Faust itself hangs forever."""


class StreamError(Exception):
    """The stream cannot continue; the process exits and is restarted."""


def start_at(stored: int | None, first: int, end: int) -> int:
    """Return the offset at which to start reading a partition.

    The partition holds offsets `first` to `end` (excluded). Start at the stored offset; start at
    the first record if none is stored or if it lies outside the log (topic recreated, tail lost,
    retention passed). Reading a record twice does no harm.
    """
    if stored is None or not first <= stored <= end:
        return first
    return stored


class Bundle(ConsumerMessage):
    """One Faust message for all records that one fetch returned from one partition.

    `position` is the offset at which reading goes on: past the last record, and past markers of
    transactions and aborted records behind it. A bundle without records holds such a position
    alone. Faust delivers, tracks and acks it under the offset before `position`.
    """

    def __init__(self, tp: Any, fetched: "Fetched", generation_id: int) -> None:
        last = fetched.records[-1] if fetched.records else None
        super().__init__(
            topic=tp.topic,
            partition=tp.partition,
            offset=fetched.position - 1,
            timestamp=last.timestamp / 1000 if last else 0.0,
            timestamp_type=last.timestamp_type if last else 0,
            headers=None,
            key=None,
            value=None,
            checksum=None,
            tp=tp,
            generation_id=generation_id,
        )
        self.records, self.position = fetched.records, fetched.position


class Fetched(NamedTuple):
    """The records that one fetch returned from one partition, and the position after it."""

    records: Sequence[Any]
    position: int


class BundlingFetcher(driver.AIOKafkaConsumerThread):
    """Lets the broker collect records, and passes on each partition's records as one item.

    `positions`: partition -> the position that was passed on last. See docs/decisions/0018.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.positions: dict[Any, int] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        record_batches.install()
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = ENOUGH_BYTES
        consumer._fetch_max_wait_ms = MOST_WAIT_MS
        consumer._isolation_level = "read_committed"
        self._refused, commit = transport.app.reader.refused, consumer.commit
        consumer.commit = lambda offsets: self._refused.heed(commit(offsets), None)
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Return partition -> a list whose only item is a `Fetched`.

        Runs in the consumer's thread, so no position moves meanwhile.
        """
        fetch = super()._fetch_records(consumer, active_partitions, *args, **kwargs)
        found = await self._refused.heed(fetch, {})
        fetched = {}
        for tp in {*active_partitions, *found}:
            records = found.get(tp, ())
            position = records[-1].offset + 1 if records else 0
            state = consumer._subscription.subscription.assignment.state_value(tp)
            if state is not None and state.has_valid_position:
                position = max(position, state.position)
            if records or position > self.positions.get(tp, 0):
                self.positions[tp] = position
                fetched[tp] = [Fetched(records, position)]
        return fetched


class Consumer(driver.Consumer):
    """Starts Faust's consumer at the offsets in the projection's database."""

    def _new_consumer_thread(self) -> BundlingFetcher:
        return BundlingFetcher(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: Any, record: Any) -> Bundle:
        return Bundle(tp, cast(Fetched, record), self.app.consumer_generation_id)

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Seek to the start offsets and return them; Faust takes them for the committed offsets.

        Faust calls this at every (re)assignment.
        """
        partitions = self.assignment()
        first = await self.earliest_offsets(*partitions)
        ends = await self.highwaters(*partitions)
        places = {tp: (first[tp], ends[tp]) for tp in partitions}
        starts = await cast(App, self.app).reader.start_offsets(places)
        cast(BundlingFetcher, self._thread).positions.update(starts)
        await self.seek_wait(starts)
        return starts


class Transport(driver.Transport):
    """Faust's Kafka transport with the `Consumer` of this module."""

    Consumer = Consumer


class App(faust.App):
    """A Faust app that keeps nothing on disk."""

    reader: "StreamReader"

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Create no data directory: the app has no Faust tables."""


class StreamReader:
    """Reads the flow topics into the projection. Call `run` once, in the event loop.

    `started_partitions`: the partitions that this process has started to read. `clocks` compares
    the stamps of what is read; `refused` tells which topics the broker refuses. `client_id`: under
    which the group is joined.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        topics: Sequence[str],
        engine: Engine,
        projection: Projection,
        inspector: LogInspector,
        stop: StopSignal | None = None,
        *,
        group: str = GROUP,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._engine = engine
        self._projection = projection
        self._inspector = inspector
        self._group = group
        self._stop = stop or StopSignal()
        self._attempts = Attempts(engine, self._stop)
        self._skipped: SkippedRecords = {}
        self._clock: Publisher | None = None
        self._ending = asyncio.Event()
        self._writing = False
        self.client_id = settings.instance_id
        self.clocks = BrokerClocks()
        self.refused = RefusedReads()
        self.started_partitions: set[TopicPartitionKey] = set()
        self._failed: asyncio.Future[None] | None = None
        self.running = False

    async def run(self) -> None:
        """Read until `end`, and finish the batch in hand. Raises StreamError."""
        self._failed = asyncio.get_running_loop().create_future()
        app = self._app(await asyncio.to_thread(self._static_member))
        ending = asyncio.create_task(self._ending.wait())
        starting = asyncio.create_task(app.start())
        await self._turns({ending, starting})
        if starting.done():
            await starting
            self.running = True
            await self._turns({ending, asyncio.create_task(app.wait_until_stopped()), self._failed})
            self.running = False
        starting.cancel()
        ending.cancel()
        reason = app.crash_reason or (self._failed.done() and self._failed.exception())
        await app.stop()
        if reason:
            raise StreamError(
                f"reading the topics failed: {type(reason).__name__}: {reason}"
            ) from reason

    def end(self) -> None:
        """Ask `run` to end."""
        self._ending.set()

    async def _turns(self, ends: Set[asyncio.Future[Any]]) -> None:
        """Wait for the first of `ends`; each TURN_S without a batch in hand is a turn.

        With a batch in hand only the attempts of its transaction are turns.
        """
        done: Set[asyncio.Future[Any]] = set()
        while not done:
            if not self._writing:
                self._stop.turn()
            done, _ = await asyncio.wait(ends, timeout=TURN_S, return_when=FIRST_COMPLETED)

    async def start_offsets(self, places: Mapping[Any, tuple[int, int]]) -> dict[Any, int]:
        """Return the start offset of each partition, and store it if it is not the stored one.

        The watermark counts records as read up to the stored offset. places: Faust's partition ->
        its first and end offset.
        """

        def look_up() -> dict[Any, int]:
            ids = self._topic_ids()
            with self._engine.begin() as connection:
                self._skipped = skipped_records(connection)
                stored = store.offsets(connection)
                assigned = {(tp.topic, tp.partition) for tp in places}
                recreated = assigned & set(topic_identity.recreated_partitions(connection, ids))
                wanted = stored | self._readable_now(connection, stored, assigned - recreated)
                wanted |= dict.fromkeys(recreated, 0)
                found = {
                    tp: self._pass_over(
                        tp, start_at(wanted.get((tp.topic, tp.partition)), first, end)
                    )
                    for tp, (first, end) in places.items()
                }
                changed = {
                    (tp.topic, tp.partition): start
                    for tp, start in found.items()
                    if stored.get((tp.topic, tp.partition), 0) != start
                }
                store.reset(connection, changed)
                topic_identity.note_ids(connection, recreated, ids)
            firsts = {(tp.topic, tp.partition): first for tp, (first, _) in places.items()}
            tell_lost(
                {p: (stored.get(p, 0), first) for p, first in firsts.items() if p not in recreated}
            )
            return found

        stored = asyncio.to_thread(retry_transaction, look_up, self._stop.event)
        starts = await asyncio.wait_for(stored, SEEK_S)
        partitions = {(tp.topic, tp.partition) for tp in starts}
        self._attempts.assigned(partitions)
        self.started_partitions |= partitions
        log.info(
            "reading from", offsets={f"{tp.topic}/{tp.partition}": o for tp, o in starts.items()}
        )
        return starts

    def _topic_ids(self) -> dict[str, str]:
        """Return topic -> id; empty if the broker does not answer.

        Reading starts without the ids: the deadline watch fetches them before it judges a deadline.
        """
        try:
            return self._inspector.ids(self._topics)
        except KafkaException as error:
            log.warning(
                "topic ids not known, recreated topics cannot be recognized yet", error=str(error)
            )
            return {}

    def _readable_now(
        self,
        connection: Connection,
        stored: Mapping[TopicPartitionKey, int],
        assigned: Set[TopicPartitionKey],
    ) -> dict[TopicPartitionKey, int]:
        """Find unreadable records that this code can read; return partition -> where to start.

        That is the lowest offset of such a record, and never one past the stored offset. The
        records are deleted from the unreadable ones.
        """
        records = [
            record
            for record in store.unknown_schema_records(connection)
            if (record.topic, record.partition) in assigned and self._projection.understands(record)
        ]
        store.delete_unreadable(connection, records)
        starts: dict[TopicPartitionKey, int] = {}
        for record in records:
            place = (record.topic, record.partition)
            starts[place] = min(record.offset, starts.get(place, stored.get(place, record.offset)))
        return starts

    def _static_member(self) -> str | None:
        if not self._settings.static_membership:
            return None
        name = f"{self._group}-{self._settings.instance_id}"
        return member_of(name, self._topics, self._topic_ids())

    def _app(self, static_member: str | None) -> App:
        servers = self._settings.bootstrap_servers.split(",")
        app = App(
            self._group,
            broker=[f"kafka://{server.strip()}" for server in servers],
            broker_client_id=self.client_id,
            broker_session_timeout=SESSION_S,
            consumer_group_instance_id=static_member,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=round(TOPICS_S * 1000),
            store="memory://",
            consumer_max_fetch_size=MOST_BYTES,
            stream_buffer_maxsize=BUNDLES,
            stream_recovery_delay=0.0,
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            loop=asyncio.get_running_loop(),
        )
        app.reader = self
        channel = app.topic(*self._topics)
        app.agent(channel, name="projection")(self._consume)
        return app

    async def _consume(self, stream: Any) -> None:
        try:
            await self._read_batches(stream.noack())
        except Exception as error:
            # If this returned, Faust would restart the agent behind this batch and so skip it.
            # Fail `run` instead, and block here until the process ends.
            assert self._failed is not None
            self._failed.set_exception(error)
            await asyncio.Event().wait()

    async def _read_batches(self, stream: Any) -> None:
        arrived = stream.channel.queue
        bundles: list[Any] = []
        async for event in stream.events():
            if not bundles and arrived.empty():
                await asyncio.sleep(SAME_FETCH_S)
            bundles.append(event)
            records = sum(len(e.message.records) for e in bundles)
            if records < BATCH and not arrived.empty():
                continue
            self._writing = True
            await asyncio.to_thread(self._project, [e.message for e in bundles])
            self._writing = False
            for bundle in bundles:
                await stream.ack(bundle)
            bundles.clear()

    def _project(self, bundles: Sequence[Bundle]) -> BatchCounts:
        records = [record for bundle in bundles for record in self._records(bundle)]
        positions = {(b.topic, b.partition): b.position for b in bundles}
        with metrics.BATCH_SECONDS.labels("monitor").time():
            counts = self._apply(records, positions)
        metrics.BATCH_MESSAGES.labels("monitor").observe(len(records))
        metrics.MESSAGES.labels("monitor", "handled").inc(counts.events)
        metrics.MESSAGES.labels("monitor", "unreadable").inc(counts.unreadable)
        return counts

    def _apply(
        self, records: Sequence[Record], positions: Mapping[TopicPartitionKey, int]
    ) -> BatchCounts:
        """Write records; one by one after some starts without progress, see `Attempts`."""
        if self._attempts.arrived(records) >= SINGLE_AFTER:
            log.warning("no progress at this offset, records are read one at a time")
            counts = [self._apply_alone(record) for record in records]
            records_left: Sequence[Record] = ()
        else:
            counts, records_left = [], records
        counts.append(
            retry_transaction(lambda: self._projection.apply(records_left, positions), self._stop)
        )
        self._attempts.handled(records)
        return BatchCounts(sum(c.events for c in counts), sum(c.unreadable for c in counts))

    def _apply_alone(self, record: Record) -> BatchCounts:
        may_read = self._attempts.may_handle(record)
        return retry_transaction(
            lambda: (
                self._projection.apply([record])
                if may_read
                else self._projection.give_up(record, KILLED)
            ),
            self._stop,
        )

    def _records(self, bundle: Bundle) -> list[Record]:
        if (bundle.topic, bundle.partition) not in self.started_partitions:
            raise StreamError(
                f"{bundle.topic}/{bundle.partition} was fetched before its start offset was chosen"
            )
        times = self._log_times(bundle)
        return [self._record(r, at) for r, at in zip(bundle.records, times, strict=True)]

    def _record(self, r: Any, at_ms: int) -> Record:
        place = r.topic, r.partition, r.offset
        if reason := self._skipped.get(place):
            return Record(*place, at_ms, None, None, unreadable_header(reason))
        return Record(*place, at_ms, r.key, r.value, _headers(r.headers))

    def _pass_over(self, tp: Any, start: int) -> int:
        return first_not_skipped((tp.topic, tp.partition, start), self._skipped)

    def _log_times(self, bundle: Bundle) -> list[int]:
        """Return the LogAppendTime of each record, Unix ms.

        A topic that is set to CreateTime has the publishers' clocks instead. There it is the
        broker's time now: a deadline is then judged too late, never too early.
        """
        if all(r.timestamp_type == LOG_APPEND_TIME for r in bundle.records):
            if bundle.records:
                first, last = bundle.records[0], bundle.records[-1]
                place = (bundle.topic, bundle.partition)
                self.clocks.note_records(place, first.offset, first.timestamp, last.timestamp)
            return [r.timestamp for r in bundle.records]
        log.warning(
            "a topic does not keep the broker's time, its records count as appended now",
            topic=bundle.topic,
        )
        clock = self._clock = self._clock or Publisher(
            self._settings.bootstrap_servers, f"{self._settings.instance_id}-reader"
        )
        now = retry_transaction(
            lambda: clock.append_clock_record(CLOCK_TOPIC),
            self._stop,
            lambda error: isinstance(error, PublishFailed),
        )
        return [r.timestamp if r.timestamp_type == LOG_APPEND_TIME else now for r in bundle.records]


def _headers(found: Sequence[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """Return the headers as a tuple, with empty bytes for a missing value."""
    return tuple([(name, value or b"") for name, value in found])
