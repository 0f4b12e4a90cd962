"""Archive and live log are read as one log: each record once, from where a bound says."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from saga_monitor.replay.bounds import AtOffsets, AtTime, Earliest, Now
from saga_monitor.replay.source import in_batches, plan_of
from sagakit.archive.folder import ArchiveFolder
from sagakit.archive.log_archive import LogArchive, archived_log
from sagakit.errors import RecordsGone
from sagakit.kafka.log_spans import OffsetSpan, Spans
from tests.log_double import MemoryLog

A, B = ("a.events", 0), ("b.events", 0)
TOPICS = ("a.events", "b.events")
ARCHIVED, MORE = 20, 6


@pytest.fixture
def log() -> MemoryLog:
    found = MemoryLog(A, B)
    for _ in range(ARCHIVED):
        found.append(A)
        found.append(B)
    found.mark(A)
    return found


@pytest.fixture
def archive(tmp_path: Path, log: MemoryLog) -> LogArchive:
    """The log as it was, and records that came later."""
    found = LogArchive(ArchiveFolder(str(tmp_path)), file_bytes=1500)
    found.extend(found.plan(log, TOPICS), log.read, lambda _: None)
    for place in (A, B):
        log.append(place, MORE)
    return found


def read(archive: LogArchive, log: MemoryLog, spans: Spans) -> list[tuple[str, int]]:
    batches = list(in_batches(archived_log(archive, log.read), spans, 7))
    positions = {place: at for batch in batches for place, at in batch.positions.items()}
    assert positions == {place: span.end for place, span in spans.items()}
    return [(r.topic, r.offset) for batch in batches for r in batch.records]


@pytest.mark.parametrize("dropped", [0, 7, ARCHIVED, ARCHIVED + 1])
def test_an_overlap_is_read_once_and_what_the_log_dropped_is_there(
    archive: LogArchive, log: MemoryLog, dropped: int
) -> None:
    # Given a log that has dropped none, some or all of what is archived
    whole = sorted((r.topic, r.offset) for kept in log.kept.values() for r in kept)
    log.drop(A, dropped)
    # When all is read
    plan = plan_of(log, TOPICS, Earliest(), Now(), archive)
    found = read(archive, log, plan.spans)
    # Then each record is there once, and nothing is cut off at the beginning
    assert sorted(found) == whole
    assert len(whole) == 2 * (ARCHIVED + MORE)
    assert not plan.cut
    for topic, _ in (A, B):
        offsets = [offset for name, offset in found if name == topic]
        assert offsets == sorted(offsets)


def test_without_the_archive_the_same_log_is_cut(archive: LogArchive, log: MemoryLog) -> None:
    log.drop(A, 7)
    plan = plan_of(log, TOPICS, Earliest(), Now())
    assert plan.cut == [A]
    assert plan.spans[A].start == 7


@pytest.mark.parametrize("start", [0, 5, ARCHIVED, ARCHIVED + 3])
@pytest.mark.parametrize("end", [6, ARCHIVED + 1, ARCHIVED + 4])
def test_a_bound_may_lie_in_either_part(
    archive: LogArchive, log: MemoryLog, start: int, end: int
) -> None:
    log.drop(B, ARCHIVED)
    last = max(start, end)
    plan = plan_of(log, ["b.events"], AtOffsets(start), AtOffsets(last), archive)
    assert read(archive, log, plan.spans) == [("b.events", n) for n in range(start, last)]


def test_a_time_is_looked_for_in_the_archive_first(archive: LogArchive, log: MemoryLog) -> None:
    # Given the time of each record, archived (also the last of a file) and live
    places = [(record, record.offset) for record in log.kept[A]]
    log.drop(A, ARCHIVED)
    for record, offset in places:
        at = AtTime(datetime.fromtimestamp(record.timestamp_ms / 1000, UTC))
        # When a plan begins there, then it begins at the record
        assert plan_of(log, TOPICS, at, Now(), archive).spans[A].start == offset


def test_a_log_that_drops_unarchived_records_after_the_plan_is_refused(
    archive: LogArchive, log: MemoryLog
) -> None:
    spans = {A: OffsetSpan(0, log.end[A])}
    log.drop(A, log.end[A] - 1)
    with pytest.raises(RecordsGone, match=r"a\.events/0 no longer holds offset 21"):
        read(archive, log, spans)
