"""Feeds spans of the log to the consumer loop, in place of a member of a group."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from sagakit.kafka.log_spans import LogBatch
from sagakit.messages.envelope import Record, TopicPartitionKey
from sagakit.stop_signal import StopSignal


class LogReader:
    """Implements `consumer_loop.RecordReader` with batches of the log; stops the loop at the end.

    `note`: is told partition -> next offset, once the records before it are handled.
    """

    def __init__(
        self,
        batches: Iterator[LogBatch],
        stop: StopSignal,
        note: Callable[[Mapping[TopicPartitionKey, int]], None],
    ) -> None:
        self._batches, self._stop, self._note = batches, stop, note
        self._waiting: list[Record] = []
        self._handed_out = 0
        self._ends: Mapping[TopicPartitionKey, int] = {}

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """See `consumer_loop.RecordReader`. It waits as long as the source does."""
        if not self._waiting:
            if (batch := next(self._batches, None)) is None:
                self._stop.set()
                return []
            self._waiting, self._ends = batch.records, batch.positions
            if not self._waiting:
                self._note(self._ends)
        found, self._waiting = self._waiting[:limit], self._waiting[limit:]
        self._handed_out += len(found)
        return found

    def store(self, records: Sequence[Record]) -> None:
        """See `consumer_loop.RecordReader`. The last record of a batch stands for its ends."""
        positions = {(r.topic, r.partition): r.offset + 1 for r in records}
        self._handed_out -= len(records)
        at_end = not (self._waiting or self._handed_out)
        self._note(positions | dict(self._ends) if at_end else positions)

    def commit(self) -> None:
        """Do nothing: `store` has stored it."""
