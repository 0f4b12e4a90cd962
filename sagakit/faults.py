"""Where a process can die, by name, and ways to make it die, repeat or reorder.

A fault injector is passed in where the points are; production passes `NO_FAULTS`.
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
"""In the order an event meets them; `after-call`: the outside world answered, nothing stored."""


class Crash(BaseException):
    """The process dies here: no handler of errors may catch it."""


def NO_FAULTS(point: str) -> None:
    """Nothing happens."""


class CrashAt:
    """Raises Crash at the n-th time a point is reached (1 is the first), once."""

    def __init__(self, point: str, nth: int = 1) -> None:
        if point not in POINTS:
            raise ValueError(f"{point!r} is no crash point; there are {', '.join(POINTS)}")
        self.point, self.left = point, nth

    def __call__(self, point: str) -> None:
        """Count down at our point."""
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                raise Crash(point)


def duplicated(items: Sequence[T], rng: random.Random, chance: float = 0.3) -> list[T]:
    """Some items twice, the repeat right behind or anywhere later."""
    out = list(items)
    for item in items:
        if rng.random() < chance:
            out.insert(rng.randint(out.index(item) + 1, len(out)), item)
    return out


def interleaved(queues: Sequence[Sequence[T]], rng: random.Random) -> list[T]:
    """One sequence of all queues' items that keeps each queue's own order, as a consumer of
    several partitions sees them."""
    left = [list(q) for q in queues if q]
    out: list[T] = []
    while left:
        queue = rng.choice(left)
        out.append(queue.pop(0))
        left = [q for q in left if q]
    return out
