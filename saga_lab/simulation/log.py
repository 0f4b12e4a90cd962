"""The log: topics with partitions, append only, time stamped by the broker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache

from saga_monitor.ingest.watermark import murmur2
from saga_monitor.saga.facts import unix_ms
from sagakit.errors import Poison
from sagakit.flow.routing import topic
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, OutboxRow, Record
from schemas import CONTRACT, OWNERS

PARTITIONS = 2
TOPICS = tuple(sorted({topic(owner) for owner in OWNERS.values()}))
CODEC = Codec(CONTRACT)
GARBAGE = b"\x00this is no event"
Place = tuple[str, int]
"""Topic and partition."""


@cache
def partition_of(key: str) -> int:
    """Where all events of an order lie, on every topic."""
    return murmur2(key.encode()) % PARTITIONS


class Log:
    """All topics. `witness` hears every event as it is appended; `length`: records in all."""

    def __init__(self, witness: Callable[[Envelope], None]) -> None:
        self.partitions: dict[Place, list[Record]] = {
            (name, p): [] for name in TOPICS for p in range(PARTITIONS)
        }
        self._read: dict[tuple[str, int, int], Envelope] = {}
        self._witness = witness
        self.length = 0

    def append(self, row: OutboxRow, now: datetime) -> None:
        """At the end of the key's partition. Rows for other topics (dead letters) are let go."""
        place = (row.topic, partition_of(row.key))
        if place not in self.partitions:
            return
        queue = self.partitions[place]
        record = Record(*place, len(queue), unix_ms(now), row.key.encode(), row.value, row.headers)
        queue.append(record)
        self.length += 1
        if said := self.envelope(record):
            self._witness(said)

    def read(self, record: Record) -> Envelope:
        """What a record of this log says, decoded once. Raises Poison."""
        place = (record.topic, record.partition, record.offset)
        if place not in self._read:
            self._read[place] = CODEC.decode(record)
        return self._read[place]

    def envelopes(self) -> list[Envelope]:
        """All events, partition by partition; garbage is passed over."""
        return [said for r in self.records() if (said := self.envelope(r))]

    def envelope(self, record: Record) -> Envelope | None:
        """What a record says; None for garbage."""
        try:
            return self.read(record)
        except Poison:
            return None

    def ends(self) -> dict[Place, int]:
        """The offset the next record of each partition will get."""
        return {place: len(queue) for place, queue in self.partitions.items()}

    def records(self) -> list[Record]:
        """Everything, partition by partition."""
        return [r for queue in self.partitions.values() for r in queue]
