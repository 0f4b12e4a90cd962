"""Read every flow topic with Faust and hand micro-batches to the projection.

Only this module imports Faust. The monitor may lag a little, and a fetch, a Faust message and a
transaction cost about as much for one event as for several. So the broker gathers records for a
moment before it answers a fetch, each fetch yields one message (`Bundle`) per partition, and a
batch holds what arrived while the previous one was written.

`Stream.take` is unsuitable: it acks in a `finally`, so it commits a batch whose processing failed.
Here a batch is acked once the projection's transaction has committed. The group's committed offsets
are advisory, because Faust also acks events that it drops in a rebalance: reading always starts at
the offsets in the projection's database.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Mapping, Sequence, Set
from typing import Any, cast

import faust
import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage
from sqlalchemy import Connection, Engine

from saga_monitor.ingest import topic_identity
from saga_monitor.ingest.projection import Applied, Projection
from saga_monitor.ingest.watermark import LogInspector
from saga_monitor.storage import store
from sagakit.handling.consumer_loop import LINGER_S
from sagakit.kafka.client import KafkaException
from sagakit.kafka.consumer import SESSION_S, TOPICS_S
from sagakit.messages.envelope import Record, TopicPartitionKey
from sagakit.retry import retry_transaction
from sagakit.service.lifecycle import StopSignal
from sagakit.service.settings import ServiceSettings
from sagakit.telemetry import metrics

log = structlog.get_logger(__name__)
GROUP = "saga-monitor"
BATCH = 4000
ENOUGH_BYTES, MOST_BYTES = 64 * 1024, 128 * 1024
"""Fetch sizes: the broker answers at once when it has ENOUGH_BYTES; a fetch returns at most
MOST_BYTES of a partition (or one record batch, if that is larger)."""
BUNDLES = 64
"""The largest number of bundles that wait to be written."""
SAME_FETCH_S = 0.005
"""The wait, after the first bundle of a fetch, for the bundles of its other partitions."""
TURN_S = 1.0
SEEK_S = 60.0
"""The longest wait for the database at an assignment. After it the process exits and is restarted;
from 90 s on Faust itself would wait forever."""


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

    Faust delivers, tracks and acks it under the offset of its last record.
    """

    def __init__(self, tp: Any, records: Sequence[Any], generation_id: int) -> None:
        last = records[-1]
        super().__init__(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=None,
            checksum=None,
            tp=tp,
            generation_id=generation_id,
        )
        self.records = records


class Fetching(driver.AIOKafkaConsumerThread):
    """Lets the broker gather records, and passes on each partition's records as one item.

    See docs/decisions/0018.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = ENOUGH_BYTES
        consumer._fetch_max_wait_ms = round(1000 * LINGER_S)
        return consumer

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Return partition -> a list whose only item is the list of its records."""
        found = await super().getmany(active_partitions, timeout)
        return {tp: [records] for tp, records in found.items() if records}


class Consumer(driver.Consumer):
    """Starts Faust's consumer at the offsets in the projection's database."""

    def _new_consumer_thread(self) -> Fetching:
        return Fetching(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: Any, record: Any) -> Bundle:
        return Bundle(tp, record, self.app.consumer_generation_id)

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Seek to the start offsets and return them; Faust takes them for the committed offsets.

        Faust calls this at every (re)assignment.
        """
        partitions = self.assignment()
        first = await self.earliest_offsets(*partitions)
        ends = await self.highwaters(*partitions)
        places = {tp: (first[tp], ends[tp]) for tp in partitions}
        starts = await cast(App, self.app).reader.starts(places)
        await self.seek_wait(starts)
        return starts


class Transport(driver.Transport):
    """Faust's Kafka transport with the `Consumer` of this module."""

    Consumer = Consumer


class App(faust.App):
    """A Faust app that keeps nothing on disk."""

    reader: "Reader"

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Create no data directory: the app has no Faust tables."""


class Reader:
    """Reads the flow topics into the projection. Call `run` once, in the event loop.

    `begun`: the partitions whose start offset is known.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        topics: Sequence[str],
        engine: Engine,
        projection: Projection,
        broker: LogInspector,
        stop: StopSignal | None = None,
        *,
        group: str = GROUP,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._engine = engine
        self._projection = projection
        self._broker = broker
        self._group = group
        self._stop = stop or StopSignal()
        self._ending = asyncio.Event()
        self._writing = False
        self.begun: set[TopicPartitionKey] = set()
        self._failed: asyncio.Future[None] | None = None
        self.running = False

    async def run(self) -> None:
        """Read until `end`, and finish the batch in hand. Raises StreamError."""
        self._failed = asyncio.get_running_loop().create_future()
        app = self._app()
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
            raise StreamError(f"the stream ends: {type(reason).__name__}: {reason}") from reason

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

    async def starts(self, places: Mapping[Any, tuple[int, int]]) -> dict[Any, int]:
        """Return the start offset of each partition, and record it for the watermark.

        The database gets every start that differs from the stored offset; `begun` gets the
        partitions.
        """

        def look_up() -> dict[Any, int]:
            ids = self._ids()
            with self._engine.begin() as connection:
                stored = store.offsets(connection)
                assigned = {(tp.topic, tp.partition) for tp in places}
                other = assigned & set(topic_identity.of_another_log(connection, ids))
                wanted = stored | self._understood(connection, stored, assigned - other)
                wanted |= dict.fromkeys(other, 0)
                found = {
                    tp: start_at(wanted.get((tp.topic, tp.partition)), first, end)
                    for tp, (first, end) in places.items()
                }
                moved = {
                    (tp.topic, tp.partition): start
                    for tp, start in found.items()
                    if stored.get((tp.topic, tp.partition), 0) != start
                }
                store.reset(connection, moved)
                topic_identity.begun(connection, other, ids)
            return found

        stored = asyncio.to_thread(retry_transaction, look_up, self._stop)
        starts = await asyncio.wait_for(stored, SEEK_S)
        self.begun |= {(tp.topic, tp.partition) for tp in starts}
        log.info(
            "reading from", offsets={f"{tp.topic}/{tp.partition}": o for tp, o in starts.items()}
        )
        return starts

    def _ids(self) -> dict[str, str]:
        """Return topic -> id, or nothing while the broker cannot say.

        Reading goes on without the ids: the watch asks again before it judges a deadline.
        """
        try:
            return self._broker.ids(self._topics)
        except KafkaException as error:
            log.warning("cannot read topic ids, will check again", error=str(error))
            return {}

    def _understood(
        self,
        connection: Connection,
        stored: Mapping[TopicPartitionKey, int],
        assigned: Set[TopicPartitionKey],
    ) -> dict[TopicPartitionKey, int]:
        """Return where to read again records that older code could not read and this code can.

        Deletes them from the unreadable records. Per partition the lowest offset counts, and never
        one past the stored offset.
        """
        strange = (
            r
            for r in store.unknown_schema_records(connection)
            if (r.topic, r.partition) in assigned
        )
        known = [record for record in strange if self._projection.understands(record)]
        store.delete_unreadable(connection, known)
        again: dict[TopicPartitionKey, int] = {}
        for record in known:
            place = (record.topic, record.partition)
            again[place] = min(record.offset, again.get(place, stored.get(place, record.offset)))
        return again

    def _app(self) -> App:
        servers = self._settings.bootstrap_servers.split(",")
        app = App(
            self._group,
            broker=[f"kafka://{server.strip()}" for server in servers],
            broker_client_id=self._settings.instance_id,
            broker_session_timeout=SESSION_S,
            consumer_group_instance_id=f"{self._group}-{self._settings.instance_id}",
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
            await self._take(stream.noack())
        except Exception as error:
            # Faust would restart the agent after this batch and skip it: fail `run` and block here.
            assert self._failed is not None
            self._failed.set_exception(error)
            await asyncio.Event().wait()

    async def _take(self, stream: Any) -> None:
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
            for done in bundles:
                await stream.ack(done)
            bundles.clear()

    def _project(self, bundles: Sequence[Bundle]) -> Applied:
        records = [record for bundle in bundles for record in self._records(bundle)]
        with metrics.BATCH_SECONDS.labels("monitor").time():
            applied = retry_transaction(lambda: self._projection.apply(records), self._stop)
        metrics.BATCH_MESSAGES.labels("monitor").observe(len(records))
        metrics.MESSAGES.labels("monitor", "handled").inc(applied.events)
        metrics.MESSAGES.labels("monitor", "unreadable").inc(applied.unreadable)
        return applied

    def _records(self, bundle: Bundle) -> list[Record]:
        if (bundle.topic, bundle.partition) not in self.begun:
            raise StreamError(
                f"{bundle.topic}/{bundle.partition} is read before its start is known"
            )
        return [
            Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, _headers(r.headers))
            for r in bundle.records
        ]


def _headers(found: Sequence[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """Return the headers as a tuple, with empty bytes for a missing value."""
    return tuple([(name, value or b"") for name, value in found])
