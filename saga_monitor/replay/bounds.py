"""Says from where to where the log is replayed. Pure.

A bound is written as `earliest`, `now`, a time (ISO 8601), a duration before now (`7d`), an offset
of every partition (`1500`), or offsets of some (`a.events/3@1500,b.events/0@12`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sagakit.flow.toml_values import seconds
from sagakit.kafka.log_spans import OffsetSpan
from sagakit.messages.envelope import TopicPartitionKey

Offsets = Mapping[TopicPartitionKey, int]
_PLACE = re.compile(r"([A-Za-z0-9._-]{1,249})/([0-9]{1,9})@([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Earliest:
    """The first record that the log still holds."""


@dataclass(frozen=True, slots=True)
class Now:
    """The end of the log when the replay begins; an open transaction is not read."""


@dataclass(frozen=True, slots=True)
class AtTime:
    """The first record that was appended at this log time or later."""

    at: datetime


@dataclass(frozen=True, slots=True)
class AtOffsets:
    """An offset of every partition, or of those in `places`; the others are not bounded."""

    every: int | None = None
    places: Offsets = field(default_factory=dict)


Bound = Earliest | Now | AtTime | AtOffsets


def parse_bound(written: str, now: datetime) -> Bound:
    """Return the bound that a person wrote. Raises ValueError, which says what to write."""
    text = written.strip()
    if text in ("earliest", "now"):
        return Earliest() if text == "earliest" else Now()
    if re.fullmatch(r"[0-9]{1,18}", text):
        return AtOffsets(every=int(text))
    if "@" in text:
        return AtOffsets(places=_places(text))
    if re.fullmatch(r"[0-9.]+[a-z]+", text):
        return AtTime(now - timedelta(seconds=seconds(text)))
    try:
        at = datetime.fromisoformat(text)
        return AtTime((at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{written[:80]!r} is no bound; write earliest, now, a time such as "
            "2026-11-27T10:00:00Z, a duration such as 7d, an offset, or topic/partition@offset"
        ) from error


def _places(text: str) -> dict[TopicPartitionKey, int]:
    found = {}
    for part in text.split(","):
        match = _PLACE.fullmatch(part.strip())
        if match is None:
            raise ValueError(
                f"{part[:80]!r} is no place in the log; write it as a.events/3@1500, several of "
                "them separated by commas"
            )
        found[match[1], int(match[2])] = int(match[3])
    return found


@dataclass(frozen=True, slots=True)
class LogState:
    """The first offset of each partition, its end, and, per time asked for, the offset there.

    since: time -> partition -> first offset stamped then or later; a partition without one is left
    out.
    """

    firsts: Offsets
    ends: Offsets
    since: Mapping[datetime, Offsets] = field(default_factory=dict)


def spans_of(begin: Bound, end: Bound, log: LogState) -> dict[TopicPartitionKey, OffsetSpan]:
    """Return what is read of each partition, within what the log holds.

    Raises ValueError if a bound names a partition that is not read, or the end lies before the
    beginning.
    """
    if isinstance(begin, AtTime) and isinstance(end, AtTime) and end.at < begin.at:
        raise ValueError(f"the end, {end.at}, is before the beginning, {begin.at}")
    starts = _offsets(begin, log, log.firsts)
    ends = _offsets(end, log, log.ends)
    found = {}
    for place, first in log.firsts.items():
        last = max(log.ends[place], first)
        start = min(max(starts[place], first), last)
        found[place] = OffsetSpan(start, max(min(ends[place], last), start))
    return found


def _offsets(bound: Bound, log: LogState, unbounded: Offsets) -> Offsets:
    match bound:
        case Earliest():
            return log.firsts
        case Now():
            return log.ends
        case AtTime(at):
            return {place: log.since[at].get(place, end) for place, end in log.ends.items()}
        case AtOffsets(every, places):
            for topic, partition in places.keys() - log.ends.keys():
                raise ValueError(f"{topic}/{partition} is not among the partitions that are read")
            default = unbounded if every is None else dict.fromkeys(log.ends, every)
            return {**default, **places}
