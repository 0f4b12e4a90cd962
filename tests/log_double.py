"""A log in memory: what `LogEnds` and `read_spans` say of one on brokers."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sagakit.errors import RecordsGone
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.log_spans import LogBatch, Spans
from sagakit.messages.envelope import Record

Place = tuple[str, int]


class MemoryLog(LogEnds):
    """Partitions that grow at the end, have markers and holes, and lose their first records."""

    def __init__(self, *places: Place, batch: int = 3) -> None:
        self.kept: dict[Place, list[Record]] = {place: [] for place in places}
        self.first, self.end = defaultdict[Place, int](int), defaultdict[Place, int](int)
        self.topic_ids = {topic: f"{topic}-1" for topic, _ in places}
        self._batch, self._now_ms = batch, 1000

    def append(self, place: Place, number: int = 1) -> None:
        """Append records, each a millisecond after the last of any partition."""
        for _ in range(number):
            self._now_ms += 1
            offset, key = self.end[place], f"o-{self.end[place] % 7}".encode()
            headers = (("flow", b"order/1"), ("note", b""), ("note", b"\xff"))
            value = None if offset % 5 == 4 else b"\xc3\x01" + bytes([offset % 256]) * 40
            self.kept[place].append(Record(*place, offset, self._now_ms, key, value, headers))
            self.end[place] += 1

    def mark(self, place: Place) -> None:
        """Pass over an offset without a record, as a transaction's marker and compaction do."""
        self.end[place] += 1

    def drop(self, place: Place, before: int) -> None:
        """Lose the records before an offset, as by retention."""
        self.first[place] = before
        self.kept[place] = [r for r in self.kept[place] if r.offset >= before]

    def ends(self, topics: Sequence[str], timeout_s: float = 10.0) -> dict[Place, int]:
        return {place: self.end[place] for place in self.kept if place[0] in topics}

    readable_ends = ends

    def firsts(self, topics: Sequence[str], timeout_s: float = 10.0) -> dict[Place, int]:
        return {place: self.first[place] for place in self.kept if place[0] in topics}

    def ids(self, topics: Sequence[str]) -> dict[str, str]:
        return {topic: self.topic_ids[topic] for topic in topics}

    def since(
        self, topics: Sequence[str], at_ms: int, timeout_s: float = 10.0
    ) -> dict[Place, int | None]:
        return {
            place: next((r.offset for r in kept if r.timestamp_ms >= at_ms), None)
            for place, kept in self.kept.items()
            if place[0] in topics
        }

    def read(self, spans: Spans) -> Iterator[LogBatch]:
        """Yield what is in the spans as `read_spans` does."""
        for place, span in spans.items():
            if span.offsets and span.start < self.first[place]:
                raise RecordsGone(f"{place[0]}/{place[1]} no longer holds offset {span.start}")
            found = [r for r in self.kept[place] if span.start <= r.offset < span.end]
            for n in range(0, len(found), self._batch):
                part = found[n : n + self._batch]
                yield LogBatch(part, {place: part[-1].offset + 1})
            yield LogBatch([], {place: span.end})
