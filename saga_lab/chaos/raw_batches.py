"""Publishes record batches byte by byte: what other clients may send and ours never would.

confluent-kafka takes no header name that is no text, so aiokafka's pure builder makes the batch.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.record.default_records import (  # type: ignore[import-untyped]
    _DefaultRecordBatchBuilderPy,
)

from sagakit.messages.envelope import OutboxRow

NO_UTF8 = b"\xff\xfe"
"""A header name that is not UTF-8."""
NO_CODEC, GZIP, SNAPPY, LZ4, ZSTD = range(5)
_ROOM = 2**30


class _RawName:
    """A header name that is encoded to given bytes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def encode(self, _encoding: str) -> bytes:
        return self._raw


def with_raw_header(row: OutboxRow, name: bytes = NO_UTF8, value: bytes = b"x") -> OutboxRow:
    """Return the row with one header more; `publish_raw` sends the bytes of its name."""
    return OutboxRow(row.topic, row.key, (*row.headers, cast(Any, (name, value))), row.value)


def publish_raw(
    bootstrap_servers: str,
    rows: Sequence[OutboxRow],
    partition: int = 0,
    *,
    compression: int = NO_CODEC,
) -> int:
    """Publish rows of one topic as one batch; return the offset of the first."""
    return asyncio.run(_publish(bootstrap_servers, rows, partition, compression))


def raw_batch(rows: Sequence[OutboxRow], compression: int = NO_CODEC) -> bytes:
    """Return a record batch as a broker keeps it, from offset 0."""
    return bytes(_filled(rows, compression).build())


def _filled(rows: Sequence[OutboxRow], compression: int) -> Any:
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, 0, _ROOM)
    for number, row in enumerate(rows):
        headers = [
            (_RawName(name if isinstance(name, bytes) else name.encode()), value)
            for name, value in row.headers
        ]
        builder.append(number, None, row.key.encode(), row.value, cast(Any, headers))
    return builder


async def _publish(
    bootstrap_servers: str, rows: Sequence[OutboxRow], partition: int, compression: int
) -> int:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_request_size=_ROOM)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch._builder, batch._relative_offset = _filled(rows, compression), len(rows)
        sent = await producer.send_batch(batch, rows[0].topic, partition=partition)
        return int((await sent).offset)
    finally:
        await producer.stop()
