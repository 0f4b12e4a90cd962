"""Check conservation: the money and units a saga holds must match its outcome. Pure.

| the saga | money it must hold | units it must hold |
|---|---|---|
| completed | the amount of exactly one capture | none: all are shipped |
| cancelled | none; `interpreter` calls no saga cancelled before that | none: all are released |
| in any status | not less than zero: no more is refunded than was captured | not less than zero |

Movements take time: payment itself refunds a late capture, and units are shipped when inventory
reads of the pickup. So money that does not add up becomes an imbalance only after the deadline of
the step that moves it, counted from the last movement. No step waits for the last movement of
units, so those count after the longest step deadline, from the saga's end or the last movement.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

from saga_monitor.saga.facts import (
    Fact,
    MoneyLedger,
    Saga,
    UnitTotals,
    charges,
    emission_id,
    unit_totals,
)
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.view import CONSERVATION, ENDED, UNITS_LOST, Imbalance, Status


def imbalances(
    saga: Saga, plan: Plan, ledger: MoneyLedger, status: Status
) -> tuple[Imbalance, ...]:
    """Return each imbalance with the time when it is to be reported.

    The id of an imbalance derives from its amounts. It is left out once an intervention was opened
    under that id.
    """
    found = (_money_imbalance(saga, plan, ledger, status), _unit_imbalance(saga, plan, status))
    return tuple(one for one in found if one is not None and str(one.id) not in saga.facts)


def _money_imbalance(
    saga: Saga, plan: Plan, ledger: MoneyLedger, status: Status
) -> Imbalance | None:
    may_change = ledger.held_minor >= 0 and status != Status.COMPLETED
    if may_change or not plan.money_steps:
        return None
    reason = _money_reason(ledger, status, charges(saga.facts.values(), plan.flow).values())
    if reason is None:
        return None
    amounts = f"{ledger.captured_minor}:{ledger.refunded_minor}"
    id_ = emission_id(saga.key, CONSERVATION, amounts)
    money = [f for f in saga.facts.values() if f.type in {*plan.flow.captured, *plan.flow.refunded}]
    last = _newest(money or saga.facts.values())
    deadlines_s = (step.deadline_s for step in plan.steps if step.name in plan.money_steps)
    due = last.at + _longest_deadline(deadlines_s)
    return Imbalance(id_, last.id, due, reason)


def _money_reason(ledger: MoneyLedger, status: Status, captures: Collection[int]) -> str | None:
    amounts = f"captured {ledger.captured_minor}, refunded {ledger.refunded_minor}"
    amounts += f" {ledger.currency or 'in minor units'}"
    if ledger.held_minor < 0:
        return f"{amounts}: more was refunded than captured"
    if status == Status.COMPLETED and ledger.held_minor not in captures:
        return f"{amounts}: the completed order holds {ledger.held_minor}, the amount of no capture"
    return None


def _unit_imbalance(saga: Saga, plan: Plan, status: Status) -> Imbalance | None:
    if not plan.unit_steps:
        return None
    totals = unit_totals(saga.facts.values(), plan.flow)
    reason = _unit_reason(totals, status) if totals else None
    if totals is None or reason is None:
        return None
    types = {step.done for step in plan.steps}.union(plan.endings, plan.flow.units.paths)
    last = _newest(f for f in saga.facts.values() if f.type in types)
    moved = (sorted(units.items()) for units in (totals.reserved, totals.released, totals.shipped))
    id_ = emission_id(saga.key, UNITS_LOST, str(list(moved)))
    due = last.at + _longest_deadline(step.deadline_s for step in plan.steps)
    return Imbalance(id_, last.id, due, reason, UNITS_LOST)


def _unit_reason(totals: UnitTotals, status: Status) -> str | None:
    left = totals.left
    if any(units < 0 for units in left.values()):
        return f"{_totals_text(totals)}: more was released or shipped than reserved"
    if status in ENDED and left:
        reserved = _units_text(left)
        return f"{_totals_text(totals)}: the order is {status} and {reserved} are still reserved"
    if status == Status.CANCELLED and any(totals.shipped.values()):
        shipped = _units_text(totals.shipped)
        return f"{_totals_text(totals)}: the order is cancelled and {shipped} are shipped"
    return None


def _totals_text(totals: UnitTotals) -> str:
    moves = {"reserved": totals.reserved, "released": totals.released, "shipped": totals.shipped}
    return ", ".join(f"{move} {_units_text(units)}" for move, units in moves.items())


def _units_text(units: Mapping[str, int]) -> str:
    """Format the first five kinds only, so that a reason stays readable."""
    named = [f"{n} {kind}" for kind, n in sorted(units.items()) if n]
    more = f" and {len(named) - 5} kinds more" if len(named) > 5 else ""
    return " + ".join(named[:5]) + more if named else "none"


def _newest(facts: Iterable[Fact]) -> Fact:
    return max(facts, key=lambda f: (f.at, f.id))


def _longest_deadline(deadlines_s: Iterable[float]) -> timedelta:
    return timedelta(seconds=max(deadlines_s))
