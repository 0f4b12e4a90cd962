"""Provides a consumer group member that reads in micro-batches and notices a recreated topic."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any
from zlib import crc32

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from sagakit.errors import TopicRecreated
from sagakit.kafka.client import (
    ANSWER_S,
    LIBRARY_LOG,
    admin_client,
    log_client_error,
    record_of,
    topic_ids,
)
from sagakit.kafka.damaged_batches import LIMITS, DamagedBatches
from sagakit.messages.envelope import (
    Record,
    SkippedRecords,
    TopicPartitionKey,
    first_not_skipped,
    unreadable_header,
)

log = structlog.get_logger(__name__)
LOOK_EVERY_S = 5.0
"""Interval at which a consumer compares topic ids to notice a recreated topic, in seconds.

After an error of the client it compares them at once."""
SESSION_S, TOPICS_S = 10.0, 10.0
"""Session timeout, after which a dead replica loses its partitions; metadata refresh interval,
within which a recreated topic is found. Both in seconds."""
NO_LOG = ""
"""The id recorded for a topic that does not exist."""


def member_of(instance_id: str, topics: Iterable[str]) -> str:
    """Return the name of a replica as a static group member that reads these topics.

    Kafka hands a returning static member the assignment it had, also if it subscribes to further
    topics now, which nobody would read then. So a replica whose topics have changed, by a new flow
    version, comes back as another member; the old one is dropped after a session.
    """
    return f"{instance_id}-{crc32(','.join(sorted(topics)).encode()):08x}"


class BusConsumer:
    """Reads topics in micro-batches; the caller stores offsets after its database commit.

    Each committed offset carries the topic id in its metadata, and a recreated topic has another
    id. An offset with another id belongs to another log: then `TopicRecreated` ends this consumer,
    and the next one reads the topic from its first record.

    static: it keeps its partitions over a restart, and leaves the group only by its session's end.
    skipped: returns the records to pass over, asked at each assignment. Nothing of them is read:
    such a record has no key, no value, and the header that says why.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        group: str,
        instance_id: str,
        topics: Sequence[str],
        on_assign: Callable[[Sequence[tuple[str, int]]], None] = lambda partitions: None,
        *,
        skipped: Callable[[], SkippedRecords] = dict,
        static: bool = False,
    ) -> None:
        self._on_assign = on_assign
        self._read_skipped = skipped
        self._skipped: SkippedRecords = {}
        self._admin = admin_client(bootstrap_servers)
        self._topics = tuple(topics)
        self._seen: dict[str, str] = {}
        self._ids: dict[TopicPartitionKey, str] = {}
        self._read: dict[TopicPartitionKey, int] = {}
        self._look_at_s = 0.0
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": group,
                **({"group.instance.id": member_of(instance_id, topics)} if static else {}),
                "client.id": instance_id,
                "auto.offset.reset": "earliest",
                "enable.auto.offset.store": False,
                "auto.commit.interval.ms": 1000,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": round(1000 * SESSION_S),
                "fetch.wait.max.ms": 1000,  # the broker answers at once when a record arrives
                "topic.metadata.refresh.interval.ms": round(1000 * TOPICS_S),
                "error_cb": log_client_error,
                **LIMITS,
            },
            logger=LIBRARY_LOG,
        )
        self._damaged = DamagedBatches(self._consumer)
        self._consumer.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    @property
    def assigned(self) -> Set[TopicPartitionKey]:
        """Return the partitions assigned to this consumer."""
        return self._ids.keys()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Start each partition at its committed offset.

        Topic ids are requested before offsets: if a topic is recreated in between, the next `_look`
        finds another id (docs/reports/reliability.md, X).
        """
        if not partitions:
            return
        now = topic_ids(self._admin, {p.topic for p in partitions})
        self._skipped = self._read_skipped()
        starts = []
        for found in consumer.committed(partitions, timeout=ANSWER_S):
            place = found.topic, found.partition
            self._ids[place] = found.metadata or now.get(found.topic, NO_LOG)
            known = found.error is None and found.offset >= 0
            start = first_not_skipped((*place, found.offset), self._skipped)
            starts.append(TopicPartition(*place, start if known else OFFSET_BEGINNING))
        consumer.incremental_assign(starts)
        self._look_at_s = 0.0
        self._on_assign([(p.topic, p.partition) for p in starts])

    def _revoked(self, _: Any, lost: list[TopicPartition]) -> None:
        for place in ((p.topic, p.partition) for p in lost):
            self._ids.pop(place, None)
            self._read.pop(place, None)
            self._damaged.revoked(place)

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return up to `limit` records; wait for the first only, so a lone record is not delayed.

        Raises TopicRecreated, and KafkaException on a fatal error or if topic ids or committed
        offsets cannot be read.
        """
        if time.monotonic() >= self._look_at_s:
            self._look()
        records = self._take(1, timeout_s)
        return records + self._take(limit - 1, 0) if records and limit > 1 else records

    def _take(self, limit: int, timeout_s: float) -> list[Record]:
        records: list[Record] = []
        for message in self._consumer.consume(limit, timeout_s):
            error = message.error()
            if error is None:
                record = self._record(message)
                readable, given_up = self._damaged.after_record(record)
                self._note(records, given_up, record if readable else None)
            elif error.fatal() or error.code() == KafkaError._FATAL:
                # For example fenced. `fatal()` is False for `_FATAL`, which is reported only once.
                raise KafkaException(error)
            else:
                log_client_error(error)
                self._look_at_s = 0.0
                self._note(records, self._damaged.after_error(message))
        return records

    def _note(self, records: list[Record], *found: Record | None) -> None:
        for record in found:
            if record is not None:
                if (place := (record.topic, record.partition)) in self._ids:
                    self._read[place] = record.offset + 1
                records.append(record)

    def _record(self, message: Message) -> Record:
        if self._skipped:
            place = str(message.topic()), message.partition() or 0, message.offset() or 0
            if reason := self._skipped.get(place):
                stamp = message.timestamp()[1]
                return Record(*place, stamp, None, None, unreadable_header(reason))
        return record_of(message)

    def store(self, records: Sequence[Record]) -> None:
        """Store the offsets of handled records for the next commit (advisory, the inbox decides).

        Offsets of a partition revoked since the records were read are skipped: if it is assigned
        again, its topic may have been recreated.
        """
        handled: dict[TopicPartitionKey, int] = {}
        for r in records:
            place = (r.topic, r.partition)
            if r.offset < self._read.get(place, 0):
                handled[place] = max(handled.get(place, 0), r.offset + 1)
        mine = [_at(place, offset, self._ids[place]) for place, offset in handled.items()]
        try:
            self._consumer.store_offsets(offsets=mine)
        except KafkaException as error:
            log.info("offsets not stored, the partition was revoked", error=str(error))

    def _look(self) -> None:
        """Compare topic ids with those of the offsets and of the last look. Raises TopicRecreated.

        A client that was told that a topic does not exist drops its partitions, and may never ask
        for them again (docs/reports/reliability.md, Y): then no offset tells of the new topic.
        """
        self._look_at_s = time.monotonic() + LOOK_EVERY_S
        try:
            now = topic_ids(self._admin, self._topics)
            if recreated := [p for p, known in self._ids.items() if now.get(p[0], known) != known]:
                self._restart_at_first_record(recreated, now)
        except KafkaException as error:
            log.info("cannot read topic ids, will check again", error=str(error))
            return
        before = self._seen
        self._seen = {topic: now.get(topic, before.get(topic, NO_LOG)) for topic in self._topics}
        if back := sorted(t for t, id_ in now.items() if before.get(t, id_) != id_):
            raise TopicRecreated(
                f"{', '.join(back)} recreated; this consumer must rejoin its group"
            )

    def _restart_at_first_record(
        self, recreated: Sequence[TopicPartitionKey], now: Mapping[str, str]
    ) -> None:
        # Commit offset 0, do not seek: after a seek nothing was fetched
        # (docs/reports/reliability.md, S).
        starts = [_at(place, 0, now[place[0]]) for place in recreated]
        # Commit explicitly: auto-commit never commits an offset below the committed one.
        self._consumer.store_offsets(offsets=starts)
        self._consumer.commit(offsets=starts, asynchronous=False)
        names = ", ".join(sorted({topic for topic, _ in recreated}))
        raise TopicRecreated(f"{names} recreated; this consumer restarts at the first record")

    def commit(self) -> None:
        """Commit stored offsets now; a failure is logged."""
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                log.info("offsets not committed, records will be read again", error=str(error))

    def close(self) -> None:
        """Commit stored offsets and leave the group."""
        self._consumer.close()


def _at(place: TopicPartitionKey, offset: int, topic_id: str) -> TopicPartition:
    return TopicPartition(*place, offset, metadata=topic_id)
