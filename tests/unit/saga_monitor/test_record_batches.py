"""Record batches of a fetch: nothing in one of them ends the reading of its partition."""

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch  # type: ignore[import-untyped]

from saga_lab.chaos.raw_batches import GZIP, LZ4, NO_CODEC, SNAPPY, ZSTD, raw_batch, with_raw_header
from saga_monitor.ingest.record_batches import RecordBatches
from sagakit.kafka.damaged_batches import MAX_UNPACKED_BYTES
from sagakit.messages.envelope import UNREADABLE, OutboxRow

CODECS = (NO_CODEC, GZIP, SNAPPY, LZ4, ZSTD)
ROW = OutboxRow("order.events", "o-1", (("flow", b"order/1"), ("ce_id", b"1")), b"body" * 100)
LARGE = OutboxRow("order.events", "o-1", (), bytes(MAX_UNPACKED_BYTES + 1))


def read(*batches: bytes) -> list[list[Any]]:
    """The records of each batch."""
    found, records = [], RecordBatches(b"".join(batches))
    while records.has_next():
        found.append(list(records.next_batch()))
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_records_are_those_that_aiokafka_reads(codec: int) -> None:
    raw = raw_batch([ROW] * 5, codec)
    [ours] = read(raw)
    theirs = list(DefaultRecordBatch(raw))
    assert [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in ours] == [
        (r.offset, r.timestamp, r.key, r.value, r.headers) for r in theirs
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_a_header_name_that_is_no_text_costs_its_own_record_only(codec: int) -> None:
    # Given a batch whose second record has a header name that is no UTF-8
    raw = raw_batch([ROW, with_raw_header(ROW), ROW], codec)
    with pytest.raises(UnicodeDecodeError):
        list(DefaultRecordBatch(raw))
    # When it is read
    [records] = read(raw)
    # Then the others are whole, and this one says why it is not
    assert [r.offset for r in records] == [0, 1, 2]
    assert [r.value for r in records] == [ROW.value] * 3
    assert [tuple(r.headers) for r in (records[0], records[2])] == [ROW.headers] * 2
    [(name, reason)] = records[1].headers
    assert name == UNREADABLE
    assert b"header names must be UTF-8" in reason


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_batch_that_unpacks_to_more_than_the_limit_is_given_up(codec: int) -> None:
    # Given a small batch that unpacks to a large one, and a batch behind it
    bomb = raw_batch([LARGE], codec)
    # When both are read
    [given_up], behind = read(bomb, raw_batch([ROW]))
    # Then the first is one record that says why, and the second is whole
    assert (given_up.offset, given_up.value) == (0, None)
    assert b"offsets 0 to 0: its batch cannot be unpacked" in dict(given_up.headers)[UNREADABLE]
    assert [r.value for r in behind] == [ROW.value]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_damaged_batch_is_given_up(codec: int) -> None:
    raw = bytearray(raw_batch([ROW] * 3, codec))
    raw[61:] = bytes(len(raw) - 61)
    [[given_up]] = read(bytes(raw))
    assert given_up.offset == 2
    assert UNREADABLE in dict(given_up.headers)


@pytest.mark.parametrize("at", range(61, 90))
@pytest.mark.parametrize("byte", [b"\x00", b"\x7f", b"\xff"])
def test_no_byte_of_a_batch_raises(at: int, byte: bytes) -> None:
    raw = bytearray(raw_batch([ROW, ROW]))
    raw[at : at + 1] = byte
    [records] = read(bytes(raw))
    assert records


def test_a_batch_that_was_not_fetched_whole_is_left_for_the_next_fetch() -> None:
    raw = raw_batch([ROW])
    for part in (raw[:-1], raw[:30], b""):
        assert len(read(raw + part)) == 1
