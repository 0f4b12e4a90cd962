"""Publishes with an idempotent producer, which it replaces after any error to keep the order."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    Message,
    Producer,
)

from sagakit.errors import SagaError
from sagakit.kafka.client import LIBRARY_LOG, log_client_error
from sagakit.messages.envelope import AppendTimes, OutboxRow, contiguous_rows
from sagakit.replay_mode import refuse_in_replay

log = structlog.get_logger(__name__)
FLUSH_S = 30.0
"""Timeout of a whole batch, in seconds."""
GONE = (KafkaException, BufferError, SystemError)
"""Errors of a producer after a fatal error; SystemError if it interrupts a delivery report."""


REFUSALS = frozenset(
    (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_RECORD)
)
"""Codes by which a broker refuses what a batch holds: sent again it is refused again."""


class PublishFailed(SagaError):
    """Not every row was acknowledged; the rows in `acknowledged` may be removed from the outbox.

    `refused`: the broker refuses what the batch holds, so the same batch would fail again.
    """

    def __init__(self, acknowledged: AppendTimes, error: str, *, refused: bool = False) -> None:
        super().__init__(f"the broker did not acknowledge all rows: {error}")
        self.acknowledged = acknowledged
        self.refused = refused


def producer_settings(bootstrap_servers: str, client_id: str) -> dict[str, Any]:
    """Return the settings of a producer that keeps the order, whatever happens."""
    return {
        "bootstrap.servers": bootstrap_servers,
        "client.id": client_id,
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,  # no record overtakes a failed one
        "log_level": 3,  # hides the "experimental" warning of the line above; see error_cb
        "delivery.timeout.ms": 0,  # no timeout per record, it would leave gaps; see FLUSH_S
        "acks": "all",
        "partitioner": "murmur2_random",
        "linger.ms": 1,
        "compression.type": "lz4",
        "error_cb": log_client_error,
    }


def produce(producer: Producer, topic: str, **record: Any) -> None:
    """Hand a record to a producer as soon as its queue has room. `record`: of its `produce`."""
    while True:
        try:
            producer.produce(topic, **record)
            return
        except BufferError:
            producer.poll(0.1)


class Publisher:
    """Publishes rows through an idempotent producer, which it discards after any failure.

    Continuing with the same producer would reorder records (tests/integration/test_hazards.py).
    """

    def __init__(self, bootstrap_servers: str, client_id: str) -> None:
        refuse_in_replay(self)
        self._config = producer_settings(bootstrap_servers, client_id)
        # Created now: the broker takes 0.5 s to assign a producer id; no saga should wait for it.
        self._producer: Producer | None = self._new_producer()

    def _new_producer(self) -> Producer:
        return Producer(self._config, logger=LIBRARY_LOG)

    def publish(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        """Publish all rows in order, acks=all; return their log-append times.

        Raises PublishFailed, which counts a row as acknowledged only if all earlier rows of its
        topic and key are.
        """
        if self._producer is None:
            self._producer = self._new_producer()
        acknowledged: dict[int, int | None] = {}
        errors: list[str] = []
        codes: set[int] = set()

        def delivered(row: OutboxRow) -> Callable[[Any, Message], None]:
            def done(error: Any, message: Message) -> None:
                if error is None:
                    kind, at_ms = message.timestamp()
                    acknowledged[row.id] = at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None
                else:
                    errors.append(str(error))
                    codes.add(error.code())

            return done

        try:
            for row in rows:
                self._produce(row, delivered(row))
                if errors:
                    break
            self._producer.flush(FLUSH_S)
        except GONE as error:
            errors.append(str(error))
            codes |= {found.code() for found in error.args if isinstance(found, KafkaError)}
        if errors or len(acknowledged) < len(rows):
            self.discard()
            why = errors[0] if errors else f"no answer within {FLUSH_S:g} s"
            there = contiguous_rows(rows, acknowledged)
            raise PublishFailed(there, why, refused=bool(codes & REFUSALS))
        return acknowledged

    def _produce(self, row: OutboxRow, done: Callable[[Any, Message], None]) -> None:
        assert self._producer is not None
        produce(
            self._producer,
            row.topic,
            key=row.key,
            value=row.value,
            headers=list(row.headers),
            on_delivery=done,
        )

    def append_clock_record(self, topic: str) -> int:
        """Append an empty record and return its LogAppendTime: the broker's clock, Unix ms.

        Raises PublishFailed.
        """
        if self._producer is None:
            self._producer = self._new_producer()
        found: list[int] = []
        errors: list[str] = []

        def done(error: Any, message: Message) -> None:
            if error is not None:
                errors.append(str(error))
                return
            stamp: tuple[int, int] = message.timestamp()
            kind, at = stamp
            if kind == TIMESTAMP_LOG_APPEND_TIME:
                found.append(at)
            else:
                errors.append(
                    f"topic {topic} has no LogAppendTime; set message.timestamp.type=LogAppendTime"
                )

        try:
            self._producer.produce(topic, value=b"", on_delivery=done)
            self._producer.flush(FLUSH_S)
        except GONE as error:
            errors.append(str(error))
        if not found:
            self.discard()
            raise PublishFailed({}, errors[0] if errors else f"no answer within {FLUSH_S:g} s")
        return found[0]

    def discard(self) -> None:
        """Purge queued and in-flight records and discard the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True)
            with suppress(*GONE):
                producer.flush(1.0)
