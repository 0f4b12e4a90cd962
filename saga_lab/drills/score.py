"""Scores a drill: 100 points, less what each kind of damage costs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saga_lab.invariants import Finding

FULL = 100
LEDGERS, LOST, OTHER = (2, 3, 4), (5,), (1, 7, 8, 9)
"""Numbers of invariants: the outside's own ledgers, events, and how sagas end."""
COSTS: Mapping[str, int] = {
    "asked of the outside twice, or not conserved": 60,
    "events lost": 40,
    "sagas that did not end as they should": 40,
    "rows that differ from the topics": 30,
    "not finished": 30,
    "not recoverable": 10,
}
"""The points that each kind of damage costs, however often it was found."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Points that a kind of damage costs, with what was found; at least one text."""

    kind: str
    points: int
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Points out of 100, and what cost the others."""

    points: int
    losses: tuple[Loss, ...] = ()


def score_of(
    findings: Sequence[Finding],
    unexplained_ends: Sequence[str],
    errors: Sequence[str],
    not_recovered: Sequence[str],
) -> Score:
    """Score a drill. errors: faults that could not be healed, and work left at the end."""
    damage = {
        "asked of the outside twice, or not conserved": _texts(findings, LEDGERS),
        "events lost": _texts(findings, LOST),
        "sagas that did not end as they should": [*_texts(findings, OTHER), *unexplained_ends],
        "rows that differ from the topics": _texts(findings, (6,)),
        "not finished": list(errors),
        "not recoverable": list(not_recovered),
    }
    losses = tuple(Loss(kind, COSTS[kind], tuple(found)) for kind, found in damage.items() if found)
    return Score(max(FULL - sum(loss.points for loss in losses), 0), losses)


def _texts(findings: Sequence[Finding], numbers: tuple[int, ...]) -> list[str]:
    found = [f for f in findings if f.number in numbers and not f.holds]
    return [
        text
        for finding in found
        for text in (
            *(f"{finding.title}: {violation}" for violation in finding.violations),
            *_rest(finding),
        )
    ]


def _rest(finding: Finding) -> list[str]:
    more = finding.found - len(finding.violations)
    return [f"{finding.title}: and {more} more"] if more else []
