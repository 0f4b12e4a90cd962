"""Turns an unreadable record into a message to park, and a parked one into a dead-letter record."""

import hashlib
from dataclasses import replace

from sagakit.errors import BadKey, Undecodable, UnprocessableRecord
from sagakit.foreign_text import bounded
from sagakit.identity import saga_key, split_key
from sagakit.messages.codec import MAX_EVENT_BYTES, Codec, record_size
from sagakit.messages.envelope import Message, OutboxRow, Record, record_place_id


def decode_message(codec: Codec, record: Record) -> Message:
    """Decode a record into a message with an event, or with poison to park under its key."""
    try:
        e = codec.decode(record)
    except UnprocessableRecord as poison:
        return Message(
            record_place_id(record), parking_key(codec, record), poison=poison, record=record
        )
    return Message(e.id, e.key, e.source, e.seq, e.trace, event=e.event, record=record)


def undecodable_message(codec: Codec, record: Record, why: str) -> Message:
    """Turn a record into poison, to be parked without decoding it. `why` is the error."""
    poison = Undecodable(f"{why}; inspect the record, then redrive or discard it")
    return Message(
        record_place_id(record), parking_key(codec, record), poison=poison, record=record
    )


def parking_key(codec: Codec, record: Record) -> str:
    """Return the saga key of an undecodable record; for a bad record key, one with its hash."""
    try:
        return codec.key_of_undecodable(record)
    except BadKey:
        return saga_key("", f"bad-key:{hashlib.sha256(record.key or b'').hexdigest()[:16]}")


def dead_letter(name: str, record: Record, key: str, code: str, error: str) -> OutboxRow:
    """Build the dead-letter record for `<participant>.dlt` from the raw record.

    Its `dlt-*` headers say where the record came from and why it was parked, in the spirit of the
    error headers of Kafka Connect and Spring. A header `flow` is added if the record has none and
    its flow is known. Content over MAX_EVENT_BYTES is left out, since the broker might refuse it
    (it could arrive compressed): a row that cannot be sent would block the whole outbox.
    """
    added = [
        ("dlt-topic", record.topic),
        ("dlt-partition", str(record.partition)),
        ("dlt-offset", str(record.offset)),
        ("dlt-code", code),
        ("dlt-error", bounded(error, 1000)),
    ]
    headers, value = record.headers, record.value or b""
    if (size := record_size(headers, value)) > MAX_EVENT_BYTES:
        headers, value = (), b""
        added.append(("dlt-omitted", f"{size} bytes; they are kept with the parked record"))
    headers += tuple((k, v.encode()) for k, v in added)
    flow, record_key = split_key(key)
    row = OutboxRow(f"{name}.dlt", record_key, headers, value)
    return row if row.saga == key else replace(row, headers=(("flow", flow.encode()), *headers))
