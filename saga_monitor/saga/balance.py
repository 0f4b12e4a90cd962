"""Sum a saga's balances and check conservation: what it holds must match its outcome. Pure.

The flow file declares balances and what a completed and a cancelled saga must hold of each. In any
status, no more may be removed than was added.

Movements take time, so a balance that contradicts the outcome becomes an imbalance only when it has
not moved for a while: for the deadline of its step, counted from its last movement, and from the
saga's end at the earliest where that is what the balance contradicts. No step waits for the last
movement of a balance without one, so that is given the longest deadline of the flow version.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from saga_monitor.saga.facts import Fact, Saga, emission_id
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interventions import OPENED
from saga_monitor.saga.view import CONSERVATION, Imbalance, KindBalance, Status
from sagakit.flow.balance_totals import BalanceTotals, sum_up
from sagakit.flow.balances import ANY, Balance, Movement
from sagakit.flow.model import Flow

LISTED = "listed"
"""Key in a fact's detail: `Balance.list_key` -> the amounts in that list of the event, by kind."""
FactsByType = Mapping[str, Sequence[Fact]]


@dataclass(frozen=True, slots=True)
class SagaBalances:
    """The totals of a saga's balances, by name; `kept`: those of which a rest is never given back.

    A balance is left out if one of its events was stored without the list that it moves.
    """

    totals: Mapping[str, BalanceTotals] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()

    @classmethod
    def of(cls, facts: FactsByType, flow: Flow) -> "SagaBalances":
        """Sum the facts, which are given by type, for every balance of the flow."""
        found = ((one.name, _movements(facts, one)) for one in flow.balances)
        totals = {name: sum_up(moved) for name, moved in found if moved is not None}
        return cls(totals, frozenset(b.name for b in flow.balances if _is_kept(facts, b)))

    def is_emptied(self, name: str) -> bool:
        """Return True if nothing is held in a balance, or what is held stays for good."""
        totals = self.totals.get(name)
        return totals is None or totals.is_zero or name in self.kept

    @property
    def rows(self) -> tuple[KindBalance, ...]:
        """Return what was added and removed, for each balance and kind."""
        return tuple(
            KindBalance(name, total.kind, total.added, total.removed)
            for name, totals in self.totals.items()
            for total in totals.kinds
        )


def imbalances(
    saga: Saga, plan: Plan, facts: FactsByType, balances: SagaBalances, status: Status
) -> tuple[Imbalance, ...]:
    """Return each imbalance with the time when it is to be reported.

    facts: those of the saga by type. The id of an imbalance derives from its amounts. It is left
    out once an intervention was opened under that id.
    """
    found = _imbalances(saga, plan, facts, balances, status)
    return tuple(one for one in found if saga.find(one.id, OPENED) is None)


def _imbalances(
    saga: Saga, plan: Plan, facts: FactsByType, balances: SagaBalances, status: Status
) -> Iterator[Imbalance]:
    for balance in plan.balances:
        totals = balances.totals.get(balance.name)
        problem = totals.problem(balance.rule(status), status) if totals else None
        if totals is None or problem is None:
            continue
        amounts = [(total.kind, total.added, total.removed) for total in totals.kinds]
        id_ = emission_id(saga.key, CONSERVATION, f"{balance.name}:{amounts}")
        last = _last(saga, plan, facts, balance, status)
        due = last.at + _patience(plan, balance)
        yield Imbalance(id_, last.id, due, f"{balance.name}: {problem}")


def _is_kept(facts: FactsByType, balance: Balance) -> bool:
    return any(
        fact.detail.get(name)
        for type_, name in balance.kept.items()
        for fact in facts.get(type_, ())
    )


def _last(saga: Saga, plan: Plan, facts: FactsByType, balance: Balance, status: Status) -> Fact:
    """Return the fact from which the time for further movements counts."""
    types = set(balance.paths)
    if balance.step is None or balance.rule(status) != ANY:
        types |= plan.endings.union(step.done for step in plan.steps)
    found = [fact for type_ in types for fact in facts.get(type_, ())]
    return max(found or saga.facts.values(), key=lambda f: (f.at, f.id))


def _patience(plan: Plan, balance: Balance) -> timedelta:
    named = (step.deadline_s for step in plan.steps if balance.step in (None, step.name))
    return timedelta(seconds=max(named))


def _movements(facts: FactsByType, balance: Balance) -> list[Movement] | None:
    """Return the movements of a balance; None if a fact was stored without its list."""
    found: list[Movement] = []
    if balance.paths.keys().isdisjoint(facts):
        return found
    for type_, path in balance.paths.items():
        for fact in facts.get(type_, ()):
            listed = fact.detail.get(LISTED, {}).get(balance.list_key(path)) if path else None
            if path and listed is None:
                return None
            found += balance.movements(type_, fact.id, fact.detail, listed)
    return found
