"""Topics are filled from an archive: once, in order, with the times that records had."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sagakit.archive.folder import ArchiveFolder
from sagakit.archive.log_archive import LogArchive
from sagakit.archive.restore import restore, what_to_restore
from sagakit.errors import ArchiveRefused
from sagakit.messages.envelope import LOGGED_AT, Record, unreadable_header
from tests.log_double import MemoryLog

A, B, C = ("a.events", 0), ("b.events", 0), ("a.events", 1)
TOPICS = ("a.events", "b.events")


class Killed(Exception):
    """Ends a restore in the middle."""


@pytest.fixture
def archive(tmp_path: Path) -> LogArchive:
    """Two partitions with holes, and one that has always been empty."""
    log = MemoryLog(A, B, C)
    for place, number in ((A, 8), (B, 5), (A, 1500)):
        log.append(place, number)
        log.mark(place)
    log.kept[B][2] = replace(log.kept[B][2], headers=unreadable_header("no text"))
    log.kept[B][3] = replace(log.kept[B][3], headers=((LOGGED_AT, b"7"),))
    made = LogArchive(ArchiveFolder(str(tmp_path)), 100_000)
    made.extend(made.plan(log, TOPICS), log.read, lambda _: None)
    return made


def archived(archive: LogArchive) -> list[Record]:
    return [
        record
        for manifest in archive.manifests(TOPICS).values()
        for record in archive.records(manifest)
    ]


def into(log: MemoryLog, until: float = float("inf")) -> Callable[[Sequence[Record]], None]:
    """What copies records to the end of a log, and is killed after so many."""

    def copy(records: Sequence[Record]) -> None:
        for record in records:
            place = record.topic, record.partition
            if sum(map(len, log.kept.values())) >= until:
                raise Killed
            log.kept[place].append(replace(record, offset=log.end[place], timestamp_ms=10**9))
            log.end[place] += 1

    return copy


def run(archive: LogArchive, log: MemoryLog, until: float = float("inf")) -> int:
    found = what_to_restore(archive, log, log.read, TOPICS)
    return restore(archive, found, into(log, until), lambda _: None)


def contents(records: Sequence[Record]) -> list[object]:
    return [(r.topic, r.partition, r.key, r.value) for r in records]


def test_every_record_that_could_be_read_is_published_once_with_its_time(
    archive: LogArchive,
) -> None:
    log, known = MemoryLog(A, B, C), archived(archive)
    assert run(archive, log) == len(known) - 1
    readable = [r for r in known if r.headers != unreadable_header("no text")]
    for place in (A, B):
        was = [r for r in readable if (r.topic, r.partition) == place]
        assert contents(log.kept[place]) == contents(was)
        assert [dict(r.headers)[LOGGED_AT] for r in log.kept[place]] == [
            b"7" if (LOGGED_AT, b"7") in r.headers else str(r.timestamp_ms).encode() for r in was
        ]
    assert log.kept[C] == []
    assert run(archive, log) == 0


@pytest.mark.parametrize("until", [0, 1, 7, 1000, 1511])
def test_a_restore_that_is_killed_goes_on_where_it_stopped(archive: LogArchive, until: int) -> None:
    whole, log = MemoryLog(A, B, C), MemoryLog(A, B, C)
    run(archive, whole)
    with pytest.raises(Killed):
        run(archive, log, until)
    run(archive, log)
    assert log.kept == whole.kept


def test_a_topic_that_holds_anything_else_is_refused(archive: LogArchive) -> None:
    log = MemoryLog(A, B, C)
    into(log)([Record(*A, 0, 1, b"o-0", b"other")])
    with pytest.raises(ArchiveRefused, match="holds 1 records that are not the first ones"):
        run(archive, log)


def test_a_topic_that_goes_on_behind_its_archive_is_refused(archive: LogArchive) -> None:
    log = MemoryLog(A, B, C)
    run(archive, log)
    log.append(B)
    with pytest.raises(ArchiveRefused, match="holds 5 records"):
        run(archive, log)


def test_a_topic_that_lacks_its_first_records_is_refused(archive: LogArchive) -> None:
    log = MemoryLog(A, B, C)
    run(archive, log)
    log.drop(A, 3)
    with pytest.raises(ArchiveRefused, match="holds 1505 records"):
        run(archive, log)


def test_a_topic_with_fewer_partitions_is_refused(archive: LogArchive) -> None:
    with pytest.raises(ArchiveRefused, match=r"topic b.events has no partition 0"):
        run(archive, MemoryLog(A, C))
