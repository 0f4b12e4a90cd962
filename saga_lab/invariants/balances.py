"""Checks invariant 2 on the topics: every balance of a saga is what its flow declares. Pure."""

from collections import Counter
from collections.abc import Iterator

from saga_lab.invariants.evidence import Evidence, Logged
from saga_lab.invariants.finding import Finding, finding_of
from sagakit.flow.balance_totals import sum_up
from sagakit.flow.balances import Balance, Movement


def conserved(evidence: Evidence) -> Finding:
    """Check invariant 2: each saga holds of each balance what the flow says for its end.

    In no saga was more removed than added. The monitor has no part in it: sums are of the events in
    the log, and the end is that of the log.
    """
    counts = Counter(
        balance.name for saga in evidence.accepted for balance in evidence.plan_of(saga).balances
    )
    counted = ", ".join(f"{name} of {n}" for name, n in sorted(counts.items()))
    return finding_of(
        2,
        "Every balance is what the flow says for the saga's end",
        f"the events of {len(evidence.accepted)} sagas: {counted or 'no flow declares a balance'}",
        (f"{saga}: {wrong}" for saga in evidence.accepted for wrong in _imbalances(evidence, saga)),
    )


def _imbalances(evidence: Evidence, saga: str) -> Iterator[str]:
    end = evidence.end_of(saga)
    for balance in evidence.plan_of(saga).balances:
        events = evidence.events(saga, *balance.paths)
        totals = sum_up(movement for logged in events for movement in _movements(balance, logged))
        if problem := totals.problem(balance.rule(end), end):
            yield f"{balance.name}: {problem}"


def _movements(balance: Balance, logged: Logged) -> list[Movement]:
    event, fields = logged.event, (balance.amount, balance.kind, balance.ids.get(logged.type, ""))
    values = {name: getattr(event, name, None) for name in fields if name}
    return balance.movements(logged.type, str(logged.id), values, balance.listed(event))
