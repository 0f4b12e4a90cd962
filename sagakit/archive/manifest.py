"""Defines the manifest of a partition's files, and checks that files and live log are one. Pure.

A range may hold fewer records than offsets: markers of transactions and compaction leave holes,
which are no gap. A gap is an offset in no range.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from sagakit.errors import ArchiveRefused
from sagakit.messages.envelope import TopicPartitionKey

NAME = "manifest.json"
Offsets = Mapping[TopicPartitionKey, int]


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """Holds what is known of a file: its offsets, `end` excluded, its records and its checksum.

    bytes: the length of the file; latest_ms: the latest timestamp in it, Unix ms, None without
    records; sha256: in hexadecimal.
    """

    first: int
    end: int
    records: int
    bytes: int
    latest_ms: int | None
    sha256: str

    @property
    def name(self) -> str:
        """Return the name of the file, which says its offsets."""
        return file_name(self.first, self.end)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Names the files of a partition in the order of their offsets, each beginning where one ends.

    topic_id: the id of the topic that the records were read from.
    """

    topic: str
    partition: int
    topic_id: str
    files: tuple[ArchivedFile, ...] = ()
    format: Literal[1] = 1

    @property
    def place(self) -> TopicPartitionKey:
        """Return topic and partition."""
        return self.topic, self.partition

    @property
    def first(self) -> int:
        """Return the first offset of the first file."""
        return self.files[0].first

    @property
    def end(self) -> int:
        """Return the offset after the last file."""
        return self.files[-1].end

    def path(self, name: str) -> str:
        """Return the path of a file of this partition in the archive."""
        return f"{self.topic}/{self.partition}/{name}"

    def with_file(self, file: ArchivedFile) -> "Manifest":
        """Return the manifest with one more file."""
        return replace(self, files=(*self.files, file))


_JSON = TypeAdapter(Manifest)


def file_name(first: int, end: int) -> str:
    """Return the name of the file with these offsets, `end` excluded; names sort as offsets do."""
    return f"{first:020}-{end:020}.avro"


def to_json(manifest: Manifest) -> bytes:
    """Return the manifest as it is stored."""
    return _JSON.dump_json(manifest, indent=1)


def from_json(content: bytes, path: str) -> Manifest:
    """Return a stored manifest. Raises ArchiveRefused if it is damaged or its files have a gap."""
    try:
        found = _JSON.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(step) for step in first["loc"]) or "the whole"
        raise ArchiveRefused(
            f"{path} is damaged: {where}: {first['msg']}; bring the file back from a copy"
        ) from error
    if not found.files or found.path(NAME) != path:
        raise ArchiveRefused(
            f"{path} is the manifest of {found.path(NAME)} with {len(found.files)} files; bring "
            "the file back from a copy"
        )
    for one, following in pairwise(found.files):
        if one.end != following.first:
            raise ArchiveRefused(
                f"{path} has no file with {_offsets(one.end, following.first)}, after "
                f"{one.name}; bring the manifest back from a copy"
            )
    return found


def joined_firsts(
    manifests: Mapping[TopicPartitionKey, Manifest],
    firsts: Offsets,
    ends: Offsets,
    topic_ids: Mapping[str, str],
) -> dict[TopicPartitionKey, int]:
    """Return the first offset of each partition in archive and live log together.

    firsts, ends, topic_ids: of the live log. Raises ArchiveRefused if the two are not one log.
    """
    found = dict(firsts)
    for place in firsts.keys() & manifests.keys():
        manifest, name = manifests[place], f"{place[0]}/{place[1]}"
        if topic_ids.get(place[0]) != manifest.topic_id:
            raise ArchiveRefused(
                f"{place[0]} was recreated since it was archived, so its offsets mean other "
                "records; use another folder for the topic as it is now"
            )
        if manifest.end < firsts[place]:
            raise ArchiveRefused(
                f"{name} has a gap: {_offsets(manifest.end, firsts[place])} are neither in the "
                "archive nor in the log; archive more often than the topic's retention, and "
                "begin another folder, or leave the archive out"
            )
        if manifest.end > ends[place]:
            raise ArchiveRefused(
                f"{name} ends at {ends[place]} in the log and at {manifest.end} in the archive: "
                "the topic has lost its tail; see docs/how-to/republish-a-topic.md"
            )
        found[place] = min(manifest.first, firsts[place])
    return found


def _offsets(first: int, end: int) -> str:
    return f"offsets {first} to {end - 1}"
