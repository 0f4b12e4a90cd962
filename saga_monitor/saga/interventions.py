"""Derive a saga's interventions from its facts. Pure: no I/O, no clock.

An intervention is identified by saga and code, and only a person can close it. The monitor or a
person opens it; people claim it, add notes, resolve it and reopen it. Each of these is an event, so
an intervention is its own audit.

| status | meaning |
|---|---|
| open | nobody has claimed it |
| claimed | a person has claimed it |
| resolved | a person closed it |
| settled | it was about time or progress, and the saga has ended all the same |
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from saga_monitor.saga.facts import SOURCE, Fact

OPENED, CLAIMED = "InterventionOpened", "InterventionClaimed"
NOTED, RESOLVED = "InterventionNoted", "InterventionResolved"
WORDS = (OPENED, CLAIMED, NOTED, RESOLVED)
"""Event types of an intervention, in their order within one millisecond."""


class CaseStatus(StrEnum):
    """Status of an intervention, see the table above."""

    OPEN = "open"
    CLAIMED = "claimed"
    RESOLVED = "resolved"
    SETTLED = "settled"


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

    opened_at, reason: of the opening that counts; opened: its id; holder: person who claimed it;
    turn: id of the event that made it open, claimed or resolved; entries: all, oldest first.
    """

    code: str
    status: CaseStatus
    opened_at: datetime
    reason: str
    opened: str
    turn: str
    holder: str | None = None
    closed_at: datetime | None = None
    entries: tuple[Entry, ...] = ()

    @property
    def is_open(self) -> bool:
        """Tell if a person still has to act."""
        return self.status in (CaseStatus.OPEN, CaseStatus.CLAIMED)

    @property
    def last(self) -> Entry:
        """Return the entry that made it open, claimed or resolved."""
        return next(entry for entry in reversed(self.entries) if entry.id == self.turn)


def cases(facts: Iterable[Fact]) -> tuple[Intervention, ...]:
    """Return the interventions of a saga, by code.

    Events about an intervention that was never opened are ignored.
    """
    told: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.type in WORDS:
            told[str(fact.detail.get("code", ""))].append(fact)
    found = (_case(code, sorted(those, key=_order)) for code, those in sorted(told.items()))
    return tuple(case for case in found if case)


def settled(case: Intervention, at: datetime) -> Intervention:
    """Return an intervention as settled by the end of its saga at `at`, if it was open."""
    return replace(case, status=CaseStatus.SETTLED, closed_at=at) if case.is_open else case


def _case(code: str, facts: list[Fact]) -> Intervention | None:
    case: Intervention | None = None
    entries: list[Entry] = []
    for fact in facts:
        reason = str(fact.detail.get("reason", ""))
        entry = Entry(fact.id, fact.type, fact.at, str(fact.detail.get("actor", SOURCE)), reason)
        entries.append(entry)
        if fact.type == OPENED and (case is None or not case.is_open):
            case = Intervention(code, CaseStatus.OPEN, fact.at, reason, fact.id, fact.id)
        elif case is None or not case.is_open:
            continue
        elif fact.type == CLAIMED:
            case = replace(case, status=CaseStatus.CLAIMED, holder=entry.actor, turn=fact.id)
        elif fact.type == RESOLVED:
            case = replace(case, status=CaseStatus.RESOLVED, closed_at=fact.at, turn=fact.id)
    return replace(case, entries=tuple(entries)) if case else None


def _order(fact: Fact) -> tuple[datetime, int, str]:
    return fact.at, WORDS.index(fact.type), fact.id
