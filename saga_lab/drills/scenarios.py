"""The table of scenarios of a drill."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

from saga_lab.application import Application
from saga_lab.chaos.fault import FaultKind
from saga_lab.chaos.schedule import PlannedFault
from saga_lab.devstack.topics import republishers
from saga_lab.drills.clocks_apart import ClockAnHourAhead, ClockAnHourBehind, participants
from saga_lab.drills.disasters import Disaster, LostDatabase, OldBackup, Recoveries
from saga_lab.drills.older_records import OlderRecords, evolved
from saga_lab.drills.poisoned_topic import PoisonedTopic, read_owners
from saga_lab.drills.region_loss import LostRegion, everything
from saga_lab.drills.registry_loss import LostRegistry
from saga_lab.drills.topic_loss import (
    CompactedTopic,
    DeletedTopic,
    LostPartitions,
    LostTail,
    TruncatedTopic,
    read_republishers,
)

STRIKES_AFTER = 1 / 3
"""The share of the traffic that runs before the disaster."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A disaster that a drill rehearses.

    targets: whom it may strike in an application; registry: whether the stack needs one.
    """

    name: str
    about: str
    loss: Callable[[str, Recoveries], Disaster]
    targets: Callable[[Application], tuple[str, ...]] = attrgetter("databases")
    registry: bool = False


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "lost-database",
            "The database is dropped. It is rebuilt from the topics.",
            LostDatabase,
        ),
        Scenario(
            "old-backup",
            "The database is dropped. A backup that is older than the offsets is restored, and "
            "brought up to date from the topics.",
            OldBackup,
        ),
        Scenario(
            "topic-recreated",
            "The topic is deleted. It is created again and republished from the outbox.",
            DeletedTopic,
            republishers,
        ),
        Scenario(
            "lost-topic-tail",
            "The broker loses its last writes to the topic. It is created again and republished.",
            LostTail,
            read_republishers,
        ),
        Scenario(
            "lost-partitions",
            "A disk with half of the topic's partitions is lost. It is created again and "
            "republished.",
            LostPartitions,
            read_republishers,
        ),
        Scenario(
            "truncated-topic",
            "Retention removes what a participant has not read. The topic is created again and "
            "republished.",
            TruncatedTopic,
            read_republishers,
        ),
        Scenario(
            "compacted-topic",
            "The topic is set to compaction. The policy is set back, and the topic created again "
            "and republished.",
            CompactedTopic,
            republishers,
        ),
        Scenario(
            "poisoned-topic",
            "Records that nobody can read are published in the middle of sagas. A person discards "
            "them.",
            PoisonedTopic,
            read_owners,
        ),
        Scenario(
            "clock-ahead",
            "A participant's clock is an hour ahead, and is set right.",
            ClockAnHourAhead,
            participants,
        ),
        Scenario(
            "clock-behind",
            "A participant's clock is an hour behind, and is set right.",
            ClockAnHourBehind,
            participants,
        ),
        Scenario(
            "older-records",
            "The database is dropped, and its topic holds what an older release wrote. It is "
            "rebuilt with today's code.",
            OlderRecords,
            evolved,
        ),
        Scenario(
            "lost-registry",
            "The schema registry loses its schemas. The processes register them again.",
            LostRegistry,
            everything,
            registry=True,
        ),
        Scenario(
            "region",
            "All topics and databases are lost. The topics are filled from an archive, and the "
            "databases rebuilt from them.",
            LostRegion,
            everything,
        ),
    )
}


def plan_of(
    scenario: Scenario, targets: tuple[str, ...], recoveries: Recoveries, lasts_s: float
) -> list[PlannedFault]:
    """Return the losses of all targets, due at once after a third of the traffic."""
    kind = FaultKind(
        scenario.name, scenario.about, lambda target: scenario.loss(target, recoveries), targets
    )
    return [
        PlannedFault(number, round(lasts_s * STRIKES_AFTER, 1), kind, target, 0.0)
        for number, target in enumerate(targets)
    ]
