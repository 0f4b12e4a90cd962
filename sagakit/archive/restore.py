"""Restores topics from an archive: every record again, in its partition, with its first log time.

A restored topic is another log: its id is new, and offsets may differ. Consumers read it from its
first record and drop what they have handled (docs/decisions/0017).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sagakit.archive.log_archive import LogArchive, ReadSpans
from sagakit.archive.manifest import Manifest
from sagakit.errors import ArchiveRefused
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.log_spans import AT_ONCE, OffsetSpan
from sagakit.messages.envelope import LOGGED_AT, UNREADABLE, Record, TopicPartitionKey

__all__ = ["PartitionToRestore", "restorable", "restore", "what_to_restore", "with_log_time"]

Copy = Callable[[Sequence[Record]], object]


@dataclass(frozen=True, slots=True)
class PartitionToRestore:
    """A partition that the archive has. there: how many of its records the topic has by now."""

    manifest: Manifest
    there: int

    @property
    def place(self) -> TopicPartitionKey:
        """Return topic and partition."""
        return self.manifest.place

    @property
    def left(self) -> int:
        """Return about how many records are to be restored: a few may be unreadable."""
        return sum(file.records for file in self.manifest.files) - self.there


def what_to_restore(
    archive: LogArchive, log: LogEnds, read: ReadSpans, topics: Sequence[str]
) -> list[PartitionToRestore]:
    """Compare the archive of these topics with what they hold now.

    Raises ArchiveRefused for a topic that holds anything else than the first records of its archive
    or has too few partitions, and KafkaException, also for a topic that does not exist.
    """
    manifests = archive.manifests(topics)
    firsts, ends = log.firsts(topics), log.ends(topics)
    found = []
    for place, manifest in sorted(manifests.items()):
        if place not in ends:
            raise ArchiveRefused(
                f"topic {place[0]} has no partition {place[1]}, which the archive has; delete it, "
                "and create it with as many partitions as it had"
            )
        if ends[place] and not _begins_as(archive, manifest, firsts[place], ends[place], read):
            raise ArchiveRefused(
                f"{place[0]}/{place[1]} holds {ends[place] - firsts[place]} records that are not "
                "the first ones of the archive; only an empty topic is restored, or what a "
                "restore that was ended has left: delete the topic and create it again"
            )
        found.append(PartitionToRestore(manifest, ends[place]))
    return found


def restore(
    archive: LogArchive,
    partitions: Sequence[PartitionToRestore],
    copy: Copy,
    note: Callable[[int], None],
) -> int:
    """Copy what the topics lack, partition by partition; return the number of records.

    `note` is called with that number after each batch. Whatever ends it, the next run goes on
    behind the last record that was copied. Raises ArchiveRefused, and what `copy` raises.
    """
    copied = 0
    for partition in partitions:
        rest = islice(restorable(archive, partition.manifest), partition.there, None)
        while batch := list(islice(rest, AT_ONCE)):
            copy([with_log_time(record) for record in batch])
            copied += len(batch)
            note(copied)
    return copied


def restorable(archive: LogArchive, manifest: Manifest) -> Iterator[Record]:
    """Yield the archived records of a partition but those whose content nobody could read."""
    for record in archive.records(manifest):
        if all(name != UNREADABLE for name, _ in record.headers):
            yield record


def _begins_as(
    archive: LogArchive, manifest: Manifest, first: int, end: int, read: ReadSpans
) -> bool:
    """Tell whether the last record of the topic is the archived one at its place."""
    archived = next(islice(restorable(archive, manifest), end - 1, None), None)
    if first or archived is None:
        return False
    span = {manifest.place: OffsetSpan(end - 1, end)}
    last = [record for batch in read(span) for record in batch.records]
    return [(r.key, r.value) for r in last] == [(archived.key, archived.value)]


def with_log_time(record: Record) -> Record:
    """Return a record that keeps its time when it is published again."""
    if any(name == LOGGED_AT for name, _ in record.headers):
        return record
    at = str(record.timestamp_ms).encode()
    return replace(record, headers=(*record.headers, (LOGGED_AT, at)))
