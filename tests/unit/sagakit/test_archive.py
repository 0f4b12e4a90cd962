"""An archive has every record once, whatever kills its writer, and says what is wrong with it."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from saga_cli.main import saga
from saga_monitor.replay.pipeline import MonitorAccess
from sagakit.archive.container import read_container, write_container
from sagakit.archive.folder import ArchiveFolder
from sagakit.archive.log_archive import LogArchive
from sagakit.archive.manifest import ArchivedFile, Manifest, from_json, to_json
from sagakit.errors import ArchiveRefused, ConfigurationError
from sagakit.kafka.log_spans import OffsetSpan
from sagakit.messages.envelope import Record
from tests.log_double import MemoryLog, Place

A, B, OTHER = ("a.events", 0), ("b.events", 0), ("a.events", 1)
TOPICS = ("a.events", "b.events")
SMALL = 1200
"""So many bytes in a file: about five records."""


@pytest.fixture
def log() -> MemoryLog:
    """Three partitions, one with holes, one that is empty."""
    found = MemoryLog(A, B, OTHER)
    for place, number in ((A, 8), (B, 5), (A, 9)):
        found.append(place, number)
        found.mark(place)
    return found


def opened(folder: Path | str) -> LogArchive:
    return LogArchive(ArchiveFolder(str(folder)), SMALL)


def run(archive: LogArchive, log: MemoryLog) -> tuple[int, int]:
    return archive.extend(archive.plan(log, TOPICS), log.read, lambda _: None)


def records_in(archive: LogArchive, *places: Place) -> list[Record]:
    spans = {place: OffsetSpan(0, 10**6) for place in places}
    return [record for batch in archive.read(spans) for record in batch.records]


def archived_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.avro"))


def test_a_record_comes_back_as_it_was() -> None:
    records = [
        Record("a", 3, 7, 1000, b"o-1", b"\xc3\x01body", (("flow", b"order/1"), ("é", b"\xff"))),
        Record("a", 3, 9, 999, None, None),
        Record("a", 3, 2**40, 2**41, b"", b"", (("n", b""), ("n", b"2"))),
    ]
    content = write_container(records, "a/3/x.avro")

    assert list(read_container(content)) == records
    assert write_container(records, "a/3/x.avro") == content


def test_every_record_is_archived_once_in_files_of_bounded_size(
    tmp_path: Path, log: MemoryLog
) -> None:
    # When the log is archived
    archive = opened(tmp_path)
    records, size = run(archive, log)
    # Then partitions have their records, merged by log time
    found = records_in(archive, A, B)
    assert found == sorted(log.kept[A] + log.kept[B], key=lambda r: r.timestamp_ms)
    assert records == len(found) == 22
    # And the names of the files say their offsets, markers included
    files = archived_files(tmp_path)
    assert size == sum(path.stat().st_size for path in files)
    assert [path.name for path in files if path.parent == tmp_path / "b.events/0"] == [
        "00000000000000000000-00000000000000000005.avro",
        "00000000000000000005-00000000000000000006.avro",
    ]
    assert len([path for path in files if path.parent == tmp_path / "a.events/0"]) == 4
    assert archive.verify().records == 22


def test_a_second_run_archives_what_is_new(tmp_path: Path, log: MemoryLog) -> None:
    # Given an archived log of which nothing is new
    archive = opened(tmp_path)
    run(archive, log)
    before = {path: path.read_bytes() for path in archived_files(tmp_path)}
    assert archive.plan(log, TOPICS).offsets == 0
    # When records come, and the first ones go
    log.append(A, 2)
    log.mark(B)
    log.drop(A, 10)
    records, _ = run(opened(tmp_path), log)
    # Then only the new ones are read, a range of markers alone too, and no old file is touched
    assert records == 2
    assert archive.manifests(TOPICS)[B].end == log.end[B]
    assert before.items() <= {p: p.read_bytes() for p in archived_files(tmp_path)}.items()
    assert [r.offset for r in records_in(archive, A)] == [*range(8), *range(9, 18), 19, 20]


def test_an_object_store_is_used_as_a_folder_is(log: MemoryLog) -> None:
    url = f"memory://archive-{uuid.uuid4().hex}/deep"
    run(opened(url), log)
    log.append(B, 3)
    assert run(opened(url), log)[0] == 3
    found = opened(url).verify()
    assert (found.records, list(found.faults), list(found.unnamed)) == (25, [], [])


def test_a_store_that_nothing_speaks_to_is_named() -> None:
    with pytest.raises(ConfigurationError, match="nowhere://x cannot be used"):
        ArchiveFolder("nowhere://x")


@pytest.mark.parametrize("renames", range(12))
def test_a_run_that_is_killed_leaves_nothing_that_reads_as_whole(
    tmp_path: Path, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    # Given a run that is killed before one of its renames: of a data file, or of a manifest
    folder = ArchiveFolder(str(tmp_path))
    rename, left = folder._fs.mv, iter(range(renames))

    def killed_rename(*paths: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        rename(*paths)

    monkeypatch.setattr(folder._fs, "mv", killed_rename)
    with pytest.raises(KeyboardInterrupt):
        run(LogArchive(folder, SMALL), log)
    monkeypatch.undo()
    # Then what there is verifies, and is the beginning of the log
    found = opened(tmp_path).verify()
    assert (list(found.faults), found.files) == ([], renames // 2)
    assert any(name.endswith(".part") for name in found.unnamed)
    known = opened(tmp_path).manifests(TOPICS)
    kept = [r for place, m in known.items() for r in log.kept[place] if r.offset < m.end]
    assert sorted(records_in(opened(tmp_path), *known), key=str) == sorted(kept, key=str)
    # And the next run ends as one that was not killed
    run(opened(tmp_path), log)
    assert len(records_in(opened(tmp_path), A, B)) == opened(tmp_path).verify().records == 22


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def swapped(path: Path) -> None:
    path.write_bytes(archived_files(path.parent)[-1].read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [(flipped, "is damaged"), (cut, "is damaged"), (swapped, "is damaged"), (Path.unlink, "miss")],
)
def test_a_file_that_is_not_as_it_was_written_is_named_and_not_read(
    tmp_path: Path, log: MemoryLog, damage: Callable[[Path], None], message: str
) -> None:
    run(opened(tmp_path), log)
    damage(archived_files(tmp_path)[1])

    found = opened(tmp_path).verify()
    assert len(found.faults) == 1
    assert message in found.faults[0]
    assert archived_files(tmp_path)[0].parent.name in found.faults[0]
    with pytest.raises(ArchiveRefused, match=message):
        records_in(opened(tmp_path), A)
    assert len(records_in(opened(tmp_path), B)) == 5


def without_a_file(manifest: Manifest) -> bytes:
    return to_json(Manifest(*manifest.place, manifest.topic_id, manifest.files[::2]))


def of_another_partition(manifest: Manifest) -> bytes:
    return to_json(Manifest("c.events", 0, "c", manifest.files))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: to_json(m)[:-9], "is damaged: the whole"),
        (lambda m: to_json(m).replace(b'"records": 5', b'"records": "x"'), "files/0/records"),
        (lambda m: to_json(m).replace(b'"format": 1', b'"format": 2'), "is damaged: format"),
        (without_a_file, "has no file with offsets 5 to 9"),
        (of_another_partition, "manifest of c.events/0"),
    ],
)
def test_a_manifest_that_is_not_whole_is_refused(
    damage: Callable[[Manifest], bytes], message: str
) -> None:
    files = [ArchivedFile(n, n + 5, 5, 100, 1000, "00") for n in range(0, 20, 5)]
    manifest = Manifest(*A, "a-1", tuple(files))
    path = "a.events/0/manifest.json"
    assert from_json(to_json(manifest), path) == manifest
    with pytest.raises(ArchiveRefused, match=message):
        from_json(damage(manifest), path)


def test_a_wrong_count_in_a_manifest_is_a_fault(tmp_path: Path, log: MemoryLog) -> None:
    run(opened(tmp_path), log)
    path = tmp_path / "b.events/0/manifest.json"
    path.write_text(path.read_text().replace('"records": 5', '"records": 6'))
    assert "has 5 records, its manifest says 6" in opened(tmp_path).verify().faults[0]


def gap(log: MemoryLog) -> None:
    log.append(A, 10)
    log.drop(A, log.end[A] - 3)


def recreated(log: MemoryLog) -> None:
    log.topic_ids["a.events"] = "a.events-2"


def lost_tail(log: MemoryLog) -> None:
    log.end[A] -= 1


@pytest.mark.parametrize(
    ("happened", "message"),
    [
        (gap, "a.events/0 has a gap: offsets 19 to 25 are neither"),
        (recreated, "a.events was recreated"),
        (lost_tail, "a.events/0 ends at 18 in the log and at 19 in the archive"),
    ],
)
def test_archive_and_log_that_are_not_one_are_refused(
    tmp_path: Path, log: MemoryLog, happened: Callable[[MemoryLog], Any], message: str
) -> None:
    archive = opened(tmp_path)
    run(archive, log)
    happened(log)
    with pytest.raises(ArchiveRefused, match=message):
        archive.plan(log, TOPICS)
    with pytest.raises(ArchiveRefused, match=message):
        archive.firsts(log, TOPICS)


def test_a_run_beside_another_one_is_refused(tmp_path: Path, log: MemoryLog) -> None:
    # Given two runs that have planned the same
    one, other = opened(tmp_path), opened(tmp_path)
    plan = other.plan(log, TOPICS)
    run(one, log)
    # When the second writes, then it ends and the files of the first are whole
    with pytest.raises(ArchiveRefused, match="another `saga archive` has written"):
        other.extend(plan, log.read, lambda _: None)
    assert one.verify().records == 22
    assert not one.verify().faults


def test_a_folder_without_an_archive_is_no_archive_that_verifies(tmp_path: Path) -> None:
    result = CliRunner().invoke(saga, ["archive", str(tmp_path / "typo"), "--verify"])
    assert result.exit_code == 1
    assert "there is no archive in" in result.output
    with pytest.raises(ArchiveRefused, match="there is no archive in"):
        MonitorAccess("nowhere:9092", "", ("schemas",), archive=str(tmp_path)).source()


def test_a_verification_tells_of_faults_by_its_exit_status(tmp_path: Path, log: MemoryLog) -> None:
    run(opened(tmp_path), log)
    whole = CliRunner().invoke(saga, ["archive", str(tmp_path), "--verify"])
    flipped(archived_files(tmp_path)[0])
    damaged = CliRunner().invoke(saga, ["archive", str(tmp_path), "--verify"])

    assert whole.exit_code == 0
    assert "6 files with 22 records" in whole.output
    assert damaged.exit_code == 1
    assert "1 faults in" in damaged.output
    assert archived_files(tmp_path)[0].name in damaged.output
