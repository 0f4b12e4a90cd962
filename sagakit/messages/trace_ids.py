"""Derives W3C trace context ids (https://www.w3.org/TR/trace-context/) from keys and events. Pure.

So a webhook that comes days later belongs to its saga's trace, and a replay repeats ids instead of
creating new ones (docs/decisions/0015).
"""

import re
from uuid import UUID, uuid5

from sagakit.messages.envelope import NAMESPACE

TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}")
SPAN_ID = re.compile("(?!0{16})[0-9a-f]{16}")


def event_traceparent(event_id: UUID, key: str) -> str:
    """Return the `traceparent` of an event: trace of saga `key`, span of the event, sampled."""
    return f"00-{trace_of(key)}-{span_of(event_id)}-01"


def trace_of(key: str) -> str:
    """Return the trace id of saga `key`."""
    return uuid5(NAMESPACE, f"trace:{key}").hex


def parse_traceparent(traceparent: str | None) -> tuple[str, str] | None:
    """Return the trace id and span id in a `traceparent`, or None if it is invalid."""
    fields = (traceparent or "").split("-")
    if len(fields) == 4 and TRACE_ID.fullmatch(fields[1]) and SPAN_ID.fullmatch(fields[2]):
        return fields[1], fields[2]
    return None


def parent_of(traceparent: str | None, key: str) -> str:
    """Return the span id in a `traceparent` of saga `key`'s trace; for any other, the root span."""
    named = parse_traceparent(traceparent)
    return named[1] if named and named[0] == trace_of(key) else root_of(key)


def caller_of(traceparent: str | None, key: str) -> tuple[str, str] | None:
    """Return the ids in a `traceparent` of a foreign trace, such as that of the start's caller."""
    named = parse_traceparent(traceparent)
    return named if named and named[0] != trace_of(key) else None


def root_of(key: str) -> str:
    """Return the root span id of saga `key`'s trace."""
    return span_of(uuid5(NAMESPACE, f"root:{key}"))


def span_of(event_id: UUID) -> str:
    """Return the span id of an event's publication."""
    return event_id.hex[16:]


def process_span_of(message_id: UUID, participant: str) -> str:
    """Return the span id of a participant's handling of a message."""
    return span_of(uuid5(message_id, f"process:{participant}"))


def log_fields(key: str, event_id: object) -> dict[str, str]:
    """Return the fields of every log line about a saga; they join logs, traces and timeline."""
    return {"saga": key, "trace_id": trace_of(key), "event_id": str(event_id)}
