"""Provides a consumer group member that reads in micro-batches and notices a recreated topic."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from functools import cached_property
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
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

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
FORBIDDEN = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}
)
"""Errors of a right that was revoked; the client tries again until it is given back."""


def member_of(instance_id: str, topics: Iterable[str], ids: Mapping[str, str]) -> str:
    """Return the name of a replica as a static group member that reads these topics.

    Kafka hands a returning static member the assignment it had, also if it subscribes to further
    topics now, or if one was away when that was made. Nobody would read those. So a replica whose
    topics have changed, by a new flow version or since one was recreated, comes back as another
    member; the old one is dropped after a session.

    ids: topic -> the id it has now; without those that do not exist.
    """
    known = ",".join(f"{topic}={ids.get(topic, NO_LOG)}" for topic in sorted(topics))
    return f"{instance_id}-{crc32(known.encode()):08x}"


def known_ids(admin: AdminClient, topics: Collection[str]) -> dict[str, str]:
    """Return topic -> id, see `topic_ids`; empty if the broker does not answer."""
    try:
        return topic_ids(admin, topics)
    except KafkaException as error:
        log.info("topic ids are not known, the group is joined as another member", error=str(error))
        return {}


class BusConsumer:
    """Reads topics in micro-batches; the caller stores offsets after its database commit.

    Each committed offset carries the topic id in its metadata, and a recreated topic has another
    id. An offset with another id belongs to another log: then `TopicRecreated` ends this consumer,
    and the next one reads the topic from its first record.

    static: it keeps its partitions over a restart, and leaves the group only by its session's end.
    skipped: returns the records to pass over, asked at each assignment. Nothing of them is read:
    such a record has no key, no value, and the header that says why.

    It joins the group at the first `poll`.

    Records of aborted transactions are never seen, nor records behind a transaction that is open.
    Where nothing but markers of transactions follows, the offset stored is the one past them, so
    that the group does not seem to lag.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        group: str,
        instance_id: str,
        topics: Sequence[str],
        on_assign: Callable[[Sequence[tuple[str, int]]], None] = lambda partitions: None,
        on_lost: Callable[[str, int], None] = lambda topic, records: None,
        *,
        skipped: Callable[[], SkippedRecords] = dict,
        static: bool = False,
    ) -> None:
        self._on_assign, self._on_lost = on_assign, on_lost
        self._read_skipped = skipped
        self._skipped: SkippedRecords = {}
        self._forbidden: dict[str, str] = {}
        self._admin = admin_client(bootstrap_servers)
        self._topics = tuple(topics)
        self._seen: dict[str, str] = {}
        self._ids: dict[TopicPartitionKey, str] = {}
        self._read: dict[TopicPartitionKey, int] = {}
        self._handled: dict[TopicPartitionKey, int] = {}
        self._ends: dict[TopicPartitionKey, int] = {}
        self._look_at_s = 0.0
        self._client_id = instance_id
        self._member = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
        }
        self._static_name = instance_id if static else None

    @cached_property
    def _consumer(self) -> Consumer:
        """Join the group, with the client id and the topics of that moment."""
        member = dict(self._member)
        if self._static_name is not None:
            ids = known_ids(self._admin, self._topics)
            member["group.instance.id"] = member_of(self._static_name, self._topics, ids)
        consumer = Consumer(
            {
                **member,
                "client.id": self._client_id,
                "auto.offset.reset": "error",  # see _restart
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,  # tells the position past transaction markers
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
        consumer.subscribe(
            list(self._topics),
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )
        return consumer

    @cached_property
    def _damaged(self) -> DamagedBatches:
        return DamagedBatches(self._consumer)

    def join_as(self, client_id: str) -> None:
        """Set the client id, before the first `poll`."""
        self._client_id = client_id

    @property
    def assigned(self) -> Set[TopicPartitionKey]:
        """Return the partitions assigned to this consumer."""
        return self._ids.keys()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Start each partition at its committed offset, or at the first record that is left.

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
            self._handled[place] = found.offset if known else 0
            start = first_not_skipped((*place, found.offset), self._skipped)
            starts.append(TopicPartition(*place, start if known else OFFSET_BEGINNING))
        consumer.incremental_assign(starts)
        self._forbidden.clear()
        self._look_at_s = 0.0
        self._on_assign([(p.topic, p.partition) for p in starts])

    def _revoked(self, _: Any, lost: list[TopicPartition]) -> None:
        for place in ((p.topic, p.partition) for p in lost):
            for state in (self._ids, self._read, self._handled, self._ends):
                state.pop(place, None)
            self._damaged.revoked(place)

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return up to `limit` records; wait for the first only, so a lone record is not delayed.

        Raises TopicRecreated, and KafkaException on a fatal error or if topic ids or committed
        offsets cannot be read.
        """
        if time.monotonic() >= self._look_at_s:
            self._look()
        until = time.monotonic() + timeout_s
        records = self._take(1, timeout_s)
        while not records and self._look_at_s and (left_s := until - time.monotonic()) > 0:
            records = self._take(1, left_s)  # the event before was the end of a partition
        return records + self._take(limit - 1, 0) if records and limit > 1 else records

    def _take(self, limit: int, timeout_s: float) -> list[Record]:
        records: list[Record] = []
        for message in self._consumer.consume(limit, timeout_s):
            error = message.error()
            if error is None:
                record = self._record(message)
                readable, given_up = self._damaged.after_record(record)
                self._note(records, given_up, record if readable else None)
            elif error.code() == KafkaError._PARTITION_EOF:
                place = str(message.topic()), message.partition() or 0
                self._note(records, self._damaged.after_end(place))
                self._note_end(place, message.offset())
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                self._restart((str(message.topic()), message.partition() or 0))
            elif error.fatal() or error.code() == KafkaError._FATAL:
                # For example fenced. `fatal()` is False for `_FATAL`, which is reported only once.
                raise KafkaException(error)
            else:
                log_client_error(error)
                self._look_at_s = 0.0
                self._note(records, self._damaged.after_error(message))
                if error.code() in FORBIDDEN:
                    self._forbidden[message.topic() or "the consumer group"] = error.str()
        return records

    def _note(self, records: list[Record], *found: Record | None) -> None:
        for record in found:
            if record is not None:
                if (place := (record.topic, record.partition)) in self._ids:
                    self._read[place] = record.offset + 1
                if self._forbidden:
                    self._forbidden.pop(record.topic, None)
                records.append(record)

    def _record(self, message: Message) -> Record:
        if self._skipped:
            place = str(message.topic()), message.partition() or 0, message.offset() or 0
            if reason := self._skipped.get(place):
                stamp = message.timestamp()[1]
                return Record(*place, stamp, None, None, unreadable_header(reason))
        return record_of(message)

    def problem(self) -> str | None:
        """Return what the broker forbids this consumer to read, None if nothing."""
        found = [f"{what}: {error}" for what, error in sorted(self._forbidden.copy().items())]
        return f"the broker refuses reads, {'; '.join(found)}" if found else None

    def _restart(self, place: TopicPartitionKey) -> None:
        """Go on at the first record that is left: the next one is not in the log any more.

        Retention has passed it, or the log has lost its end.
        """
        if place not in self._ids:
            return
        at = TopicPartition(*place)
        first = self._bound(at, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = self._bound(at, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        read = max(self._read.get(place, 0), self._handled[place])
        if first > read:
            self._report_lost(
                place, read, first, "retention has removed records that were not read"
            )
        elif end < read and known_ids(self._admin, [place[0]]).get(place[0]) == self._ids[place]:
            self._report_lost(place, end, read, "a topic has lost the end of its log")
        self._consumer.incremental_unassign([at])
        self._consumer.incremental_assign([TopicPartition(*place, first)])
        self._read.pop(place, None)
        self._handled[place] = 0
        self._store({place: first})

    def _bound(self, at: TopicPartition, spec: OffsetSpec) -> int:
        asked = self._admin.list_offsets({at: spec}, request_timeout=ANSWER_S)
        return int(asked[at].result().offset)

    def _report_lost(self, place: TopicPartitionKey, first: int, end: int, what: str) -> None:
        self._on_lost(place[0], end - first)
        log.error(
            what,
            topic=place[0],
            partition=place[1],
            offsets=f"{first} to {end - 1}",
            remedy="docs/runbooks/lost-records.md",
        )

    def _note_end(self, place: TopicPartitionKey, end: int | None) -> None:
        """Note that nothing to read lies before `end`; store it once all that was read is handled.

        It exceeds the offset of the last record where markers of transactions or aborted records
        follow.
        """
        self._forbidden.pop(place[0], None)
        if end is None or place not in self._ids or self._damaged.searching(place):
            return
        if self._read.get(place, 0) > self._handled[place]:
            self._ends[place] = end
        elif end > self._handled[place]:
            self._store({place: end})

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
        for place, offset in handled.items():
            if offset == self._read[place]:
                handled[place] = max(offset, self._ends.pop(place, 0))
        self._store(handled)

    def _store(self, offsets: Mapping[TopicPartitionKey, int]) -> None:
        self._handled.update(offsets)
        mine = [_at(place, offset, self._ids[place]) for place, offset in offsets.items()]
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
        if "_consumer" in vars(self):
            self._consumer.close()


def _at(place: TopicPartitionKey, offset: int, topic_id: str) -> TopicPartition:
    return TopicPartition(*place, offset, metadata=topic_id)
