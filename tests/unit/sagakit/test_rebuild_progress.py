"""What a rebuild reads, how far it is, and what it tells."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from saga_cli.lab.rebuild import RebuildProgress, report_lines
from sagakit.kafka.log_spans import LogBatch, OffsetSpan, spans_between
from sagakit.messages.envelope import Record, TopicPartitionKey
from sagakit.recovery.log_reader import LogReader
from sagakit.recovery.plan import RebuildPlan, losses
from sagakit.recovery.target import RebuildRefused, RebuildReport, remaining
from sagakit.stop_signal import StopSignal

OWN, OTHER = ("a.events", 0), ("b.events", 0)
PLAN = RebuildPlan({OWN: OffsetSpan(0, 10)}, {OTHER: OffsetSpan(2, 8)}, {"a.events": "id-1"})


def record(place: TopicPartitionKey, offset: int) -> Record:
    return Record(*place, offset, 0, b"k", b"v")


def reader_of(*batches: LogBatch) -> tuple[LogReader, StopSignal, list[dict[str, int]]]:
    """A reader, what stops its loop, and the progress that it stores."""
    stop, stored = StopSignal(), list[dict[str, int]]()

    def note(positions: Mapping[TopicPartitionKey, int]) -> None:
        stored.append({topic: offset for (topic, _), offset in positions.items()})

    return LogReader(iter(batches), stop, note), stop, stored


# --- the plan -------------------------------------------------------------------------------------


def test_a_span_is_what_the_log_holds_up_to_what_readers_see() -> None:
    assert spans_between({OWN: 3, OTHER: 5}, {OWN: 9, OTHER: 4}) == {
        OWN: OffsetSpan(3, 9),
        OTHER: OffsetSpan(5, 5),
    }


def test_a_whole_log_loses_nothing() -> None:
    assert losses(PLAN, "a.events") == []


def test_what_is_cut_is_told_apart_for_the_own_topic_and_the_others() -> None:
    own, others = losses(replace(PLAN, cut=[OWN, OTHER]), "a.events")
    assert own.startswith("a.events no longer holds the first records of 1 partitions")
    assert others.startswith("b.events no longer hold")


def test_a_rebuild_goes_on_from_its_progress_to_the_present_end() -> None:
    found = [("a.events", 0, True, 7, "id-1", 55), ("b.events", 0, False, 8, None, None)]
    left = remaining(PLAN, found)
    assert left.own == {OWN: OffsetSpan(7, 10)}
    assert left.consumed == {OTHER: OffsetSpan(8, 8)}
    assert (left.offsets, left.since_ms) == (3, {0: 55})


def test_a_topic_that_was_recreated_meanwhile_is_refused() -> None:
    with pytest.raises(RebuildRefused, match="recreated"):
        remaining(PLAN, [("a.events", 0, True, 7, "id-0", None)])


# --- the reader -----------------------------------------------------------------------------------


def test_progress_is_stored_once_records_are_handled_and_ends_at_the_end() -> None:
    batch = LogBatch([record(OWN, 4), record(OWN, 5)], {OWN: 9, OTHER: 3})
    reader, stop, stored = reader_of(batch)
    first = reader.poll(1, 0.0)
    assert stored == []
    reader.store(first)
    reader.store(reader.poll(5, 0.0))
    assert stored == [{"a.events": 5}, {"a.events": 9, "b.events": 3}]
    assert not stop.is_set()
    assert (reader.poll(5, 0.0), stop.is_set()) == ([], True)


def test_records_that_are_handled_singly_do_not_pass_over_those_behind_them() -> None:
    reader, _, stored = reader_of(LogBatch([record(OWN, 4), record(OTHER, 1)], {OWN: 5, OTHER: 2}))
    one, two = reader.poll(5, 0.0)
    reader.store([one])
    assert stored == [{"a.events": 5}]
    reader.store([two])
    assert stored[-1] == {"a.events": 5, "b.events": 2}


def test_a_span_without_records_is_passed() -> None:
    reader, _, stored = reader_of(LogBatch([], {OWN: 9}))
    assert reader.poll(5, 0.0) == []
    assert stored == [{"a.events": 9}]


# --- what is told ---------------------------------------------------------------------------------


def test_a_resumed_rebuild_counts_only_its_own_offsets_into_the_rate() -> None:
    progress = RebuildProgress(100, 0.0, done=40, done_before=40)
    assert (progress.left, progress.rate, progress.remaining_s) == (60, 0.0, None)


def test_the_report_names_what_is_asked_again_and_what_is_not_recovered() -> None:
    report = RebuildReport(
        1200,
        asked={"charge": 3},
        published={"a.events": 1},
        lost=2,
        examples={"errand/1": "why"},
        violated=["stock CHECK (on_hand >= 0)"],
    )
    assert report_lines("a", report) == [
        "a is rebuilt: 1,200 sagas",
        "asked again when the service starts: 3 charge",
        "published when the service starts: 1 a.events",
        "parked: nothing",
        "not recovered: 2 sagas",
        "  errand/1: why",
        "  and more, in the table rebuild_lost",
        "rows violate a constraint: stock CHECK (on_hand >= 0)",
    ]
