"""Checks the eight invariants from outside (docs/explanation/reliability.md, What is checked).

    findings = check(stack_json)      # the content of .saga/stack.json

The evidence is visible to any outsider: the provider's, the carrier's and the mail server's own
ledgers over HTTP, every record of every topic from the first on, and the services' tables, read
only. Each invariant but 6 is one pure function of that evidence:

| invariant | where |
|---|---|
| 1 every order has exactly one end | `sagas.one_end` |
| 2 money | `ledgers.money` |
| 3 units of stock | `ledgers.units` |
| 4 one parcel, one mail of each kind | `ledgers.one_label_and_mail` |
| 5 nothing lost or reordered between outbox and topic | `log.nothing_lost` |
| 6 databases rebuilt from the topics are the same | `rebuild.same_rows` |
| 7 nothing undone past the pivot, nothing healthy undone | `sagas.nothing_healthy_undone` |
| 8 each order on its own version of the flow | `versions.own_version` |
"""

from collections.abc import Callable, Mapping
from typing import Any

from saga_lab.invariants.evidence import Evidence
from saga_lab.invariants.finding import Finding
from saga_lab.invariants.gather import gather, wait_until_idle
from saga_lab.invariants.ledgers import money, one_label_and_mail, units
from saga_lab.invariants.log import nothing_lost
from saga_lab.invariants.rebuild import same_rows
from saga_lab.invariants.sagas import nothing_healthy_undone, one_end
from saga_lab.invariants.versions import own_version

__all__ = ["CHECKS", "Evidence", "Finding", "check", "gather", "wait_until_idle"]

CHECKS: tuple[Callable[[Evidence], Finding], ...] = (
    one_end,
    money,
    units,
    one_label_and_mail,
    nothing_lost,
    nothing_healthy_undone,
    own_version,
)


def check(stack: Mapping[str, Any], *, standstill_s: float = 90.0) -> list[Finding]:
    """Check every invariant of a running stack, given the content of its `stack.json`.

    Waits until nothing is in flight, or until that has not changed for `standstill_s` seconds.
    Rows then left in an outbox or among the effects violate invariant 5.
    """
    wait_until_idle(stack, standstill_s)
    evidence = gather(stack)
    found = [*(judge(evidence) for judge in CHECKS), same_rows(stack)]
    return sorted(found, key=lambda finding: finding.number)
