"""Reads spans of partitions in batches, without joining a group.

The partitions are read side by side and merged by log time, so that the events of one saga, which
are on several topics, come close together. What waits to be merged is bounded.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from sagakit.errors import RecordsGone
from sagakit.kafka.client import log_client_error, record_of
from sagakit.kafka.damaged_batches import DAMAGED, LIMITS, DamagedBatches
from sagakit.messages.envelope import Record, TopicPartitionKey

AT_ONCE = 1000
"""The most records that are taken from the client at once."""
BUFFER_BYTES = 32 * 1024 * 1024
"""About as many bytes of records wait to be merged, of all partitions together."""
RECORD_BYTES = 200
"""The memory that a record needs besides key, value and headers."""
MEMORY = {
    "queued.max.messages.kbytes": 16 * 1024,
    "fetch.message.max.bytes": 256 * 1024,
}
"""Settings of a consumer that bound what the client reads ahead."""
_GONE = frozenset((KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE))


@dataclass(frozen=True, slots=True)
class OffsetSpan:
    """Offsets of a partition, from `start` up to `end`, which is excluded."""

    start: int
    end: int

    @property
    def offsets(self) -> int:
        """Return their number, which is that of the records or, with transactions, more."""
        return max(self.end - self.start, 0)


Spans = Mapping[TopicPartitionKey, OffsetSpan]
Offsets = Mapping[TopicPartitionKey, int]


def spans_between(firsts: Offsets, ends: Offsets, last: int | None = None) -> Spans:
    """Return what the log holds of each partition in `ends`, up to that end.

    last: only the last so many offsets of each.
    """
    found = {}
    for place, end in ends.items():
        end = max(end, firsts[place])
        start = firsts[place] if last is None else max(firsts[place], end - last)
        found[place] = OffsetSpan(start, end)
    return found


def spans_until(spans: Spans, ends: Offsets) -> Spans:
    """Return the same spans, which end at these ends at the latest; without an end it is empty."""
    return {
        place: OffsetSpan(span.start, max(span.start, min(span.end, ends.get(place, span.start))))
        for place, span in spans.items()
    }


class LogBatch(NamedTuple):
    """Records in log time, each partition in order, and partition -> next offset to read."""

    records: list[Record]
    positions: dict[TopicPartitionKey, int]


def read_spans(
    bootstrap_servers: str, spans: Spans, timeout_s: float = 30.0, *, uncommitted: bool = False
) -> Generator[LogBatch, None, None]:
    """Yield every record in these spans. The last positions are the ends.

    uncommitted: also what other readers do not see yet, behind a transaction that is open. Without
    it an end lies at most at the last stable offset.

    Raises TimeoutError if nothing arrives for `timeout_s`, RecordsGone for offsets that the log no
    longer holds, and KafkaException.
    """
    empty = {place: span.end for place, span in spans.items() if not span.offsets}
    if empty:
        yield LogBatch([], empty)
    wanted = {place: span for place, span in spans.items() if span.offsets}
    if not wanted:
        return
    isolation = "read_uncommitted" if uncommitted else "read_committed"
    how = {"enable.partition.eof": True, "auto.offset.reset": "error", "isolation.level": isolation}
    consumer = groupless_consumer(bootstrap_servers, "log-reader", {**how, **MEMORY})
    try:
        consumer.assign([TopicPartition(*place, s.start) for place, s in wanted.items()])
        yield from _Merge(consumer, wanted).batches(timeout_s)
    finally:
        consumer.close()


def batches_of(found: Iterable[LogBatch], most: int) -> Iterator[LogBatch]:
    """Yield the same in batches of at most `most` records; the last one has the ends of all."""
    waiting: list[Record] = []
    positions: dict[TopicPartitionKey, int] = {}
    for batch in found:
        waiting += batch.records
        positions |= batch.positions
        while len(waiting) > most:
            head, waiting = waiting[:most], waiting[most:]
            yield LogBatch(head, {(r.topic, r.partition): r.offset + 1 for r in head})
    yield LogBatch(waiting, positions)


class _Waiting:
    """Records of one partition that were read and not yet handed on.

    latest_ms: log time of the last one; it never goes back, so that offsets stay in order.
    """

    def __init__(self, span: OffsetSpan) -> None:
        self.span, self.done = span, False
        self.records = deque[tuple[int, Record]]()
        self.bytes = self.latest_ms = 0
        self.paused = False

    def add(self, record: Record) -> None:
        self.latest_ms = max(self.latest_ms, record.timestamp_ms)
        self.records.append((self.latest_ms, record))
        self.bytes += log_bytes(record)

    def take_until(self, at_ms: int) -> list[tuple[int, Record]]:
        found = []
        while self.records and self.records[0][0] <= at_ms:
            found.append(self.records.popleft())
            self.bytes -= log_bytes(found[-1][1])
        return found


class _Merge:
    """Merges the partitions of a consumer by log time; `batches` yields what is complete."""

    def __init__(self, consumer: Consumer, spans: Spans) -> None:
        self._consumer, self._damaged = consumer, DamagedBatches(consumer)
        self._places = {place: _Waiting(span) for place, span in spans.items()}
        self._room = BUFFER_BYTES // len(spans)

    def batches(self, timeout_s: float) -> Generator[LogBatch, None, None]:
        while any(not waiting.done for waiting in self._places.values()):
            found = self._consumer.consume(1, timeout_s)  # a larger number waits for all of them
            if not found:
                unread = sorted(p for p, w in self._places.items() if not w.done)
                raise TimeoutError(f"nothing of {unread} came within {timeout_s:g} s")
            for message in [*found, *self._consumer.consume(AT_ONCE, 0)]:
                self._note(message)
            if (batch := self._complete()).positions:
                yield batch
            self._pause_full_ones()

    def _note(self, message: Message) -> None:
        place = (str(message.topic()), message.partition() or 0)
        waiting, error = self._places.get(place), message.error()
        if waiting is None or waiting.done:
            return
        if error is not None and error.code() in _GONE:
            raise RecordsGone(
                f"{place[0]}/{place[1]} no longer holds offset {waiting.span.start}, or the first "
                f"after what was read: {error.str()}"
            )
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            given_up = self._damaged.after_end(place)
            self._add(waiting, [given_up] if given_up else [])
            if not self._damaged.searching(place):
                self._finish(waiting, *place)
            return
        if error is not None and error.code() not in DAMAGED:
            raise KafkaException(error)
        self._add(waiting, _records_of(message, self._damaged))

    def _add(self, waiting: _Waiting, records: list[Record]) -> None:
        for record in records:
            if record.offset < waiting.span.end:
                waiting.add(record)
            if record.offset + 1 >= waiting.span.end:
                self._finish(waiting, record.topic, record.partition)
                return

    def _finish(self, waiting: _Waiting, topic: str, partition: int) -> None:
        """Read no further: the log may go on behind the end of the span."""
        waiting.done = True
        self._consumer.incremental_unassign([TopicPartition(topic, partition)])

    def _complete(self) -> LogBatch:
        """Return what no partition can still bring an earlier record of."""
        open_ = [w for w in self._places.values() if not w.done]
        until_ms = min((w.latest_ms if w.records else -1 for w in open_), default=None)
        found: list[tuple[int, Record]] = []
        positions: dict[TopicPartitionKey, int] = {}
        for place, waiting in list(self._places.items()):
            last_ms = waiting.latest_ms if until_ms is None else until_ms
            taken = waiting.take_until(last_ms)
            found += taken
            if waiting.done and not waiting.records:
                positions[place] = waiting.span.end
                del self._places[place]
            elif taken:
                positions[place] = taken[-1][1].offset + 1
        found.sort(key=lambda pair: pair[0])
        return LogBatch([record for _, record in found], positions)

    def _pause_full_ones(self) -> None:
        """Pause partitions of which enough waits, so that those behind them are fetched."""
        for place, waiting in self._places.items():
            full = waiting.bytes > (self._room // 2 if waiting.paused else self._room)
            if full != waiting.paused and not waiting.done:
                at = [TopicPartition(*place)]
                (self._consumer.pause if full else self._consumer.resume)(at)
                waiting.paused = full


def _records_of(message: Message, damaged: DamagedBatches) -> list[Record]:
    """Return the record, and what stands for a damaged batch that ends here."""
    if message.error() is not None:
        given_up = damaged.after_error(message)
        return [given_up] if given_up else []
    record = record_of(message)
    readable, given_up = damaged.after_record(record)
    return [*([given_up] if given_up else []), *([record] if readable else [])]


def log_bytes(record: Record) -> int:
    """Return about as many bytes as a record takes in memory."""
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return RECORD_BYTES + len(record.key or b"") + len(record.value or b"") + headers


def groupless_consumer(bootstrap_servers: str, group: str, more: Mapping[str, Any]) -> Consumer:
    """Return a consumer that never joins its group and commits nothing."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "error_cb": log_client_error,
            **LIMITS,
            **more,
        }
    )
