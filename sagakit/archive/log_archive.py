"""Extends, reads and verifies the archive of a log: the files of all its partitions.

A partition's manifest is written after each file and names only whole ones. So a run that is killed
loses at most the file that it was at, and the next one goes on behind the last.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from operator import itemgetter

from sagakit.archive.container import read_container, write_container
from sagakit.archive.folder import ArchiveFolder
from sagakit.archive.manifest import (
    NAME,
    ArchivedFile,
    Manifest,
    file_name,
    from_json,
    joined_firsts,
    to_json,
)
from sagakit.errors import ArchiveRefused
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.log_spans import AT_ONCE, LogBatch, OffsetSpan, Spans, log_bytes
from sagakit.messages.envelope import Record, TopicPartitionKey

FILE_BYTES = 16 * 1024 * 1024
"""About as many bytes of records are in one file, before compression; one file is in memory."""
Manifests = Mapping[TopicPartitionKey, Manifest]
ReadSpans = Callable[[Spans], Iterator[LogBatch]]


@dataclass(frozen=True, slots=True)
class ArchivePlan:
    """Says what is archived: the offsets of each partition that the archive does not have yet.

    manifests: of every partition, those without files included.
    """

    manifests: Manifests
    spans: Spans

    @property
    def offsets(self) -> int:
        """Return the number of offsets that are to be archived."""
        return sum(span.offsets for span in self.spans.values())


@dataclass(frozen=True, slots=True)
class Verification:
    """Says what a verification found. faults: one line for each file that is not as it was written.

    unnamed: files that no manifest names; a run that was killed leaves them.
    """

    files: int
    records: int
    bytes: int
    faults: Sequence[str]
    unnamed: Sequence[str]


class LogArchive:
    """The archive in a folder. file_bytes: about as many bytes of records are in one file."""

    def __init__(self, folder: ArchiveFolder, file_bytes: int = FILE_BYTES) -> None:
        self._folder, self._file_bytes = folder, file_bytes

    def is_empty(self) -> bool:
        """Tell whether no partition has a file. Raises ArchiveRefused."""
        return not self._manifest_paths()

    def manifests(self, topics: Collection[str]) -> dict[TopicPartitionKey, Manifest]:
        """Return the manifest of each archived partition of these topics. Raises ArchiveRefused."""
        found = {}
        for path in self._manifest_paths():
            if path.partition("/")[0] in topics:
                manifest = self._manifest(path)
                found[manifest.place] = manifest
        return found

    def firsts(self, log: LogEnds, topics: Sequence[str]) -> dict[TopicPartitionKey, int]:
        """Return the first offset of each partition in archive and live log together.

        Raises ArchiveRefused if they have a gap or are not one log, and KafkaException.
        """
        manifests, firsts = self.manifests(topics), log.firsts(topics)
        return joined_firsts(manifests, firsts, log.readable_ends(topics), log.ids(topics))

    def since(self, topics: Sequence[str], at_ms: int) -> dict[TopicPartitionKey, int]:
        """Return partition -> offset of the first archived record stamped then or later.

        at_ms: Unix ms. A partition without one is left out. Raises ArchiveRefused.
        """
        found = {}
        for place, manifest in self.manifests(topics).items():
            for file in manifest.files:
                if file.latest_ms is not None and file.latest_ms >= at_ms:
                    records = self._records(manifest, file)
                    found[place] = next(r.offset for r in records if r.timestamp_ms >= at_ms)
                    break
        return found

    def plan(self, log: LogEnds, topics: Sequence[str]) -> ArchivePlan:
        """Ask the brokers what is not archived yet, up to what readers see now.

        Raises ArchiveRefused if the log no longer holds what comes next, and KafkaException.
        """
        manifests, ids = self.manifests(topics), log.ids(topics)
        firsts, ends = log.firsts(topics), log.readable_ends(topics)
        joined_firsts(manifests, firsts, ends, ids)
        found, spans = {}, {}
        for (topic, partition), first in firsts.items():
            place = topic, partition
            known = manifests.get(place)
            found[place] = known or Manifest(topic, partition, ids[topic])
            span = OffsetSpan(known.end if known else first, ends[place])
            if span.offsets:
                spans[place] = span
        return ArchivePlan(found, spans)

    def extend(
        self, plan: ArchivePlan, live: ReadSpans, note: Callable[[Manifest], None]
    ) -> tuple[int, int]:
        """Archive what is planned; return the numbers of records and of bytes that were written.

        One partition after the other, so that memory does not grow with their number. `note` is
        called with the manifest after each file. Raises ArchiveRefused and what `live` raises.
        """
        records = size = 0
        for place, span in plan.spans.items():
            manifest = plan.manifests[place]
            for waiting, covered in self._portions(place, span, live):
                manifest = self._add(manifest, waiting, covered)
                records += manifest.files[-1].records
                size += manifest.files[-1].bytes
                note(manifest)
        return records, size

    def _portions(
        self, place: TopicPartitionKey, span: OffsetSpan, live: ReadSpans
    ) -> Iterator[tuple[list[Record], OffsetSpan]]:
        """Yield the records of each file with the offsets that it covers."""
        waiting: list[Record] = []
        start, size, read = span.start, 0, span.start
        for batch in live({place: span}):
            read = batch.positions.get(place, read)
            for record in batch.records:
                waiting.append(record)
                size += log_bytes(record)
                if size >= self._file_bytes:
                    yield waiting, OffsetSpan(start, record.offset + 1)
                    waiting, start, size = [], record.offset + 1, 0
        if read != span.end:
            raise ArchiveRefused(f"{place[0]}/{place[1]} was read to {read}, not to {span.end}")
        if start < span.end:
            yield waiting, OffsetSpan(start, span.end)

    def _add(self, manifest: Manifest, records: Sequence[Record], covered: OffsetSpan) -> Manifest:
        """Write a file, then the manifest that names it. Raises ArchiveRefused."""
        name = file_name(covered.start, covered.end)
        content = write_container(records, manifest.path(name))
        self._folder.write_whole(manifest.path(name), content)
        latest_ms = max((record.timestamp_ms for record in records), default=None)
        digest = hashlib.sha256(content).hexdigest()
        file = ArchivedFile(
            covered.start, covered.end, len(records), len(content), latest_ms, digest
        )
        path = manifest.path(NAME)
        stored = self._manifest(path).files if self._folder.has(path) else ()
        if stored != manifest.files:
            raise ArchiveRefused(
                f"another `saga archive` has written {path} meanwhile; run one at a time"
            )
        longer = manifest.with_file(file)
        self._folder.write_whole(path, to_json(longer))
        return longer

    def read(self, spans: Spans) -> Iterator[LogBatch]:
        """Yield the archived records in these spans, merged by log time.

        A position is that after the last record of a batch. Raises ArchiveRefused.
        """
        manifests = self.manifests({topic for topic, _ in spans})
        merged = merge(
            *(self._timed(manifests[place], span) for place, span in spans.items()),
            key=itemgetter(0),
        )
        while batch := [record for _, record in islice(merged, AT_ONCE)]:
            yield LogBatch(batch, {(r.topic, r.partition): r.offset + 1 for r in batch})

    def _timed(self, manifest: Manifest, span: OffsetSpan) -> Iterator[tuple[int, Record]]:
        """Yield records with a log time that never goes back, so that offsets stay in order."""
        latest_ms = 0
        for file in manifest.files:
            if file.end > span.start and file.first < span.end:
                for record in self._records(manifest, file):
                    latest_ms = max(latest_ms, record.timestamp_ms)
                    if span.start <= record.offset < span.end:
                        yield latest_ms, record

    def records(self, manifest: Manifest) -> Iterator[Record]:
        """Yield all archived records of a partition, in order. Raises ArchiveRefused."""
        for file in manifest.files:
            yield from self._records(manifest, file)

    def _records(self, manifest: Manifest, file: ArchivedFile) -> Iterator[Record]:
        """Yield the records of a file that is what its manifest says. Raises ArchiveRefused."""
        path = manifest.path(file.name)
        content = self._folder.read(path)
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise ArchiveRefused(
                f"{path} is damaged: {len(content)} of {file.bytes} bytes, with another SHA-256 "
                "than the manifest has; bring it back from a copy"
            )
        return read_container(content)

    def verify(self) -> Verification:
        """Read every file and compare it with its manifest."""
        faults: list[str] = []
        named = set[str]()
        files = records = size = 0
        for path in self._manifest_paths():
            named.add(path)
            try:
                manifest = self._manifest(path)
            except ArchiveRefused as error:
                faults.append(str(error))
                continue
            for file in manifest.files:
                named.add(manifest.path(file.name))
                try:
                    found = self._count(manifest, file)
                except ArchiveRefused as error:
                    faults.append(str(error))
                    continue
                files, records, size = files + 1, records + found, size + file.bytes
        unnamed = [name for name in self._folder.names() if name not in named]
        return Verification(files, records, size, faults, unnamed)

    def _count(self, manifest: Manifest, file: ArchivedFile) -> int:
        """Return the number of records. Raises ArchiveRefused if they are not those of the file."""
        count, following = 0, file.first
        for record in self._records(manifest, file):
            place = record.topic, record.partition
            if place != manifest.place or not following <= record.offset < file.end:
                raise ArchiveRefused(
                    f"{manifest.path(file.name)} has {record.topic}/{record.partition} at offset "
                    f"{record.offset}, which is not in its range"
                )
            count, following = count + 1, record.offset + 1
        if count != file.records:
            raise ArchiveRefused(
                f"{manifest.path(file.name)} has {count} records, its manifest says {file.records}"
            )
        return count

    def _manifest(self, path: str) -> Manifest:
        return from_json(self._folder.read(path), path)

    def _manifest_paths(self) -> list[str]:
        return [name for name in self._folder.names() if name.endswith(f"/{NAME}")]


def log_archive(url: str) -> LogArchive:
    """Return the archive in the folder at a path or URL, to be made. Raises ConfigurationError."""
    return LogArchive(ArchiveFolder(url))


def existing_archive(url: str) -> LogArchive:
    """Return the archive in a folder. Raises ArchiveRefused if there is none."""
    found = log_archive(url)
    if found.is_empty():
        raise ArchiveRefused(f"there is no archive in {url}; `saga archive {url}` makes one")
    return found


def archived_log(archive: LogArchive, live: ReadSpans) -> ReadSpans:
    """Return archive and live log as one source.

    What both have is read from the archive; the live log begins where the archive ends, and refuses
    (RecordsGone) to begin at an offset that it no longer holds.
    """

    def read(spans: Spans) -> Iterator[LogBatch]:
        manifests = archive.manifests({topic for topic, _ in spans})
        past = {
            place: OffsetSpan(span.start, min(span.end, manifests[place].end))
            for place, span in spans.items()
            if place in manifests and manifests[place].first <= span.start < manifests[place].end
        }
        yield from archive.read({place: span for place, span in past.items() if span.offsets})
        yield from live(
            {
                place: OffsetSpan(past[place].end if place in past else span.start, span.end)
                for place, span in spans.items()
            }
        )

    return read
