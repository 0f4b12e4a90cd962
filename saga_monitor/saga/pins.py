"""Derive from its facts who pinned a saga. Pure: no I/O, no clock.

A pinned saga stays in the live tables after it has ended: `storage.archiver` does not move it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from saga_monitor.saga.facts import Fact

PINNED, UNPINNED = "SagaPinned", "SagaUnpinned"


@dataclass(frozen=True, slots=True)
class Pin:
    """A person's pin on a saga. id: of the event that set it."""

    id: str
    actor: str
    reason: str
    since: datetime


def pin_of(facts: Iterable[Fact]) -> Pin | None:
    """Return the pin of a saga; None if it has none, or was unpinned."""
    last = last_pin_event(facts)
    if last is None or last.type == UNPINNED:
        return None
    actor, reason = (str(last.detail.get(name, "")) for name in ("actor", "reason"))
    return Pin(last.id, actor, reason, last.at)


def last_pin_event(facts: Iterable[Fact]) -> Fact | None:
    """Return the last pin or unpin event; of one millisecond the unpin event counts as later."""
    events = (fact for fact in facts if fact.type in (PINNED, UNPINNED))
    return max(events, key=lambda f: (f.at, f.type, f.id), default=None)
