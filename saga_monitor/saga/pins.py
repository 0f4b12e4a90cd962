"""Pins: orders a person wants to keep at hand, read off their facts. Pure: no I/O, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from saga_monitor.saga.facts import Fact

PINNED, UNPINNED = "OrderPinned", "OrderUnpinned"


@dataclass(frozen=True, slots=True)
class Pin:
    """Who wants to keep an order at hand since when. id: of the event that says so."""

    id: str
    actor: str
    reason: str
    since: datetime


def pin_of(facts: Iterable[Fact]) -> Pin | None:
    """The pin of an order; None where it has none, or none any more."""
    last = last_word(facts)
    if last is None or last.type == UNPINNED:
        return None
    actor, reason = (str(last.detail.get(name, "")) for name in ("actor", "reason"))
    return Pin(last.id, actor, reason, last.at)


def last_word(facts: Iterable[Fact]) -> Fact | None:
    """What was said last of pinning the order. Within a millisecond a pin comes first."""
    words = (fact for fact in facts if fact.type in (PINNED, UNPINNED))
    return max(words, key=lambda f: (f.at, f.type, f.id), default=None)
