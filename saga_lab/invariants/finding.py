"""What a check found."""

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant of design section 10 held against the evidence.

    `checked_against`: what was looked at, with counts. `violations`: the first 20, each naming the
    order (or SKU, or service) and what is wrong; `found`: how many there are in all.
    """

    number: int
    title: str
    checked_against: str
    violations: tuple[str, ...] = ()
    found: int = 0

    @property
    def holds(self) -> bool:
        """Nothing contradicts it."""
        return not self.found


def judged(number: int, title: str, checked_against: str, violations: Iterable[str]) -> Finding:
    """A finding from all violations there are."""
    told = list(violations)
    return Finding(number, title, checked_against, tuple(told[:SHOWN]), len(told))
