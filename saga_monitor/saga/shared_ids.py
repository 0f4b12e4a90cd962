"""Judge events of a saga that have the same id. Pure: no I/O, no clock.

Who may write one topic may give an event there any id, also one that the monitor or a participant
derives. Participants know ids per owner of a topic, so such an event hides none of another topic.
Of two events of one topic without a sequence number, they set aside the later. It is the same here;
and of all events under one id, those that are not the first to have a right to it are reported.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from saga_monitor.saga.facts import STARTS, Fact
from sagakit.flow.platform_events import PLATFORM


@dataclass(frozen=True, slots=True)
class SharedIds:
    """`set_aside`: keys of events that participants do not act on; `reported`: for a person."""

    set_aside: frozenset[str] = frozenset()
    reported: tuple[Fact, ...] = ()


def find_shared_ids(facts: Collection[Fact], owners: Mapping[str, str]) -> SharedIds:
    """Find the events whose id another one has. `owners`: event type -> owner of its topic."""
    if len({fact.id for fact in facts}) == len(facts):
        return SharedIds()

    def owner(fact: Fact) -> str:
        return owners.get(fact.type, PLATFORM)

    def is_counted(fact: Fact) -> bool:
        return fact.seq is not None and fact.source == owner(fact)

    def rank(fact: Fact) -> tuple[object, ...]:
        return (
            owner(fact) != PLATFORM,
            not is_counted(fact),
            STARTS not in fact.detail,  # what comes before it is handled after it
            fact.at,
            fact.type,
        )

    by_id: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_id[fact.id].append(fact)
    set_aside, reported = set[str](), list[Fact]()
    for one_id in by_id.values():
        ranked = sorted(one_id, key=rank)
        reported += ranked[1:]
        holders = set[str]()
        for fact in ranked:
            if not is_counted(fact):
                set_aside |= {fact.key} if owner(fact) in holders else set()
                holders.add(owner(fact))
    return SharedIds(frozenset(set_aside), tuple(reported))
