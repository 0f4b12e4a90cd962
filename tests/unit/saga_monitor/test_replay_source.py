"""Records on their way into a replay: in batches, chosen, and emptied where they are skipped."""

from collections.abc import Iterator

import pytest

from saga_monitor.replay.pipeline import by_partition
from saga_monitor.replay.source import in_batches, selection, skipping
from sagakit.kafka.log_spans import LogBatch, OffsetSpan, Spans
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import UNREADABLE, Record
from schemas import CONTRACT

A, B = ("a.events", 0), ("b.events", 0)
SPANS = {A: OffsetSpan(0, 9), B: OffsetSpan(0, 4)}


def record(place: tuple[str, int], offset: int, key: str = "o-1", flow: str = "order/1") -> Record:
    return Record(*place, offset, 1000 + offset, key.encode(), b"x", (("flow", flow.encode()),))


def source(spans: Spans) -> Iterator[LogBatch]:
    """Five records of one topic, three of another, and markers of a transaction at the end."""
    yield LogBatch([record(A, n) for n in range(3)], {A: 3})
    yield LogBatch([record(A, 3), record(B, 0), record(A, 4), record(B, 1)], {A: 5, B: 2})
    yield LogBatch([record(B, 2)], {A: 9, B: 4})


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_batches_hold_every_record_once_and_end_at_the_ends(most: int) -> None:
    batches = list(in_batches(source, SPANS, most))

    assert [r for batch in batches for r in batch.records] == [
        r for batch in source(SPANS) for r in batch.records
    ]
    assert all(len(batch.records) <= most for batch in batches)
    assert batches[-1].positions == {A: 9, B: 4}


def test_a_batch_never_claims_a_record_that_it_does_not_hold() -> None:
    read: set[tuple[str, int, int]] = set()
    for batch in list(in_batches(source, SPANS, 2))[:-1]:
        read |= {(r.topic, r.partition, r.offset) for r in batch.records}
        for (topic, partition), following in batch.positions.items():
            assert {(topic, partition, n) for n in range(following)} <= read


@pytest.mark.parametrize(
    ("saga", "flow", "chosen"),
    [
        (None, None, [0, 1, 2, 3]),
        ("o-1", None, [0, 2]),
        ("order/o-1", None, [0]),
        ("a/b", None, [3]),
        (None, "trip", [2, 3]),
        ("o-1", "trip", [2]),
        ("o-3", None, []),
    ],
)
def test_records_of_one_saga_or_flow_are_chosen(
    saga: str | None, flow: str | None, chosen: list[int]
) -> None:
    records = [
        record(A, 0),
        record(A, 1, key="o-2"),
        record(A, 2, flow="trip/1"),
        record(A, 3, key="b", flow="a/1" if saga == "a/b" else "trip/1"),
    ]
    choose = selection(Codec(CONTRACT), saga, flow)
    assert [r.offset for r in choose(records)] == chosen


def test_a_skipped_record_is_emptied_and_says_why() -> None:
    records = [record(A, 0), record(A, 1)]

    first, second = skipping({(*A, 1): "skipped by ann: it ends each process"})(records)

    assert first == records[0]
    assert (second.key, second.value, second.timestamp_ms) == (None, None, 1001)
    assert second.headers == ((UNREADABLE, b"skipped by ann: it ends each process"),)


def test_a_unit_of_work_is_one_partition_number_on_all_topics() -> None:
    spans = {("a", 1): OffsetSpan(0, 1), ("b", 0): OffsetSpan(0, 2), ("a", 0): OffsetSpan(0, 3)}
    assert by_partition(spans) == {
        0: {("b", 0): OffsetSpan(0, 2), ("a", 0): OffsetSpan(0, 3)},
        1: {("a", 1): OffsetSpan(0, 1)},
    }
