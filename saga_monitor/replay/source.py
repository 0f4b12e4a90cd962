"""The log as a source of records: spans of partitions, without joining a group.

A source is a function from spans to batches, `ReadSpans`; the live log is one, and so are archive
and live log together. A batch names the offsets that are read up to, so whoever keeps them with
what it makes of the records can go on there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from saga_monitor.replay.bounds import AtTime, Bound, LogState, spans_of
from saga_monitor.saga.facts import unix_ms
from sagakit.archive.log_archive import LogArchive, ReadSpans
from sagakit.handling.parking import parking_key
from sagakit.identity import split_key
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.log_spans import LogBatch, Spans, batches_of, read_spans
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import (
    Record,
    SkippedRecords,
    TopicPartitionKey,
    unreadable_header,
)

SILENCE_S = 120.0
"""A log that brings nothing for so long is given up; the replay is then run again."""
BATCH = 4000
"""About as many records are folded in one transaction."""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """Says what is read: the spans, and the id that each topic has now.

    cut: the partitions read from their first record, which is not the first they ever had.
    """

    spans: Spans
    topic_ids: Mapping[str, str]
    cut: Sequence[TopicPartitionKey] = ()

    @property
    def offsets(self) -> int:
        """Return the number of offsets in all spans."""
        return sum(span.offsets for span in self.spans.values())


def plan_of(
    log: LogEnds,
    topics: Sequence[str],
    begin: Bound,
    end: Bound,
    archive: LogArchive | None = None,
) -> ReplayPlan:
    """Ask the brokers, and the archive if there is one, what lies between the bounds.

    Raises ValueError, ArchiveRefused and KafkaException.
    """
    times = {bound.at for bound in (begin, end) if isinstance(bound, AtTime)}
    asked = {at: log.since(topics, unix_ms(at)) for at in times}
    since = {
        at: {place: offset for place, offset in found.items() if offset is not None}
        for at, found in asked.items()
    }
    firsts = archive.firsts(log, topics) if archive else log.firsts(topics)
    if archive:  # its records come before those that only the log has
        since = {at: {**found, **archive.since(topics, unix_ms(at))} for at, found in since.items()}
    state = LogState(firsts, log.readable_ends(topics), since)
    spans = spans_of(begin, end, state)
    cut = [p for p, span in spans.items() if 0 < span.start == state.firsts[p]]
    return ReplayPlan(spans, log.ids(topics), cut)


def live_log(bootstrap_servers: str) -> ReadSpans:
    """Return the topics as a source."""
    return partial(read_spans, bootstrap_servers, timeout_s=SILENCE_S)


def in_batches(source: ReadSpans, spans: Spans, most: int = BATCH) -> Iterator[LogBatch]:
    """Yield what a source has in batches of `most` records; the last one has the ends of all."""
    return batches_of(source(spans), most)


def selection(
    codec: Codec, saga: str | None, flow: str | None
) -> Callable[[Sequence[Record]], list[Record]]:
    """Return what leaves the records of one saga, or of the sagas of one flow; None is all.

    saga: its key `flow/id`, or its id alone. A record that cannot be decoded belongs to the saga
    that its headers name.
    """
    if saga is None and flow is None:
        return list
    name, slash, saga_id = (saga or "").partition("/")
    if slash:
        flow = name
    else:
        saga_id = name
    key = saga_id.encode()

    def wanted(record: Record) -> bool:
        if saga is not None and record.key != key:
            return False
        return flow is None or split_key(parking_key(codec, record))[0] == flow

    return lambda records: [record for record in records if wanted(record)]


def skipping(skipped: SkippedRecords) -> Callable[[Sequence[Record]], list[Record]]:
    """Return what empties the records that readers pass over unread: they are kept with why."""
    if not skipped:
        return list

    def passed_over(record: Record) -> Record:
        place = record.topic, record.partition, record.offset
        if (reason := skipped.get(place)) is None:
            return record
        return Record(*place, record.timestamp_ms, None, None, unreadable_header(reason))

    return lambda records: [passed_over(record) for record in records]
