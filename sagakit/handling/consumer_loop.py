"""The consumer loop: poll a micro-batch, decode, handle in one transaction, store offsets.

A record that sets this participant to work never waits. One that it only has to have seen (every
event counts in its producer's sequence) waits a moment for company, since a transaction costs the
same for one as for some.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine, text

from sagakit.faults import NO_FAULTS, Faults
from sagakit.handling.handler import Handles
from sagakit.handling.parking import incoming, unread
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, Record
from sagakit.retry import is_refused, until_stored

log = structlog.get_logger(__name__)
BATCH = 500
POLL_S = 0.2
COMPANY_S = 0.1
"""How long records wait that nobody waits for."""
ONE_BY_ONE, GIVE_UP = 4, 7
"""Starts at the same offset without getting on, after which records are taken singly. From there
on only records that are truly begun are counted, since it may be another partition's record that
kills the process; at the second number a record is parked unread."""

MARK = text("""
    INSERT INTO attempt (topic, partition, "offset", tries) VALUES (:topic, :partition, :offset, 1)
    ON CONFLICT (topic, partition) DO UPDATE SET "offset" = excluded."offset", tries = CASE
        WHEN attempt."offset" <> excluded."offset" THEN 1
        ELSE greatest(attempt.tries, least(attempt.tries + 1, :most)) END
    RETURNING tries
""")


class Reads(Protocol):
    """What the loop needs of `kafka.BusConsumer`."""

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        """The next records."""
        ...

    def store(self, records: Sequence[Record]) -> None:
        """They are handled."""
        ...

    def commit(self) -> None:
        """Say so to the broker now."""
        ...


class ConsumerLoop:
    """Consumes for one participant. `run` in a thread."""

    def __init__(
        self,
        bus: Reads,
        codec: Codec,
        handler: Handles[Any],
        engine: Engine,
        stop: threading.Event,
        *,
        urgent: Callable[[Record], bool] = lambda record: True,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self._bus = bus
        self._urgent = urgent
        self._codec = codec
        self._handler = handler
        self._engine = engine
        self._stop = stop
        self._faults = faults
        self._fresh: set[tuple[str, int]] = set()

    def assigned(self, partitions: Sequence[tuple[str, int]]) -> None:
        """We begin to read these: a record that kills the process shows itself at such a start."""
        self._fresh |= set(partitions)

    def run(self) -> None:
        """Until stopped; the batch in hand is finished."""
        while not self._stop.is_set():
            records = self._gathered()
            if records:
                self._faults("after-poll")
                self._take(records)

    def _gathered(self) -> list[Record]:
        """What has arrived, and what follows shortly where none of it is urgent."""
        records = found = self._bus.poll(BATCH, POLL_S)
        until = time.monotonic() + COMPANY_S
        while records and len(records) < BATCH and not any(map(self._urgent, found)):
            left_s = until - time.monotonic()
            if left_s <= 0 or self._stop.is_set():
                break
            found = self._bus.poll(BATCH - len(records), left_s)
            records = records + found
        return records

    def _take(self, records: list[Record]) -> None:
        tries = 0
        if self._fresh:
            tries = max(self._mark(r, ONE_BY_ONE) for r in self._starts(records))
        if tries < ONE_BY_ONE:
            self._handle([incoming(self._codec, r) for r in records])
            self._bus.store(records)
        else:
            log.warning("no progress at this offset, records are taken singly", tries=tries)
            self._singly(records)
        self._fresh -= {(r.topic, r.partition) for r in records}

    def _starts(self, records: list[Record]) -> list[Record]:
        first: dict[tuple[str, int], Record] = {}
        for r in records:
            if (r.topic, r.partition) in self._fresh:
                first.setdefault((r.topic, r.partition), r)
        return list(first.values()) or records[:1]

    def _mark(self, r: Record, most: int) -> int:
        """Count this start at a record, before it is decoded, but not beyond `most`."""
        where = {"topic": r.topic, "partition": r.partition, "offset": r.offset, "most": most}

        def mark() -> int:
            with self._engine.begin() as connection:
                return int(connection.execute(MARK, where).scalar_one())

        return until_stored(mark, self._stop)

    def _singly(self, records: list[Record]) -> None:
        for r in records:
            if self._mark(r, GIVE_UP) < GIVE_UP:
                self._handle([incoming(self._codec, r)])
            else:
                self._handle([unread(r, "the process died on it again and again")])
            self._bus.store([r])
            self._bus.commit()

    def _handle(self, messages: list[Message]) -> None:
        """One transaction; where the database refuses the content, find the record and park it."""
        try:
            until_stored(lambda: self._handler.handle(messages), self._stop)
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
                reason = f"the database refuses it: {str(error)[:300]}"
                self._handle([unread(messages[0].record, reason)])
