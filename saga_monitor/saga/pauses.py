"""When an order was paused, read off its facts. Pure: no I/O, no clock.

Time that passes in a pause counts for no deadline of the way forward. An undo waits for nobody: its
deadlines run on, and where it has begun the pause is over.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from saga_monitor.saga.facts import Fact


@dataclass(frozen=True, slots=True)
class Pause:
    """id: of the event that began it; until: when it was resumed, None while it lasts."""

    id: str
    since: datetime
    actor: str
    reason: str
    until: datetime | None = None


def pauses(paused: Iterable[Fact], resumed: Iterable[Fact]) -> tuple[Pause, ...]:
    """The pauses of an order, the oldest first. What is paused is not paused once more, and what
    is not paused is not resumed."""
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
    """The pause that was not resumed yet, if there is one."""
    return known[-1] if known and known[-1].until is None else None


def _order(
    words: Mapping[str, tuple[Fact, bool]], fact: Fact, resumes: bool
) -> tuple[datetime, int, bool, str]:
    """Log time, and within one millisecond causes first: each names the one before it."""
    before, cause = 0, fact.causation
    while cause is not None and cause in words and before < len(words):
        before, cause = before + 1, words[cause][0].causation
    return fact.at, before, resumes, fact.id


def due_after(since: datetime, seconds: float, known: Sequence[Pause]) -> datetime | None:
    """When so much time has passed outside of pauses; None while one lasts."""
    due = since + timedelta(seconds=seconds)
    for pause in known:
        if pause.until is None:
            return None
        if pause.until > since and pause.since < due:
            due += pause.until - max(pause.since, since)
    return due
