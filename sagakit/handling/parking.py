"""Records on their way aside: as what they are parked, and the letter that says so."""

import hashlib

from sagakit.errors import BadKey, Poison, Undecodable
from sagakit.messages.codec import MAX_EVENT_BYTES, Codec, order_key, weight
from sagakit.messages.envelope import Message, OutboxRow, Record, place_id


def incoming(codec: Codec, record: Record) -> Message:
    """What a record is to the handler: an event, or poison to be parked under its key."""
    try:
        e = codec.decode(record)
    except Poison as poison:
        return Message(place_id(record), parking_key(record), poison=poison, record=record)
    return Message(e.id, e.key, e.source, e.seq, e.trace, event=e.event, record=record)


def unread(record: Record, why: str) -> Message:
    """A record that is to be parked whatever it holds."""
    poison = Undecodable(f"{why}; look at it, then redrive or discard")
    return Message(place_id(record), parking_key(record), poison=poison, record=record)


def parking_key(record: Record) -> str:
    """The order a record belongs to; for a key that is no order id, a short name of its own."""
    try:
        return order_key(record.key)
    except BadKey:
        return f"bad-key:{hashlib.sha256(record.key or b'').hexdigest()[:16]}"


def dead_letter(name: str, record: Record, key: str, code: str, error: str) -> OutboxRow:
    """The raw record for `<participant>.dlt`, with the error headers Kafka Connect and Spring use
    in spirit: where it came from and why it is here. What the broker might refuse (it could come
    in compressed) stays out of the letter: a letter that cannot be sent would hold up all events.
    """
    told = [
        ("dlt-topic", record.topic),
        ("dlt-partition", str(record.partition)),
        ("dlt-offset", str(record.offset)),
        ("dlt-code", code),
        ("dlt-error", error[:1000]),
    ]
    headers, value = record.headers, record.value or b""
    if (size := weight(headers, value)) > MAX_EVENT_BYTES:
        headers, value = (), b""
        told.append(("dlt-omitted", f"{size} bytes; they are kept with the parked record"))
    return OutboxRow(f"{name}.dlt", key, headers + tuple((k, v.encode()) for k, v in told), value)
