"""Spans of partitions are read side by side and merged by log time, in bounded memory."""

import itertools
from collections import defaultdict
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from sagakit.errors import RecordsGone
from sagakit.kafka import log_spans
from sagakit.kafka.log_spans import LogBatch, OffsetSpan, read_spans, spans_until

A, B = ("a.events", 0), ("b.events", 0)


class Message:
    """A record of the client, or an error about a partition."""

    def __init__(
        self, place: tuple[str, int], offset: int, at_ms: int = 0, code: int | None = None
    ) -> None:
        self._place, self._offset, self._at_ms = place, offset, at_ms
        self._error = None if code is None else KafkaError(code)

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, self._at_ms

    def key(self) -> bytes:
        return b"o-1"

    def value(self) -> bytes:
        return b"x" * 100

    def headers(self) -> None:
        return None

    def error(self) -> KafkaError | None:
        return self._error


class Log:
    """A consumer of what is given, `chunk` records of a partition in turn."""

    def __init__(self, *messages: Message, chunk: int = 3) -> None:
        self._left: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for message in messages:
            self._left[message.topic(), message.partition()].append(message)
        self._chunk, self._paused = chunk, set[tuple[str, int]]()
        self._turns = itertools.cycle(list(self._left))
        self.starts: dict[tuple[str, int], int] = {}
        self.given: dict[tuple[str, int], int] = defaultdict(int)
        self.pauses = 0

    def assign(self, partitions: Any) -> None:
        self.starts = {(p.topic, p.partition): p.offset for p in partitions}

    def consume(self, most: int, timeout: float) -> list[Any]:
        if timeout == 0:
            return []
        for _ in self._left:
            place = next(self._turns)
            if place in self._paused or place not in self.starts or not self._left[place]:
                continue
            found, self._left[place] = (
                self._left[place][: self._chunk],
                self._left[place][self._chunk :],
            )
            self.given[place] += len(found)
            return found
        return []

    def pause(self, partitions: Any) -> None:
        self.pauses += 1
        self._paused |= {(p.topic, p.partition) for p in partitions}

    def resume(self, partitions: Any) -> None:
        self._paused -= {(p.topic, p.partition) for p in partitions}

    def incremental_unassign(self, partitions: Any) -> None:
        for p in partitions:
            self.starts.pop((p.topic, p.partition), None)

    def close(self) -> None:
        self.starts = {}


def read(
    monkeypatch: pytest.MonkeyPatch, log: Log, spans: dict[tuple[str, int], OffsetSpan]
) -> list[LogBatch]:
    monkeypatch.setattr(log_spans, "groupless_consumer", lambda *_: log)
    return list(read_spans("nowhere:9092", spans, 0.1))


def offsets(batches: list[LogBatch]) -> list[tuple[str, int]]:
    return [(r.topic, r.offset) for batch in batches for r in batch.records]


def test_two_topics_are_merged_by_log_time(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(
        *(Message(A, n, at_ms) for n, at_ms in enumerate((10, 20, 30, 40))),
        *(Message(B, n, at_ms) for n, at_ms in enumerate((15, 16, 35))),
        chunk=1,
    )

    batches = read(monkeypatch, log, {A: OffsetSpan(0, 4), B: OffsetSpan(0, 3)})

    assert [r.timestamp_ms for batch in batches for r in batch.records] == [
        10,
        15,
        16,
        20,
        30,
        35,
        40,
    ]
    assert {p: at for batch in batches for p, at in batch.positions.items()} == {A: 4, B: 3}


def test_offsets_stay_in_order_where_a_clock_went_back(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(*(Message(A, n, at_ms) for n, at_ms in enumerate((30, 10, 20))), Message(B, 0, 15))
    found = offsets(read(monkeypatch, log, {A: OffsetSpan(0, 3), B: OffsetSpan(0, 1)}))
    assert [offset for topic, offset in found if topic == A[0]] == [0, 1, 2]


def test_a_span_ends_before_its_end_also_where_the_log_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log(*(Message(A, n, n) for n in range(2, 10)))
    batches = read(monkeypatch, log, {A: OffsetSpan(2, 5)})
    assert offsets(batches) == [("a.events", n) for n in (2, 3, 4)]
    assert batches[-1].positions == {A: 5}


def test_markers_of_transactions_at_the_end_are_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(Message(A, 0, 1), Message(A, 3, code=KafkaError._PARTITION_EOF))
    batches = read(monkeypatch, log, {A: OffsetSpan(0, 3)})
    assert offsets(batches) == [("a.events", 0)]
    assert batches[-1].positions == {A: 3}


def test_a_record_beyond_the_end_ends_a_span_of_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = read(monkeypatch, Log(Message(A, 7, 1)), {A: OffsetSpan(3, 5)})
    assert offsets(batches) == []
    assert batches[-1].positions == {A: 5}


def test_an_empty_span_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, Log(), {A: OffsetSpan(4, 4)}) == [LogBatch([], {A: 4})]


def test_a_topic_that_is_far_ahead_in_log_time_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 300
    monkeypatch.setattr(log_spans, "BUFFER_BYTES", 20_000)
    ahead = (Message(A, n, n) for n in range(many))
    dense = (Message(B, n, n // 100) for n in range(many))  # its records are all early
    log = Log(*ahead, *dense, chunk=10)
    monkeypatch.setattr(log_spans, "groupless_consumer", lambda *_: log)
    read, most_waiting = list[tuple[str, int]](), 0

    for batch in read_spans("nowhere:9092", {A: OffsetSpan(0, many), B: OffsetSpan(0, many)}, 0.1):
        read += offsets([batch])
        most_waiting = max(most_waiting, sum(log.given.values()) - len(read))

    assert log.pauses
    assert most_waiting < 100
    assert sorted(read) == sorted((p[0], n) for p in (A, B) for n in range(many))


def test_records_that_retention_has_removed_are_never_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log(Message(A, 0, code=KafkaError._AUTO_OFFSET_RESET))
    with pytest.raises(RecordsGone, match=r"a.events/0 no longer holds offset 5"):
        read(monkeypatch, log, {A: OffsetSpan(5, 9)})


def test_another_error_of_the_client_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KafkaException):
        read(monkeypatch, Log(Message(A, 0, code=KafkaError._FAIL)), {A: OffsetSpan(0, 9)})


def test_a_silent_log_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError, match=r"a\.events"):
        read(monkeypatch, Log(), {A: OffsetSpan(0, 9)})


def test_spans_are_cut_at_ends_and_never_grow() -> None:
    spans = {A: OffsetSpan(3, 10), B: OffsetSpan(5, 9), ("c.events", 0): OffsetSpan(2, 4)}
    assert spans_until(spans, {A: 7, B: 1, ("c.events", 0): 40}) == {
        A: OffsetSpan(3, 7),
        B: OffsetSpan(5, 5),
        ("c.events", 0): OffsetSpan(2, 4),
    }
    assert spans_until({A: OffsetSpan(3, 10)}, {}) == {A: OffsetSpan(3, 3)}
