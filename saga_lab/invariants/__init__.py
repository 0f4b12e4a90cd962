"""Checks the invariants of every saga from outside, and those that the application adds.

    findings = check(stack_json)      # the content of .saga/stack.json

The evidence is visible to any outsider: every record of every topic from the first on, and the
tables of participants and monitor, read only. Each invariant but 6 is one pure function of that
evidence:

| invariant | where |
|---|---|
| 1 every saga has exactly one end | `sagas.one_end` |
| 2 every balance is what the flow says for the end | `balances.conserved` |
| 2 to 4 the application's own ledgers | its `OwnInvariants`, see `interface` |
| 5 nothing lost or reordered between outbox and topic | `log.nothing_lost` |
| 6 databases rebuilt from the topics are the same | `rebuild.same_rows` |
| 7 nothing undone past the pivot, nothing healthy undone | `sagas.nothing_healthy_undone` |
| 8 each saga on its own version of the flow | `versions.own_version` |
"""

from collections.abc import Callable
from functools import partial

from saga_lab.invariants.balances import conserved
from saga_lab.invariants.evidence import Evidence
from saga_lab.invariants.finding import Finding
from saga_lab.invariants.gather import application_of, gather, wait_until_idle
from saga_lab.invariants.interface import OwnInvariants, Stack, own_invariants
from saga_lab.invariants.log import nothing_lost
from saga_lab.invariants.rebuild import same_rows
from saga_lab.invariants.sagas import nothing_healthy_undone, one_end
from saga_lab.invariants.versions import own_version

__all__ = [
    "Evidence",
    "Finding",
    "OwnInvariants",
    "check",
    "checks_of",
    "gather",
    "wait_until_idle",
]


def checks_of(stack: Stack, evidence: Evidence) -> list[Callable[[], Finding]]:
    """Return every check of a stack, in the order in which they run; the last takes longest."""
    own = own_invariants(application_of(stack))
    pure = (one_end, conserved, *own.checks, nothing_lost, own_version)
    return [
        *(partial(judge, evidence) for judge in pure),
        partial(nothing_healthy_undone, evidence, own.undone_past_pivot),
        partial(same_rows, stack),
    ]


def check(stack: Stack, *, standstill_s: float = 90.0) -> list[Finding]:
    """Check every invariant of a running stack, given the content of its `stack.json`.

    Waits until nothing is in flight, or until that has not changed for `standstill_s` seconds.
    Rows then left in an outbox or among the effects violate invariant 5.
    """
    wait_until_idle(stack, standstill_s)
    found = [judge() for judge in checks_of(stack, gather(stack))]
    return sorted(found, key=lambda finding: finding.number)
