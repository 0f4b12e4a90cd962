"""Writes records into an Avro container file, and reads them back.

The values stay the bytes that they were in the log, framing included. The same records and the same
name give the same bytes.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence

import fastavro

from sagakit.messages.envelope import Record

SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "sagakit.ArchivedRecord",
        "fields": [
            {"name": "topic", "type": "string"},
            {"name": "partition", "type": "int"},
            {"name": "offset", "type": "long"},
            {"name": "timestamp_ms", "type": "long", "doc": "LogAppendTime, Unix milliseconds"},
            {"name": "key", "type": ["null", "bytes"]},
            {"name": "value", "type": ["null", "bytes"]},
            {
                "name": "headers",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "sagakit.ArchivedHeader",
                        "fields": [
                            {"name": "name", "type": "string"},
                            {"name": "value", "type": "bytes"},
                        ],
                    },
                },
            },
        ],
    }
)
_SYNC_BYTES = 16


def write_container(records: Sequence[Record], name: str) -> bytes:
    """Return a container file of these records. name: of the file; gives its sync marker."""
    marker = hashlib.sha256(name.encode()).digest()[:_SYNC_BYTES]
    rows = (
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": record.key,
            "value": record.value,
            "headers": [{"name": name, "value": value} for name, value in record.headers],
        }
        for record in records
    )
    out = io.BytesIO()
    fastavro.writer(out, SCHEMA, rows, codec="deflate", sync_marker=marker)
    return out.getvalue()


def read_container(content: bytes) -> Iterator[Record]:
    """Yield the records of a container file, one block in memory at a time.

    Raises ValueError, EOFError and others of fastavro for what is no such file.
    """
    for row in fastavro.reader(io.BytesIO(content), SCHEMA):
        assert isinstance(row, dict)
        headers = tuple((header["name"], header["value"]) for header in row["headers"])
        yield Record(
            row["topic"],
            row["partition"],
            row["offset"],
            row["timestamp_ms"],
            row["key"],
            row["value"],
            headers,
        )
