"""Simulates Kafka topics: partitioned, append only, with log-append time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache

from saga_monitor.ingest.watermark import murmur2
from saga_monitor.saga.facts import unix_ms
from sagakit.errors import UnprocessableRecord
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, OutboxRow, Record

PARTITIONS = 2
GARBAGE = b"\x00this is no event"
Place = tuple[str, int]
"""Topic and partition."""


@cache
def partition_of(key: str) -> int:
    """Return the partition that holds all events of a saga, the same on every topic."""
    return murmur2(key.encode()) % PARTITIONS


class SimulatedLog:
    """Holds all topics; each appended event goes to `claim_checker`. `length`: total records."""

    def __init__(
        self, topics: Sequence[str], codec: Codec, claim_checker: Callable[[Envelope], None]
    ) -> None:
        self.topics, self._codec = tuple(topics), codec
        self.partitions: dict[Place, list[Record]] = {
            (name, p): [] for name in self.topics for p in range(PARTITIONS)
        }
        self._read: dict[tuple[str, int, int], Envelope] = {}
        self._claim_checker = claim_checker
        self.length = 0

    def append(self, row: OutboxRow, now: datetime) -> None:
        """Append a row to its key's partition; drop rows for other topics (such as `.dlt`)."""
        place = (row.topic, partition_of(row.key))
        if place not in self.partitions:
            return
        queue = self.partitions[place]
        record = Record(*place, len(queue), unix_ms(now), row.key.encode(), row.value, row.headers)
        queue.append(record)
        self.length += 1
        if envelope := self.envelope(record):
            self._claim_checker(envelope)

    def read(self, record: Record) -> Envelope:
        """Return the event of a record, decoded once. Raises UnprocessableRecord."""
        place = (record.topic, record.partition, record.offset)
        if place not in self._read:
            self._read[place] = self._codec.decode(record)
        return self._read[place]

    def envelopes(self) -> list[Envelope]:
        """Return all events, partition by partition, without undecodable records."""
        return [found for r in self.records() if (found := self.envelope(r))]

    def envelope(self, record: Record) -> Envelope | None:
        """Return the decoded event of a record; None for an undecodable one."""
        try:
            return self.read(record)
        except UnprocessableRecord:
            return None

    def ends(self) -> dict[Place, int]:
        """Return the end offset of each partition, which is the offset of its next record."""
        return {place: len(queue) for place, queue in self.partitions.items()}

    def records(self) -> list[Record]:
        """Return all records, partition by partition."""
        return [r for queue in self.partitions.values() for r in queue]
