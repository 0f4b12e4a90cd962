"""W3C trace context (https://www.w3.org/TR/trace-context/) handed from cause to event.

Ids are derived from event ids, so a replay repeats the trace instead of inventing another.
"""

from uuid import UUID


def child(parent: str | None, event_id: UUID) -> str:
    """The `traceparent` of an event: the parent's trace, a span of its own; sampled."""
    fields = (parent or "").split("-")
    span = event_id.hex[16:]
    trace = event_id.hex
    if len(fields) == 4 and len(fields[1]) == 32 and fields[1].strip("0"):
        trace = fields[1]
    return f"00-{trace}-{span}-01"
