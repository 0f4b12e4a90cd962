"""An idempotent producer whose failures lose no order: on any error it starts afresh."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaException, Message, Producer

from sagakit.errors import SagaError
from sagakit.kafka.client import LIBRARY_LOG, tell_error
from sagakit.messages.envelope import Logged, OutboxRow, without_gaps

log = structlog.get_logger(__name__)
FLUSH_S = 30.0
"""How long all rows of a batch together may take."""
GONE = (KafkaException, BufferError, SystemError)
"""What a producer raises after a fatal error; the last where that cuts into a delivery report."""


class PublishFailed(SagaError):
    """Not every row was acknowledged; `acknowledged` holds those that may be removed."""

    def __init__(self, acknowledged: Logged, error: str) -> None:
        super().__init__(f"the broker did not acknowledge all rows: {error}")
        self.acknowledged = acknowledged


class Publisher:
    """An idempotent producer that forgets everything after a failure (design section 9)."""

    def __init__(self, bootstrap_servers: str, client_id: str) -> None:
        self._config = {
            "bootstrap.servers": bootstrap_servers,
            "client.id": client_id,
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,  # nothing overtakes what was refused
            "log_level": 3,  # that this option is called experimental is known; errors: error_cb
            "delivery.timeout.ms": 0,  # never one by one: that would leave gaps; see FLUSH_S
            "acks": "all",
            "partitioner": "murmur2_random",
            "linger.ms": 1,
            "compression.type": "lz4",
            "error_cb": tell_error,
        }
        # At once: the broker takes half a second to name a producer, and no order waits for that.
        self._producer: Producer | None = self._made()

    def _made(self) -> Producer:
        return Producer(self._config, logger=LIBRARY_LOG)

    def publish(self, rows: Sequence[OutboxRow]) -> Logged:
        """All rows in order, acknowledged by all in-sync replicas; when the broker took them.

        Raises PublishFailed; a row is acknowledged only if all earlier ones of its key are.
        """
        if self._producer is None:
            self._producer = self._made()
        acknowledged: dict[int, int | None] = {}
        errors: list[str] = []

        def delivered(row: OutboxRow) -> Callable[[Any, Message], None]:
            def done(error: Any, message: Message) -> None:
                if error is None:
                    kind, at_ms = message.timestamp()
                    acknowledged[row.id] = at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None
                else:
                    errors.append(str(error))

            return done

        try:
            for row in rows:
                self._produce(row, delivered(row))
                if errors:
                    break
            self._producer.flush(FLUSH_S)
        except GONE as error:
            errors.append(str(error))
        if errors or len(acknowledged) < len(rows):
            self.forget()
            why = errors[0] if errors else "no answer in time"
            raise PublishFailed(without_gaps(rows, acknowledged), why)
        return acknowledged

    def _produce(self, row: OutboxRow, done: Callable[[Any, Message], None]) -> None:
        producer = self._producer
        assert producer is not None
        while True:
            try:
                producer.produce(
                    row.topic,
                    key=row.key,
                    value=row.value,
                    headers=list(row.headers),
                    on_delivery=done,
                )
                return
            except BufferError:
                producer.poll(0.1)

    def tick(self, topic: str) -> int:
        """Append an empty record and return its LogAppendTime: the broker's clock, Unix ms.

        Raises PublishFailed.
        """
        if self._producer is None:
            self._producer = self._made()
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
                errors.append(f"topic {topic} is not set to message.timestamp.type=LogAppendTime")

        try:
            self._producer.produce(topic, value=b"", on_delivery=done)
            self._producer.flush(FLUSH_S)
        except GONE as error:
            errors.append(str(error))
        if not found:
            self.forget()
            raise PublishFailed({}, errors[0] if errors else "no answer in time")
        return found[0]

    def forget(self) -> None:
        """Drop what is queued or in flight, and the producer with it."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True)
            with suppress(*GONE):
                producer.flush(1.0)
