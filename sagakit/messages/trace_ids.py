"""Ids of W3C trace context (https://www.w3.org/TR/trace-context/), derived from keys and events.

A webhook days later is in its saga's trace, and a replay repeats ids instead of inventing others
(docs/adr/0015). Pure.
"""

import re
from uuid import UUID, uuid5

from sagakit.messages.envelope import NAMESPACE

TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}")
SPAN_ID = re.compile("(?!0{16})[0-9a-f]{16}")


def child(event_id: UUID, key: str) -> str:
    """The `traceparent` of an event of order `key`: its trace, a span of its own; sampled."""
    return f"00-{trace_of(key)}-{span_of(event_id)}-01"


def trace_of(key: str) -> str:
    """The trace of order `key`."""
    return uuid5(NAMESPACE, f"trace:{key}").hex


def named_by(traceparent: str | None) -> tuple[str, str] | None:
    """The trace and span a `traceparent` names, if it is one."""
    fields = (traceparent or "").split("-")
    if len(fields) == 4 and TRACE_ID.fullmatch(fields[1]) and SPAN_ID.fullmatch(fields[2]):
        return fields[1], fields[2]
    return None


def parent_of(traceparent: str | None, key: str) -> str:
    """The span a `traceparent` names in the trace of order `key`; otherwise its root."""
    named = named_by(traceparent)
    return named[1] if named and named[0] == trace_of(key) else root_of(key)


def caller_of(traceparent: str | None, key: str) -> tuple[str, str] | None:
    """The span of another trace that a `traceparent` names: whoever placed the order has one."""
    named = named_by(traceparent)
    return named if named and named[0] != trace_of(key) else None


def root_of(key: str) -> str:
    """The span that all of order `key` hangs from."""
    return span_of(uuid5(NAMESPACE, f"root:{key}"))


def span_of(event_id: UUID) -> str:
    """The span of an event's publication."""
    return event_id.hex[16:]


def process_of(message_id: UUID, participant: str) -> str:
    """The span of a participant that handles a message."""
    return span_of(uuid5(message_id, f"process:{participant}"))


def about(key: str, event_id: object) -> dict[str, str]:
    """What every log line about an order says, so that logs, traces and timeline can be joined."""
    return {"order_id": key, "trace_id": trace_of(key), "event_id": str(event_id)}
