"""W3C trace context (https://www.w3.org/TR/trace-context/) handed from cause to event.

Ids are derived, so a replay repeats the trace instead of inventing another; what has no parent (a
webhook, days later) falls into the trace of its order all the same.
"""

import re
from uuid import UUID, uuid5

from sagakit.message import NAMESPACE

TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}")


def child(parent: str | None, event_id: UUID, key: str) -> str:
    """The `traceparent` of an event of order `key`: its parent's trace, or the order's; a span of
    its own; sampled."""
    fields = (parent or "").split("-")
    trace = uuid5(NAMESPACE, f"trace:{key}").hex
    if len(fields) == 4 and TRACE_ID.fullmatch(fields[1]):
        trace = fields[1]
    return f"00-{trace}-{event_id.hex[16:]}-01"
