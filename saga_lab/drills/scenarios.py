"""The table of scenarios of a drill."""

from collections.abc import Callable
from dataclasses import dataclass

from saga_lab.chaos.fault import FaultKind
from saga_lab.chaos.schedule import PlannedFault
from saga_lab.drills.disasters import DatabaseLoss, LostDatabase, OldBackup, Recoveries

STRIKES_AFTER = 1 / 3
"""The share of the traffic that runs before the disaster."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A disaster that a drill rehearses."""

    name: str
    about: str
    loss: Callable[[str, Recoveries], DatabaseLoss]


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
