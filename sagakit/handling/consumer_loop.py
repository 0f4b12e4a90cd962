"""The consumer loop: poll a micro-batch, decode, handle in one transaction, store offsets.

An urgent record, one that may give this participant work, never waits. Other records only advance
their producer's sequence in the inbox; they wait up to LINGER_S to be handled with an urgent one,
since a transaction costs the same for one record as for several. Their offsets wait with them.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine, text

from sagakit.faults import NO_FAULTS, Faults
from sagakit.handling.handler import MessageHandler
from sagakit.handling.parking import decode_message, undecodable_message
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, Record
from sagakit.retry import is_refused, retry_transaction

log = structlog.get_logger(__name__)
BATCH = 500
POLL_S = 0.5
LINGER_S = 2.0
"""How long a batch without urgent records waits for more."""
SINGLE_AFTER, PARK_AFTER = 4, 7
"""Limits on starts at the same offset without progress.

At the first, records are handled one by one. From there on a start counts only for the record
about to be handled, since another partition's record may be the one that kills the process. At the
second, the record is parked unread."""

MARK = text("""
    INSERT INTO attempt (topic, partition, "offset", tries) VALUES (:topic, :partition, :offset, 1)
    ON CONFLICT (topic, partition) DO UPDATE SET "offset" = excluded."offset", tries = CASE
        WHEN attempt."offset" <> excluded."offset" THEN 1
        ELSE greatest(attempt.tries, least(attempt.tries + 1, :most)) END
    RETURNING tries
""")


class RecordReader(Protocol):
    """Reads records and commits offsets: the part of `kafka.BusConsumer` that the loop uses."""

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """Return the next records, at most `limit`."""
        ...

    def store(self, records: Sequence[Record]) -> None:
        """Store the offsets of handled records for the next commit."""
        ...

    def commit(self) -> None:
        """Commit the stored offsets now."""
        ...


class ConsumerLoop:
    """Consumes records for one participant. Call `run` in a thread.

    `ignored` is told how many records of a batch are platform events of other applications.
    """

    def __init__(
        self,
        bus: RecordReader,
        codec: Codec,
        handler: MessageHandler[Any],
        engine: Engine,
        stop: threading.Event,
        *,
        urgent: Callable[[Record], bool] = lambda record: True,
        ignored: Callable[[int], None] = lambda number: None,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self._bus = bus
        self._urgent = urgent
        self._ignored = ignored
        self._codec = codec
        self._handler = handler
        self._engine = engine
        self._stop = stop
        self._faults = faults
        self._newly_assigned: set[tuple[str, int]] = set()

    def assigned(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Note partitions just assigned: the first record of each is counted as a start.

        A record that kills the process is the first one read after the restart.
        """
        self._newly_assigned |= set(partitions)

    def run(self) -> None:
        """Consume until stopped; the current batch is finished."""
        while not self._stop.is_set():
            records = self._poll_batch()
            if records:
                self._faults("after-poll")
                self._handle_batch(records)

    def _poll_batch(self) -> list[Record]:
        """Poll a batch; while none of it is urgent, poll for more until LINGER_S has passed."""
        records = found = self._bus.poll(BATCH, POLL_S)
        until = time.monotonic() + LINGER_S
        while records and len(records) < BATCH and not any(map(self._urgent, found)):
            left_s = until - time.monotonic()
            if left_s <= 0 or self._stop.is_set():
                break
            found = self._bus.poll(BATCH - len(records), min(left_s, POLL_S))
            records = records + found
        return records

    def _handle_batch(self, records: list[Record]) -> None:
        tries = 0
        if self._newly_assigned:
            starts = self._records_at_start(records)
            tries = max((self._count_start(r, SINGLE_AFTER) for r in starts), default=0)
        own = [r for r in records if not self._codec.is_foreign(r)]
        if len(own) < len(records):
            self._ignored(len(records) - len(own))
        if tries < SINGLE_AFTER:
            if own:
                self._handle(self._decode(own))
            self._bus.store(records)
        else:
            log.warning(
                "no progress at this offset, records are handled one at a time", tries=tries
            )
            self._handle_singly(own)
            self._bus.store(records)
        self._newly_assigned -= {(r.topic, r.partition) for r in records}

    def _records_at_start(self, records: list[Record]) -> list[Record]:
        first: dict[tuple[str, int], Record] = {}
        for r in records:
            if (r.topic, r.partition) in self._newly_assigned:
                first.setdefault((r.topic, r.partition), r)
        return list(first.values())

    def _count_start(self, r: Record, most: int) -> int:
        """Count this start at a record, before it is decoded, up to `most`; return the count."""
        where = {"topic": r.topic, "partition": r.partition, "offset": r.offset, "most": most}

        def mark() -> int:
            with self._engine.begin() as connection:
                return int(connection.execute(MARK, where).scalar_one())

        return retry_transaction(mark, self._stop)

    def _handle_singly(self, records: list[Record]) -> None:
        for r in records:
            if self._count_start(r, PARK_AFTER) < PARK_AFTER:
                self._handle(self._decode([r]))
            else:
                reason = "the process stopped each time it handled this record"
                self._handle([undecodable_message(self._codec, r, reason)])
            self._bus.store([r])
            self._bus.commit()

    def _decode(self, records: Sequence[Record]) -> list[Message]:
        """Decode records; wait for a schema registry that does not answer."""
        return retry_transaction(
            lambda: [decode_message(self._codec, r) for r in records], self._stop
        )

    def _handle(self, messages: list[Message]) -> None:
        """Handle messages in one transaction.

        If the database refuses their content, halve the batch to find the record, and park it.
        """
        try:
            retry_transaction(lambda: self._handler.handle(messages), self._stop)
        except Exception as error:
            if not is_refused(error):
                raise
            if len(messages) > 1:
                middle = len(messages) // 2
                self._handle(messages[:middle])
                self._handle(messages[middle:])
            elif messages[0].record is None or messages[0].poison:
                raise
            else:
                reason = f"the database rejects the record: {str(error)[:300]}"
                self._handle([undecodable_message(self._codec, messages[0].record, reason)])
