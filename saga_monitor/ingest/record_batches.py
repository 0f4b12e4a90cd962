"""Read the record batches of a fetch, so that nothing in one batch ends the fetching.

aiokafka raises on a header name that is no UTF-8, and unpacks a compressed batch without a limit:
two kilobytes may become gigabytes. Both would happen again after each restart. Here a record that
cannot be read becomes a record whose header `unreadable` says why, and a batch that cannot be
unpacked becomes one such record at its last offset.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import cramjam
import structlog
from aiokafka.consumer import fetcher  # type: ignore[import-untyped]
from aiokafka.record.default_records import DefaultRecordBatch  # type: ignore[import-untyped]
from aiokafka.record.legacy_records import LegacyRecordBatch  # type: ignore[import-untyped]

from sagakit.kafka.damaged_batches import MAX_UNPACKED_BYTES
from sagakit.messages.envelope import unreadable_header

log = structlog.get_logger(__name__)
Headers = tuple[tuple[str, bytes | None], ...]
_LENGTH = struct.Struct(">qi")
_HEAD = struct.Struct(">qiibIhiqqqhii")
_MAGIC_AT, _ATTRIBUTES_AT = 16, 21
_CODEC, _LOG_APPEND = 0x07, 0x08
_MOST_BITS = 63
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_BYTES = 16
_USUAL_RATIO = 8
"""Most batches unpack to fewer times their size; a larger buffer is tried afterwards."""


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A record as aiokafka's fetcher takes it."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    checksum: None = None


class RecordBatches:
    """Iterates over the batches of one partition in a fetch: aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def size_in_bytes(self) -> int:
        """Return the bytes fetched, also those of a batch that is not there as a whole."""
        return len(self._data)

    def has_next(self) -> bool:
        """Tell whether another whole batch follows."""
        return self._at < self._end() <= len(self._data)

    def next_batch(self) -> Any:
        """Return the next batch, or None."""
        if not self.has_next():
            return None
        raw, self._at = self._data[self._at : self._end()], self._end()
        magic = raw[_MAGIC_AT]
        return RecordBatch(raw) if magic >= 2 else LegacyRecordBatch(raw, magic)

    def _end(self) -> int:
        if len(self._data) - self._at < _HEAD.size:
            return 0
        _, length = _LENGTH.unpack_from(self._data, self._at)
        return self._at + _LENGTH.size + int(length)


class RecordBatch:
    """One batch; iterating over it never raises because of what a record holds."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._batch = DefaultRecordBatch(raw)

    def __getattr__(self, name: str) -> Any:
        """Return what the head of the batch says."""
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """Return the marker of a control batch, which only brokers write."""
        return next(iter(self._batch))

    def __iter__(self) -> Iterator[Any]:
        """Yield the records, one that cannot be read with the header that says why."""
        done = 0
        try:
            raw = _unpacked(self._raw)
        except Exception as error:  # whatever a codec raises is about these bytes
            yield self._given_up(f"its batch cannot be unpacked: {error}")
            return
        try:
            for record in DefaultRecordBatch(raw):
                yield record
                done += 1
        except Exception as error:  # a header name, or a length that is none
            log.warning("a record batch is read again record by record", error=str(error))
            yield from self._one_by_one(raw, done)

    def _one_by_one(self, raw: bytes, done: int) -> Iterator[ReadRecord]:
        *_, count = _HEAD.unpack_from(raw)
        at = _HEAD.size
        for number in range(count):
            try:
                record, at = self._read(raw, at)
            except (ValueError, IndexError) as error:
                yield self._given_up(f"the rest of its batch has no valid structure: {error}")
                return
            if number >= done:
                yield record

    def _read(self, raw: bytes, at: int) -> tuple[ReadRecord, int]:
        length, at = _read_number(raw, at)
        end = at + length
        at += 1  # attributes, unused
        later, at = _read_number(raw, at)
        offset, at = _read_number(raw, at)
        key, at = _read_bytes(raw, at)
        value, at = _read_bytes(raw, at)
        headers = _read_headers(raw[:end], at)
        if not at <= end <= len(raw):
            raise ValueError(f"a record of {length} bytes does not fit")
        batch = self._batch
        stamp = batch.max_timestamp if batch.timestamp_type else batch.first_timestamp + later
        there = (batch.base_offset + offset, stamp, batch.timestamp_type, key, value)
        return ReadRecord(*there, headers), end

    def _given_up(self, reason: str) -> ReadRecord:
        batch, last = self._batch, self._batch.next_offset - 1
        full = f"offsets {batch.base_offset} to {last}: {reason}"
        log.error("a record batch is given up", reason=full)
        headers = unreadable_header(full)
        return ReadRecord(last, batch.max_timestamp, batch.timestamp_type, None, None, headers)


def _read_number(raw: bytes, at: int) -> tuple[int, int]:
    """Return a zigzag varint and the place behind it; aiokafka's own reads beyond the end."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > _MOST_BITS:
            raise ValueError("a number is too long")


def _read_bytes(raw: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = _read_number(raw, at)
    if length < -1 or at + length > len(raw):
        raise ValueError(f"{length} bytes do not fit")
    return (None, at) if length < 0 else (raw[at : at + length], at + length)


def _read_headers(raw: bytes, at: int) -> Headers:
    """Return the headers, or the header that says why they cannot be read."""
    found: list[tuple[str, bytes | None]] = []
    count, at = _read_number(raw, at)
    for _ in range(count):
        name, at = _read_bytes(raw, at)
        value, at = _read_bytes(raw, at)
        try:
            found.append(((name or b"").decode(), value))
        except UnicodeDecodeError as error:
            return unreadable_header(
                f"the Kafka client cannot read its headers ({error}); header names must be UTF-8"
            )
    return tuple(found)


def _unpacked(raw: bytes) -> bytes:
    """Return a batch without compression. Raises an error of the codec, and ValueError."""
    head = list(_HEAD.unpack_from(raw))
    codec = head[5] & _CODEC
    if not codec:
        return raw
    head[5] &= ~_CODEC
    return _HEAD.pack(*head) + _UNPACK[codec](raw[_HEAD.size :])


def _bounded(into: Callable[..., int], data: bytes) -> bytes:
    """Unpack into a buffer, at most MAX_UNPACKED_BYTES long."""
    for size in (min(_USUAL_RATIO * len(data) + 4096, MAX_UNPACKED_BYTES), MAX_UNPACKED_BYTES):
        buffer = bytearray(size)
        try:
            return bytes(memoryview(buffer)[: into(data, buffer)])
        except cramjam.DecompressionError as error:
            failed = error
    raise ValueError(f"more than {MAX_UNPACKED_BYTES} bytes, or damaged ({failed})")


def _unsnappy(data: bytes) -> bytes:
    """Unpack snappy, as one block or in the frames of the Java client."""
    if not data.startswith(_XERIAL):
        return _bounded(cramjam.snappy.decompress_raw_into, data)
    found, at, size = [], _XERIAL_BYTES, 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        found.append(_bounded(cramjam.snappy.decompress_raw_into, data[at + 4 : end]))
        size += len(found[-1])
        if size > MAX_UNPACKED_BYTES:
            raise ValueError(f"more than {MAX_UNPACKED_BYTES} bytes")
        at = end
    return b"".join(found)


_UNPACK: dict[int, Callable[[bytes], bytes]] = {
    1: partial(_bounded, cramjam.gzip.decompress_into),
    2: _unsnappy,
    3: partial(_bounded, cramjam.lz4.decompress_into),
    4: partial(_bounded, cramjam.zstd.decompress_into),
}
"""Number of the codec in a batch -> unpacks."""


def install() -> None:
    """Let the fetchers of this process read batches with `RecordBatches`."""
    fetcher.MemoryRecords = RecordBatches
