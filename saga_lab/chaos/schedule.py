"""Which fault on what, and when: the same seed, the same schedule. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from saga_lab.chaos.fault import Fault, Kind

T = TypeVar("T")
QUIET_FIRST_S, QUIET_LAST_S = 8.0, 20.0
"""Some orders go through before the first fault, and some are placed after the last."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and its moment, `at_s` seconds after the load began; healed `lasts_s` later."""

    number: int
    at_s: float
    kind: Kind
    target: str
    lasts_s: float

    @property
    def fault(self) -> Fault:
        """The fault itself."""
        return self.kind.make(self.target)


def schedule(seed: int, faults: int, lasts_s: float, kinds: Sequence[Kind]) -> list[Planned]:
    """`faults` of them at random moments of a gameday of `lasts_s` seconds, in their order.

    Every kind comes once before any comes again, and every target of a kind likewise.
    """
    chance = random.Random(f"gameday/{seed}")
    span_s = max(0.0, lasts_s - QUIET_FIRST_S - QUIET_LAST_S)
    moments = sorted(QUIET_FIRST_S + chance.random() * span_s for _ in range(faults))
    deck = _dealt(kinds, chance)
    targets = {kind.name: _dealt(kind.targets, chance) for kind in kinds}
    return [
        _planned(number, at_s, next(deck), targets, chance) for number, at_s in enumerate(moments)
    ]


def _planned(
    number: int,
    at_s: float,
    kind: Kind,
    targets: dict[str, Iterator[str]],
    chance: random.Random,
) -> Planned:
    return Planned(
        number,
        round(at_s, 1),
        kind,
        next(targets[kind.name]),
        round(chance.uniform(*kind.lasts_s), 1),
    )


def _dealt(cards: Sequence[T], chance: random.Random) -> Iterator[T]:
    """Shuffled and dealt, round after round."""
    while True:
        yield from chance.sample(cards, len(cards))
