"""Reads from a record with which schema its body was written, and where the body starts.

An id means something only in the registry that gave it, and another registry, or one that has lost
its schemas, may give it to another schema. The fingerprint of a schema is the same everywhere.
"""

from typing import NamedTuple
from uuid import UUID

from sagakit.messages.envelope import Record

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
CONFLUENT_GUID = b"\x01"
SCHEMA_ID = "__value_schema_id"
"""Header in which newer serializers of Confluent write what else stands before the body."""
DATA_SCHEMA = "ce_dataschema"
"""Header of an event with a registry's id: the schema's fingerprint, too, as a URI."""
FINGERPRINT_URI = b"avro-crc64:"
_SINGLE_OBJECT_BYTES, _ID_BYTES, _GUID_BYTES = 10, 5, 17
"""The bytes before the body in each framing."""

SchemaId = int | UUID
"""A registry's number of a schema, or its GUID, which is the same in every registry."""


class Framing(NamedTuple):
    """The schema of a body, and where the body starts.

    `number`: the id that a registry gave, if any; `fingerprint`: CRC-64-AVRO of the schema's
    parsing canonical form, little-endian, empty if the record does not say it.
    """

    number: SchemaId | None
    fingerprint: bytes
    start: int


def framing_of(record: Record, value: bytes) -> Framing:
    """Return how a body is framed that is not in Avro's single-object encoding."""
    number, start = _schema_id(value), _GUID_BYTES if value[:1] == CONFLUENT_GUID else _ID_BYTES
    fingerprint = b""
    for name, content in record.headers:
        if name == SCHEMA_ID:
            number, start = _schema_id(content), 0
        elif name == DATA_SCHEMA:
            fingerprint = _fingerprint(content)
    return Framing(number, fingerprint, start)


def single_object(value: bytes) -> Framing | None:
    """Return how a body in Avro's single-object encoding is framed, None for any other."""
    if value[:2] != SINGLE_OBJECT:
        return None
    return Framing(None, value[2:_SINGLE_OBJECT_BYTES], _SINGLE_OBJECT_BYTES)


def data_schema(fingerprint: bytes) -> tuple[str, bytes]:
    """Return the header that says a schema's fingerprint."""
    return DATA_SCHEMA, FINGERPRINT_URI + fingerprint.hex().encode()


def _fingerprint(header: bytes) -> bytes:
    """Return the fingerprint in a header, empty if it is another URI: anybody may write one."""
    if not header.startswith(FINGERPRINT_URI):
        return b""
    try:
        return bytes.fromhex(header.removeprefix(FINGERPRINT_URI).decode())
    except ValueError:
        return b""


def _schema_id(content: bytes) -> SchemaId | None:
    """Return the schema id that a header or body of Confluent's serializers begins with."""
    if content[:1] == CONFLUENT and len(content) > 4:
        return int.from_bytes(content[1:5], "big")
    if content[:1] == CONFLUENT_GUID and len(content) > 16:
        return UUID(bytes=content[1:17])
    return None
