"""Take a saga back to a moment: what the log held then, or what the monitor had read. Pure.

| basis | the saga has the events |
|---|---|
| log | whose log time is not after the moment |
| read | that the monitor had read by the moment |

They differ while the monitor is behind, as during an outage: the log held an event, and the monitor
judged without it. Log time is the broker's clock, the time of reading that of the monitor's
database. Either way the events are folded and interpreted as those of today are, under the flow
files of today.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from saga_monitor.saga.facts import Saga, fold
from saga_monitor.saga.times import utc_text


class Basis(StrEnum):
    """Decides which events a past saga has; see the table above."""

    LOG = "log"
    READ = "read"

    @property
    def column(self) -> str:
        """Return the column of an event's row that is compared with the moment."""
        return "at" if self is Basis.LOG else "read_at"


@dataclass(frozen=True, slots=True)
class Point:
    """The moment that a past saga stands for.

    events: number of its events; later: of those left out, which came after it; unread: of those
    that the log held at `at` and the monitor had not read; complete: False while the log is not
    read through `at`, so that further events of that time may come.
    """

    at: datetime
    basis: Basis
    events: int
    later: int
    unread: int
    complete: bool


class MomentToCome(ValueError):
    """A moment that is in the future."""


class NotKnownThen(ValueError):
    """A moment before the first event of a saga."""


def saga_at(
    saga: Saga,
    at: datetime,
    basis: Basis,
    read_at: Mapping[str, datetime],
    *,
    now: datetime,
    read_through: datetime | None,
) -> tuple[Saga, Point]:
    """Return a saga as it was at a moment, and what that moment is.

    read_at: `event_key` -> when the monitor read it; now: the present time; read_through: log time
    up to which the whole log is read, None while that is unknown. Raises MomentToCome or
    NotKnownThen.
    """
    facts = saga.facts.values()
    log_times = {fact.key: fact.at for fact in facts}
    times = log_times if basis is Basis.LOG else {**log_times, **read_at}
    if at > max(now, *times.values()):  # the broker's clock may be ahead of this one
        detail = f"{utc_text(at)} is in the future, it is {utc_text(now)}; ask for a time up to now"
        raise MomentToCome(detail)
    found = [fact for fact in facts if times[fact.key] <= at]
    if not found:
        first = utc_text(min(times[fact.key] for fact in facts))
        what = "the log had no event" if basis is Basis.LOG else "the monitor had read no event"
        detail = (
            f"{what} of saga {saga.key} at {utc_text(at)}; the first came at {first}: ask for a "
            "time from then on"
        )
        raise NotKnownThen(detail)
    unread = sum(fact.at <= at < read_at.get(fact.key, fact.at) for fact in facts)
    complete = basis is Basis.READ or (read_through is not None and read_through >= at)
    point = Point(at, basis, len(found), len(facts) - len(found), unread, complete)
    return fold(Saga(saga.key), *found), point
