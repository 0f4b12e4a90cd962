"""Draws faults, targets and times from a seed. The same seed gives the same schedule. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from saga_lab.chaos.fault import Fault, FaultKind

T = TypeVar("T")
QUIET_FIRST_S, QUIET_LAST_S = 8.0, 20.0
"""Seconds without faults, so that sagas run before the first fault and after the last."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault due `at_s` seconds after the load began, and healed `lasts_s` seconds later."""

    number: int
    at_s: float
    kind: FaultKind
    target: str
    lasts_s: float

    @property
    def fault(self) -> Fault:
        """The fault, as its kind makes it for the target."""
        return self.kind.make(self.target)


def schedule(
    seed: int, faults: int, lasts_s: float, kinds: Sequence[FaultKind]
) -> list[PlannedFault]:
    """Draw `faults` faults at random times within `lasts_s` seconds, sorted by time.

    Every kind is drawn once before any is drawn again, and so is every target of a kind.
    """
    chance = random.Random(f"chaos/{seed}")
    span_s = max(0.0, lasts_s - QUIET_FIRST_S - QUIET_LAST_S)
    moments = sorted(QUIET_FIRST_S + chance.random() * span_s for _ in range(faults))
    deck = _shuffled_rounds(kinds, chance)
    targets = {kind.name: _shuffled_rounds(kind.targets, chance) for kind in kinds}
    return [
        _planned(number, at_s, next(deck), targets, chance) for number, at_s in enumerate(moments)
    ]


def _planned(
    number: int,
    at_s: float,
    kind: FaultKind,
    targets: dict[str, Iterator[str]],
    chance: random.Random,
) -> PlannedFault:
    return PlannedFault(
        number,
        round(at_s, 1),
        kind,
        next(targets[kind.name]),
        round(chance.uniform(*kind.lasts_s), 1),
    )


def _shuffled_rounds(kinds: Sequence[T], chance: random.Random) -> Iterator[T]:
    """Yield the items in random order without end, each once per round."""
    while True:
        yield from chance.sample(kinds, len(kinds))
