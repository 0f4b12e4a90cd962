"""Compares the brokers' clocks by the stamps of records, since log time is whatever a leader says.

The clock record of a tick is stamped by one broker, events by the leaders of their partitions. A
record beyond the ends of a tick was appended after it, so an earlier stamp shows a clock that is
behind. A record that was read before a tick was appended before it, so a later stamp shows one that
is ahead.
"""

import threading
from datetime import datetime, timedelta

from saga_monitor.ingest.watermark import Tick
from saga_monitor.saga.facts import log_time
from sagakit.messages.envelope import TopicPartitionKey

BOUND = timedelta(seconds=5)
"""Clocks that differ by less are taken for equal: requests take time."""
KEPT = timedelta(minutes=10)
"""How long a difference counts after it was last seen, in log time."""
NONE = timedelta(0)


class BrokerClocks:
    """Keeps the largest difference that the records of each partition have shown. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tick: Tick | None = None
        self._latest: dict[TopicPartitionKey, datetime] = {}
        self._behind: dict[TopicPartitionKey, tuple[timedelta, datetime]] = {}
        self._ahead: dict[TopicPartitionKey, tuple[timedelta, datetime]] = {}

    def note_records(
        self, place: TopicPartitionKey, offset: int, stamp_ms: int, latest_ms: int
    ) -> None:
        """Note the first record of a batch from a partition, and the stamp of its last one."""
        at, latest = log_time(stamp_ms), log_time(latest_ms)
        with self._lock:
            self._latest[place] = max(latest, self._latest.get(place, latest))
            tick = self._tick
            if tick is not None and place in tick.ends and offset >= tick.ends[place]:
                _note(self._behind, place, tick.at - at, tick.at)

    def note_tick(self, tick: Tick) -> None:
        """Note a tick; all records that were noted before came before it."""
        with self._lock:
            self._tick = tick
            for place, latest in self._latest.items():
                _note(self._ahead, place, latest - tick.at, tick.at)
            self._latest.clear()
            for kept in (self._behind, self._ahead):
                for place in [p for p, (_, seen) in kept.items() if tick.at - seen > KEPT]:
                    del kept[place]

    def behind(self) -> timedelta:
        """Return by how much events may be stamped too early: deadlines are judged later by it."""
        with self._lock:
            return max((by for by, _ in self._behind.values()), default=NONE)

    def differences(self) -> dict[TopicPartitionKey, timedelta]:
        """Return partition -> by how much its leader's clock is ahead, negative if it is behind."""
        with self._lock:
            ahead = {place: by for place, (by, _) in self._ahead.items()}
            return ahead | {place: -by for place, (by, _) in self._behind.items()}


def _note(
    kept: dict[TopicPartitionKey, tuple[timedelta, datetime]],
    place: TopicPartitionKey,
    by: timedelta,
    seen: datetime,
) -> None:
    if by > BOUND:
        kept[place] = max(by, kept.get(place, (NONE, seen))[0]), seen
