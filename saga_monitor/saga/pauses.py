"""Derive from its facts when a saga was paused. Pure: no I/O, no clock.

Time in a pause counts for no deadline on the way forward. The deadlines of an undo run on: once the
undo has begun, the pause is over.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from saga_monitor.saga.facts import Fact


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of a saga.

    id: of the event that began it; until: when it was resumed, None while it lasts.
    """

    id: str
    since: datetime
    actor: str
    reason: str
    until: datetime | None = None


def pauses(paused: Iterable[Fact], resumed: Iterable[Fact]) -> tuple[Pause, ...]:
    """Return the pauses of a saga, oldest first.

    A pause event during a pause is ignored, and so is a resume event outside of one.
    """
    words = {f.id: (f, False) for f in paused} | {f.id: (f, True) for f in resumed}
    found: list[Pause] = []
    for fact, resumes in sorted(words.values(), key=lambda word: _order(words, *word)):
        lasts = bool(found) and found[-1].until is None
        if resumes and lasts:
            found[-1] = replace(found[-1], until=fact.at)
        elif not resumes and not lasts:
            actor, reason = (str(fact.detail.get(name, "")) for name in ("actor", "reason"))
            found.append(Pause(fact.id, fact.at, actor, reason))
    return tuple(found)


def lasting(known: Sequence[Pause]) -> Pause | None:
    """Return the pause that is not resumed yet, if there is one."""
    return known[-1] if known and known[-1].until is None else None


def _order(
    words: Mapping[str, tuple[Fact, bool]], fact: Fact, resumes: bool
) -> tuple[datetime, int, bool, str]:
    """Return the sort key: log time, then causes first, as each event names the one before."""
    before, cause = 0, fact.causation
    while cause is not None and cause in words and before < len(words):
        before, cause = before + 1, words[cause][0].causation
    return fact.at, before, resumes, fact.id


def due_after(since: datetime, seconds: float, known: Sequence[Pause]) -> datetime | None:
    """Return when `seconds` outside of pauses have passed since `since`; None while one lasts."""
    due = since + timedelta(seconds=seconds)
    for pause in known:
        if pause.until is None:
            return None
        if pause.until > since and pause.since < due:
            due += pause.until - max(pause.since, since)
    return due
