"""Defines the result of a check."""

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Reports how one invariant of docs/explanation/reliability.md compares with the evidence.

    `checked_against`: the evidence looked at, with counts. `violations`: the first 20, each naming
    the saga (or what else it is about) and the error; `found`: the number of all violations.
    """

    number: int
    title: str
    checked_against: str
    violations: tuple[str, ...] = ()
    found: int = 0

    @property
    def holds(self) -> bool:
        """Return True when no violation was found."""
        return not self.found


def finding_of(number: int, title: str, checked_against: str, violations: Iterable[str]) -> Finding:
    """Build a finding from all violations; it lists the first SHOWN and counts all."""
    every = list(violations)
    return Finding(number, title, checked_against, tuple(every[:SHOWN]), len(every))
