"""Names the points at which tests make a process crash, and repeats records.

Code with such points takes a fault injector as a parameter; production passes `NO_FAULTS`.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Faults = Callable[[str], None]

POINTS = (
    "after-poll",
    "after-inbox",
    "before-commit",
    "after-commit",
    "after-call",
    "mid-relay",
)
"""Crash points in the order an event passes them.

`after-call`: the provider has answered and nothing is stored yet.
"""


class Crash(BaseException):
    """Simulates the death of the process.

    It is a BaseException, so that no error handler catches it.
    """


def NO_FAULTS(point: str) -> None:
    """Inject no fault."""


class CrashAt:
    """Raises Crash once, at the n-th time a point is reached (1 is the first)."""

    def __init__(self, point: str, nth: int = 1) -> None:
        if point not in POINTS:
            raise ValueError(f"{point!r} is no crash point; there are {', '.join(POINTS)}")
        self.point, self.left = point, nth

    def __call__(self, point: str) -> None:
        """Count down at the chosen point; raise Crash when the count reaches zero."""
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                raise Crash(point)


def duplicated(items: Sequence[T], rng: random.Random, chance: float = 0.3) -> list[T]:
    """Return the items with some of them repeated, directly behind or anywhere later."""
    out = list(items)
    for item in items:
        if rng.random() < chance:
            out.insert(rng.randint(out.index(item) + 1, len(out)), item)
    return out
