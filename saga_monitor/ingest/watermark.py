"""Compute the watermark: the log time up to which the log has been read.

A tick appends a record to `saga.clock`, takes its LogAppendTime T from the ack, and then asks for
the end offsets of all flow topics. Once the projection's stored offsets have reached those ends,
everything that was in the log at T is known: also what was behind an open transaction then, since
nobody reads past its first record before it ends. Only the broker's clock is used. A monitor that
is behind, stopped, restarted or cut off from the broker reaches no later T, so it judges nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from saga_monitor.saga.facts import log_time
from sagakit.messages.envelope import TopicPartitionKey

CLOCK_TOPIC = "saga.clock"
EVERY_PARTITION = -1
"""The partition value of a saga whose events lie on several partitions."""

Offsets = Mapping[TopicPartitionKey, int]
"""(topic, partition) -> offset of the next record."""


class Clock(Protocol):
    """Appends the tick record, see `sagakit.kafka.publisher.Publisher`."""

    def append_clock_record(self, topic: str) -> int:
        """Append a record now and return its LogAppendTime, Unix ms."""
        ...


class LogInspector(Protocol):
    """Returns end offsets and topic ids, see `sagakit.kafka.inspector.LogEnds`."""

    def ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Return (topic, partition) -> the offset its next record will get."""
        ...

    def readable_ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Return (topic, partition) -> the first offset behind an open transaction, or the end."""
        ...

    def ids(self, topics: Sequence[str]) -> dict[str, str]:
        """Return topic -> the id it got at its creation; topics that do not exist are left out."""
        ...


@dataclass(frozen=True, slots=True)
class Tick:
    """A log time `at`, and the end offsets that were fetched after it."""

    at: datetime
    ends: Offsets


def take_tick(clock: Clock, inspector: LogInspector, topics: Sequence[str]) -> Tick:
    """Take a tick: the time first, then the end offsets.

    The other way round an event could come in between: earlier than the tick's time, but
    beyond its ends.
    """
    at = log_time(clock.append_clock_record(CLOCK_TOPIC))
    return Tick(at, inspector.ends(topics))


@dataclass(frozen=True, slots=True)
class Watermark:
    """Keeps the log time up to which each partition number is read, on all topics.

    A tick that is not reached yet stays pending, and later ticks that are not reached either are
    dropped. So a monitor that is always a little behind still advances.

    even: whether all topics have the same number of partitions. Where they have not, a key has
    another partition on each topic, so nothing is known of any saga before all are read.
    """

    read_through: Mapping[int, datetime] = field(default_factory=dict)
    pending: Mapping[int, Tick] = field(default_factory=dict)
    even: bool = True

    def after(self, tick: Tick, stored: Offsets) -> "Watermark":
        """Return the watermark after `tick`, given the projection's `stored` offsets."""
        through, pending = dict(self.read_through), {}
        for partition in {p for _, p in tick.ends}:
            for candidate in (tick, self.pending.get(partition)):
                if candidate is None:
                    continue
                if _reached(candidate.ends, stored, partition):
                    known = through.get(partition, candidate.at)
                    through[partition] = max(known, candidate.at)
                    break
                pending[partition] = candidate
        return Watermark(through, pending, len(_counts(tick.ends)) < 2)

    def of_saga(self, saga_id: str, partition: int) -> datetime | None:
        """Return the log time up to which a saga is known; None: cannot tell.

        `partition`: where its events were read. The services partition by murmur2, but an outside
        publisher may not. Then its event lies on another partition than those of the services, and
        both partitions must be read.
        """
        partitions = self.read_through.keys() | self.pending.keys()
        murmur2_partition = murmur2(saga_id.encode()) % max(len(partitions), 1)
        known = (self.of_partition(partition), self.of_partition(murmur2_partition))
        return None if None in known else min(at for at in known if at)

    def of_partition(self, partition: int) -> datetime | None:
        """Return the log time up to which a saga on `partition` is known; None: cannot tell."""
        if partition != EVERY_PARTITION and self.even:
            return self.read_through.get(partition)
        known = self.read_through.keys()
        if not known or self.pending.keys() - known:
            return None
        return min(self.read_through.values())


def murmur2(key: bytes) -> int:
    """Return Kafka's hash of a record key, made positive.

    See org.apache.kafka.common.utils.Utils.murmur2.
    """
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if key[whole:]:
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def _counts(ends: Offsets) -> set[int]:
    """Return the different numbers of partitions that topics have."""
    return set(Counter(topic for topic, _ in ends).values())


def _reached(ends: Offsets, stored: Offsets, partition: int) -> bool:
    # An empty partition counts as read, although no offset is stored for it.
    return all(
        end == 0 or stored.get(where, 0) >= end
        for where, end in ends.items()
        if where[1] == partition
    )
