"""The consumer loop: poll a micro-batch, decode, handle in one transaction, store offsets.

An urgent record, one that may give this participant work, never waits. Other records only advance
their producer's sequence in the inbox; they wait up to LINGER_S to be handled with an urgent one,
since a transaction costs the same for one record as for several. Their offsets wait with them.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine

from sagakit.faults import NO_FAULTS, Faults
from sagakit.handling.attempts import KILLED, SINGLE_AFTER, Attempts
from sagakit.handling.handler import MessageHandler
from sagakit.handling.parking import decode_message, undecodable_message
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, Record
from sagakit.retry import is_refused, is_too_much, passing_for, retry_transaction

log = structlog.get_logger(__name__)
BATCH = 500
POLL_S = 0.5
LINGER_S = 2.0
"""How long a batch without urgent records waits for more."""


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
        self._attempts = Attempts(engine, stop)
        self._stop = stop
        self._faults = faults

    def assigned(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Note partitions just assigned, see `Attempts`."""
        self._attempts.assigned(partitions)

    def run(self) -> None:
        """Consume until stopped; the current batch is finished."""
        while not self._stop.is_set():
            records, single = self._poll_batch()
            if records:
                self._faults("after-poll")
                self._handle_batch(records, single)

    def _poll_batch(self) -> tuple[list[Record], bool]:
        """Poll a batch; while none of it is urgent, poll for more until LINGER_S has passed.

        Tells too whether its records are to be handled singly. Then no record is looked at yet.
        """
        records: list[Record] = []
        until, wait_s = math.inf, POLL_S
        while not self._stop.is_set():
            found = self._bus.poll(BATCH - len(records), wait_s)
            records += found
            if self._attempts.arrived(found) >= SINGLE_AFTER:
                return records, True
            if not records or len(records) >= BATCH or any(map(self._urgent, found)):
                break
            until = min(until, time.monotonic() + LINGER_S)
            wait_s = min(until - time.monotonic(), POLL_S)
            if wait_s <= 0:
                break
        return records, False

    def _handle_batch(self, records: list[Record], single: bool) -> None:
        if single:
            log.warning("no progress at this offset, records are handled one at a time")
            self._handle_singly(records)
        elif own := self._own(records):
            self._handle(self._decode(own))
        self._bus.store(records)
        self._attempts.handled(records)

    def _own(self, records: list[Record]) -> list[Record]:
        """Return the records without the platform events of other applications, and count those."""
        own = [r for r in records if not self._codec.is_foreign(r)]
        if len(own) < len(records):
            self._ignored(len(records) - len(own))
        return own

    def _handle_singly(self, records: list[Record]) -> None:
        for r in records:
            if not self._attempts.may_handle(r):
                self._handle([undecodable_message(self._codec, r, KILLED)])
            elif own := self._own([r]):
                self._handle(self._decode(own))
            self._bus.store([r])
            self._bus.commit()

    def _decode(self, records: Sequence[Record]) -> list[Message]:
        """Decode records; wait for a schema registry that does not answer."""
        return retry_transaction(
            lambda: [decode_message(self._codec, r) for r in records], self._stop
        )

    def _handle(self, messages: list[Message]) -> None:
        """Handle messages in one transaction.

        If the database refuses their content, halve the batch to find the record, and park it. If
        they take too long for it, halve them too, down to one, which is waited for.
        """
        try:
            retry_transaction(
                lambda: self._handler.handle(messages), self._stop, passing_for(len(messages))
            )
        except Exception as error:
            if not is_refused(error) and not (len(messages) > 1 and is_too_much(error)):
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
