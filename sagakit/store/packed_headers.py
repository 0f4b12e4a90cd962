"""Packs a record's headers into one column of text, and reads it again."""

from collections.abc import Sequence

import orjson

from sagakit.messages.envelope import unreadable_header

__all__ = ["OUTBOX_SAGA", "kept_headers", "pack_headers", "unpack_headers"]

OUTBOX_SAGA = (
    r"""coalesce(substring(headers from '\["flow","([A-Za-z0-9_.-]{0,100})["/]'), '')"""
    " || '/' || key"
)
"""SQL of the saga key of an outbox row. Its flow is in the packed headers."""


def pack_headers(headers: Sequence[tuple[str, bytes]]) -> str:
    """Return headers as JSON text; latin-1 keeps every byte."""
    return orjson.dumps([(k, v.decode("latin-1")) for k, v in headers]).decode()


def unpack_headers(packed: str) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that `pack_headers` packed. Raises ValueError for anything else."""
    found = orjson.loads(packed)
    pairs = found if isinstance(found, list) else [found]
    if any(not isinstance(p, list) or [type(x) for x in p] != [str, str] for p in pairs):
        raise ValueError(f"no list of pairs of texts: {packed[:100]}")
    return tuple((k, v.encode("latin-1")) for k, v in pairs)


def kept_headers(packed: str) -> tuple[tuple[str, bytes], ...]:
    """Return the headers of a record that was set aside, or why nobody can read them.

    With the reason, the codec refuses the record like one whose headers the client cannot read.
    """
    try:
        return unpack_headers(packed)
    except ValueError as error:
        return unreadable_header(f"its stored headers cannot be read: {error}")
