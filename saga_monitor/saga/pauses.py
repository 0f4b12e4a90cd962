"""Derive from its facts when a saga was paused. Pure: no I/O, no clock.

On the way forward, deadlines do not run during a pause. An undo ends the pause, so the deadlines of
an undo always run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from saga_monitor.saga.facts import Fact


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of a saga.

    id: of the event that started it; until: when it was resumed, None if it was not.
    """

    id: str
    since: datetime
    actor: str
    reason: str
    until: datetime | None = None


def pauses(paused: Iterable[Fact], resumed: Iterable[Fact]) -> tuple[Pause, ...]:
    """Return the pauses of a saga, oldest first.

    A pause event during a pause is ignored, and so is a resume event outside a pause.
    """
    events = {f.id: (f, False) for f in paused} | {f.id: (f, True) for f in resumed}
    found: list[Pause] = []
    for fact, resumes in sorted(events.values(), key=lambda event: _order(events, *event)):
        is_paused = bool(found) and found[-1].until is None
        if resumes and is_paused:
            found[-1] = replace(found[-1], until=fact.at)
        elif not resumes and not is_paused:
            actor, reason = (str(fact.detail.get(name, "")) for name in ("actor", "reason"))
            found.append(Pause(fact.id, fact.at, actor, reason))
    return tuple(found)


def current_pause(found: Sequence[Pause]) -> Pause | None:
    """Return the pause that was not resumed yet, if there is one."""
    return found[-1] if found and found[-1].until is None else None


def _order(
    events: Mapping[str, tuple[Fact, bool]], fact: Fact, resumes: bool
) -> tuple[datetime, int, bool, str]:
    """Return the sort key: log time, then the length of the chain of causes."""
    depth, cause = 0, fact.causation
    while cause is not None and cause in events and depth < len(events):
        depth, cause = depth + 1, events[cause][0].causation
    return fact.at, depth, resumes, fact.id


def due_after(since: datetime, seconds: float, found: Sequence[Pause]) -> datetime | None:
    """Return when `seconds` outside pauses have passed since `since`; None during a pause."""
    due = since + timedelta(seconds=seconds)
    for pause in found:
        if pause.until is None:
            return None
        if pause.until > since and pause.since < due:
            due += pause.until - max(pause.since, since)
    return due
