"""Kafka: a consumer in micro-batches and a publisher."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from sagakit.errors import SagaError, TopicMadeAnew
from sagakit.message import Logged, OutboxRow, Place, Record, without_gaps

log = structlog.get_logger(__name__)
LIBRARY_LOG = logging.getLogger("librdkafka")
FLUSH_S = 30.0
"""How long all rows of a batch together may take."""
LOOK_EVERY_S = 1.0
"""How often a consumer asks whether its topics are still the same."""
ANSWER_S, SESSION_S, TOPICS_S = 5.0, 10.0, 10.0
"""What a look may take; until a dead replica is given up; until a topic made anew is met."""
NO_LOG = ""
"""The id of no topic."""
GONE = (KafkaException, BufferError, SystemError)
"""What a producer raises after a fatal error; the last where that cuts into a delivery report."""


class PublishFailed(SagaError):
    """Not every row was acknowledged; `acknowledged` holds those that may be removed."""

    def __init__(self, acknowledged: Logged, error: str) -> None:
        super().__init__(f"the broker did not acknowledge all rows: {error}")
        self.acknowledged = acknowledged


class BusConsumer:
    """Reads topics in micro-batches; offsets are stored by the caller, after its commit.

    A topic that was deleted and made anew has another id, which goes with each offset that is
    committed. Offsets of another id are of another log: then `TopicMadeAnew` ends this consumer,
    and the next one reads the topic from its first record.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        group: str,
        instance_id: str,
        topics: Sequence[str],
        on_assign: Callable[[Sequence[tuple[str, int]]], None] = lambda partitions: None,
    ) -> None:
        self._on_assign = on_assign
        self._admin = asking(bootstrap_servers)
        self._ids: dict[Place, str] = {}
        self._read: dict[Place, int] = {}
        self._look_at_s = 0.0
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": group,
                "group.instance.id": instance_id,
                "client.id": instance_id,
                "auto.offset.reset": "earliest",
                "enable.auto.offset.store": False,
                "auto.commit.interval.ms": 1000,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": round(1000 * SESSION_S),
                "fetch.wait.max.ms": 50,
                "topic.metadata.refresh.interval.ms": round(1000 * TOPICS_S),
                "error_cb": tell_error,
            },
            logger=LIBRARY_LOG,
        )
        self._consumer.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    @property
    def assigned(self) -> Set[Place]:
        """The partitions we have."""
        return self._ids.keys()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin where we were. Of which log that is, is asked first: of a topic that is made anew
        in between, the next look finds another id (docs/reliability.md, X)."""
        if not partitions:
            return
        now = topic_ids(self._admin, {p.topic for p in partitions})
        starts = []
        for found in consumer.committed(partitions, timeout=ANSWER_S):
            place = found.topic, found.partition
            self._ids[place] = found.metadata or now.get(found.topic, NO_LOG)
            known = found.error is None and found.offset >= 0
            starts.append(TopicPartition(*place, found.offset if known else OFFSET_BEGINNING))
        consumer.incremental_assign(starts)
        self._look_at_s = 0.0
        self._on_assign([(p.topic, p.partition) for p in starts])

    def _revoked(self, _: Any, lost: list[TopicPartition]) -> None:
        for place in ((p.topic, p.partition) for p in lost):
            self._ids.pop(place, None)
            self._read.pop(place, None)

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Up to `limit` records. Waits for the first only: a lone record never waits for others.

        Raises KafkaException where this consumer will never read again, or cannot learn where to
        begin, and TopicMadeAnew.
        """
        if time.monotonic() >= self._look_at_s:
            self._look()
        records = self._take(1, timeout_s)
        return records + self._take(limit - 1, 0) if records and limit > 1 else records

    def _take(self, limit: int, timeout_s: float) -> list[Record]:
        records = []
        for message in self._consumer.consume(limit, timeout_s):
            error = message.error()
            if error is None:
                record = record_of(message)
                if (place := (record.topic, record.partition)) in self._ids:
                    self._read[place] = record.offset + 1
                records.append(record)
            elif error.fatal() or error.code() == KafkaError._FATAL:
                # Such as fenced: `_FATAL` does not call itself fatal, and is told only once.
                raise KafkaException(error)
            else:
                tell_error(error)
        return records

    def store(self, records: Sequence[Record]) -> None:
        """The records are handled: their offsets may be committed (advisory, the inbox decides).
        Not those of a partition that has left since they were read: it may be of another log now.
        """
        handled: dict[Place, int] = {}
        for r in records:
            place = (r.topic, r.partition)
            if r.offset < self._read.get(place, 0):
                handled[place] = max(handled.get(place, 0), r.offset + 1)
        mine = [_at(place, offset, self._ids[place]) for place, offset in handled.items()]
        try:
            self._consumer.store_offsets(offsets=mine)
        except KafkaException as error:
            log.info("offsets not stored, the partition has moved on", error=str(error))

    def _look(self) -> None:
        """Are the topics those of our offsets?"""
        self._look_at_s = time.monotonic() + LOOK_EVERY_S
        try:
            now = topic_ids(self._admin, {topic for topic, _ in self._ids})
            if anew := [p for p, known in self._ids.items() if now.get(p[0], known) != known]:
                self._begin_anew(anew, now)
        except KafkaException as error:
            log.info("cannot tell whether the topics are the same", error=str(error))

    def _begin_anew(self, anew: Sequence[Place], now: Mapping[str, str]) -> None:
        # Not by a seek: after one, nothing was ever fetched (docs/reliability.md, S).
        starts = [_at(place, 0, now[place[0]]) for place in anew]
        # Also what is committed goes back: the client commits nothing that is less than that.
        self._consumer.store_offsets(offsets=starts)
        self._consumer.commit(offsets=starts, asynchronous=False)
        names = ", ".join(sorted({topic for topic, _ in anew}))
        raise TopicMadeAnew(f"{names} made anew: the first record comes next")

    def commit(self) -> None:
        """Commit stored offsets now."""
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                log.info("offsets not committed, records will be read again", error=str(error))

    def close(self) -> None:
        """Commit and leave."""
        self._consumer.close()


class Publisher:
    """An idempotent producer that forgets everything after a failure (design section 9)."""

    def __init__(self, bootstrap_servers: str, client_id: str) -> None:
        self._config = {
            "bootstrap.servers": bootstrap_servers,
            "client.id": client_id,
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,  # nothing overtakes what was refused
            "log_level": 3,  # that this option is called experimental is known; errors: error_cb
            "delivery.timeout.ms": 0,  # never one by one: that would leave gaps; see FLUSH_S
            "acks": "all",
            "partitioner": "murmur2_random",
            "linger.ms": 1,
            "compression.type": "lz4",
            "error_cb": tell_error,
        }
        # At once: the broker takes half a second to name a producer, and no order waits for that.
        self._producer: Producer | None = self._made()

    def _made(self) -> Producer:
        return Producer(self._config, logger=LIBRARY_LOG)

    def publish(self, rows: Sequence[OutboxRow]) -> Logged:
        """All rows in order, acknowledged by all in-sync replicas; when the broker took them.

        Raises PublishFailed; a row is acknowledged only if all earlier ones of its key are.
        """
        if self._producer is None:
            self._producer = self._made()
        acknowledged: dict[int, int | None] = {}
        errors: list[str] = []

        def delivered(row: OutboxRow) -> Callable[[Any, Message], None]:
            def done(error: Any, message: Message) -> None:
                if error is None:
                    kind, at_ms = message.timestamp()
                    acknowledged[row.id] = at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None
                else:
                    errors.append(str(error))

            return done

        try:
            for row in rows:
                self._produce(row, delivered(row))
                if errors:
                    break
            self._producer.flush(FLUSH_S)
        except GONE as error:
            errors.append(str(error))
        if errors or len(acknowledged) < len(rows):
            self.forget()
            why = errors[0] if errors else "no answer in time"
            raise PublishFailed(without_gaps(rows, acknowledged), why)
        return acknowledged

    def _produce(self, row: OutboxRow, done: Callable[[Any, Message], None]) -> None:
        producer = self._producer
        assert producer is not None
        while True:
            try:
                producer.produce(
                    row.topic,
                    key=row.key,
                    value=row.value,
                    headers=list(row.headers),
                    on_delivery=done,
                )
                return
            except BufferError:
                producer.poll(0.1)

    def tick(self, topic: str) -> int:
        """Append an empty record and return its LogAppendTime: the broker's clock, Unix ms.

        Raises PublishFailed.
        """
        if self._producer is None:
            self._producer = self._made()
        found: list[int] = []
        errors: list[str] = []

        def done(error: Any, message: Message) -> None:
            if error is not None:
                errors.append(str(error))
                return
            stamp: tuple[int, int] = message.timestamp()
            kind, at = stamp
            if kind == TIMESTAMP_LOG_APPEND_TIME:
                found.append(at)
            else:
                errors.append(f"topic {topic} is not set to message.timestamp.type=LogAppendTime")

        try:
            self._producer.produce(topic, value=b"", on_delivery=done)
            self._producer.flush(FLUSH_S)
        except GONE as error:
            errors.append(str(error))
        if not found:
            self.forget()
            raise PublishFailed({}, errors[0] if errors else "no answer in time")
        return found[0]

    def forget(self) -> None:
        """Drop what is queued or in flight, and the producer with it."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True)
            with suppress(*GONE):
                producer.flush(1.0)


def asking(bootstrap_servers: str) -> AdminClient:
    """A client for `topic_ids`."""
    config: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "error_cb": tell_error}
    return AdminClient(config, logger=LIBRARY_LOG)


def topic_ids(admin: AdminClient, topics: Collection[str]) -> dict[str, str]:
    """Topic -> the id it got when it was created; without those that are not there.

    Raises KafkaException where the broker does not answer.
    """
    found = {}
    asked = TopicCollection(list(topics))
    answers = admin.describe_topics(asked, request_timeout=ANSWER_S) if topics else {}
    for name, answer in answers.items():
        try:
            found[name] = str(answer.result().topic_id)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return found


def _at(place: Place, offset: int, topic_id: str) -> TopicPartition:
    return TopicPartition(*place, offset, metadata=topic_id)


def record_of(message: Message) -> Record:
    """The client's message as the kit's value."""
    found: Any = message.headers() or ()
    headers = tuple((str(k), v if isinstance(v, bytes) else b"") for k, v in found)
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Record(
        topic, partition, offset, message.timestamp()[1], message.key(), message.value(), headers
    )


def tell_error(error: KafkaError) -> None:
    """The client's `error_cb`: what it reports is logged; what matters is raised by its calls."""
    log.warning("kafka reports", error=str(error))
