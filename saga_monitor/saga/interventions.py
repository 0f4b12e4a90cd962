"""Derive a saga's interventions from its facts. Pure: no I/O, no clock.

An intervention is identified by saga and code, and only a person can close it. The monitor or a
person opens it; people claim it, add notes, resolve it and reopen it. Each of these is an event, so
the log is its audit trail.

| status | meaning |
|---|---|
| open | nobody has claimed it |
| claimed | a person has claimed it |
| resolved | a person closed it |
| settled | it was about time or progress, and the saga has ended |
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from saga_monitor.saga.facts import SOURCE, Fact

OPENED, CLAIMED = "InterventionOpened", "InterventionClaimed"
NOTED, RESOLVED = "InterventionNoted", "InterventionResolved"
EVENT_TYPES = (OPENED, CLAIMED, NOTED, RESOLVED)
"""Event types of an intervention; events of one millisecond are read in this order."""


class InterventionStatus(StrEnum):
    """Status of an intervention, see the table above."""

    OPEN = "open"
    CLAIMED = "claimed"
    RESOLVED = "resolved"
    SETTLED = "settled"


OPEN_STATUSES = (InterventionStatus.OPEN, InterventionStatus.CLAIMED)
"""Statuses of an intervention on which a person has to act."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in the history of an intervention. id, type: of the event; at: log time."""

    id: str
    type: str
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Intervention:
    """An intervention.

    opened_at, reason, opening: log time, reason and id of the event that last opened it; holder:
    person who claimed it; state_event: id of the event that made it open, claimed or resolved;
    entries: all of them, oldest first.
    """

    code: str
    status: InterventionStatus
    opened_at: datetime
    reason: str
    opening: str
    state_event: str
    holder: str | None = None
    closed_at: datetime | None = None
    entries: tuple[Entry, ...] = ()

    @property
    def is_open(self) -> bool:
        """Return True while a person has to act."""
        return self.status in OPEN_STATUSES

    @property
    def last(self) -> Entry:
        """Return the entry that made it open, claimed or resolved."""
        return next(entry for entry in reversed(self.entries) if entry.id == self.state_event)


def interventions_of(facts: Iterable[Fact]) -> tuple[Intervention, ...]:
    """Return the interventions of a saga, by code.

    Events about an intervention that was never opened are ignored.
    """
    by_code: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.type in EVENT_TYPES:
            by_code[str(fact.detail.get("code", ""))].append(fact)
    found = (_intervention(code, sorted(by_code[code], key=_order)) for code in sorted(by_code))
    return tuple(intervention for intervention in found if intervention)


def settle(intervention: Intervention, at: datetime) -> Intervention:
    """Return an open intervention as settled by the end of its saga at `at`."""
    if not intervention.is_open:
        return intervention
    return replace(intervention, status=InterventionStatus.SETTLED, closed_at=at)


def _intervention(code: str, facts: list[Fact]) -> Intervention | None:
    found: Intervention | None = None
    entries: list[Entry] = []
    for fact in facts:
        reason = str(fact.detail.get("reason", ""))
        entry = Entry(fact.id, fact.type, fact.at, str(fact.detail.get("actor", SOURCE)), reason)
        entries.append(entry)
        if fact.type == OPENED and (found is None or not found.is_open):
            found = Intervention(code, InterventionStatus.OPEN, fact.at, reason, fact.id, fact.id)
        elif found is None or not found.is_open:
            continue
        elif fact.type == CLAIMED:
            found = replace(
                found,
                status=InterventionStatus.CLAIMED,
                holder=entry.actor,
                state_event=fact.id,
            )
        elif fact.type == RESOLVED:
            found = replace(
                found,
                status=InterventionStatus.RESOLVED,
                closed_at=fact.at,
                state_event=fact.id,
            )
    return replace(found, entries=tuple(entries)) if found else None


def _order(fact: Fact) -> tuple[datetime, int, str]:
    return fact.at, EVENT_TYPES.index(fact.type), fact.id
