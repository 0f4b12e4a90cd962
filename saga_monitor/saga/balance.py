"""Check conservation: the money and units a saga holds must match its outcome. Pure.

| the saga | has to hold, of money | of units |
|---|---|---|
| completed | the amount of one capture: not zero, not two, not a part | none: all are shipped |
| cancelled | none; `interpreter` calls no saga cancelled before that | none: all are put back |
| any status | not less than zero: never more goes back than was taken | the same |

Movements take time: payment itself refunds a late capture, and stock ships when inventory hears of
the pickup. Money that does not add up is an imbalance only after the deadline of the step that
moves it, counted from the last movement. Nobody waits for the last movement of units, so they count
after the longest step deadline, from the saga's end or the last movement.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

from saga_monitor.saga.facts import Fact, MoneyLedger, Saga, UnitTotals, charges, emission_id, stock
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.view import CONSERVATION, ENDED, UNITS_LOST, Imbalance, Status


def imbalances(saga: Saga, plan: Plan, seen: MoneyLedger, status: Status) -> tuple[Imbalance, ...]:
    """Return each imbalance with the time when it is to be reported.

    The id of an imbalance derives from its amounts: once an intervention with that id was opened,
    the imbalance is left out.
    """
    found = (_of_money(saga, plan, seen, status), _of_units(saga, plan, status))
    return tuple(one for one in found if one is not None and str(one.id) not in saga.facts)


def _of_money(saga: Saga, plan: Plan, seen: MoneyLedger, status: Status) -> Imbalance | None:
    at_rest = seen.held_minor >= 0 and status != Status.COMPLETED
    if at_rest or not plan.payees:
        return None
    reason = _reason(seen, status, charges(saga.facts.values(), plan.flow).values())
    if reason is None:
        return None
    amounts = f"{seen.captured_minor}:{seen.refunded_minor}"
    id_ = emission_id(saga.order_id, CONSERVATION, amounts)
    money = [f for f in saga.facts.values() if f.type in {*plan.flow.captured, *plan.flow.refunded}]
    last = _last(money or saga.facts.values())
    return Imbalance(id_, last.id, last.at + _rest(plan, plan.payees), reason)


def _reason(seen: MoneyLedger, status: Status, captures: Collection[int]) -> str | None:
    moved = f"captured {seen.captured_minor}, refunded {seen.refunded_minor}"
    moved += f" {seen.currency or 'in minor units'}"
    if seen.held_minor < 0:
        return f"{moved}: more went back than was taken"
    if status == Status.COMPLETED and seen.held_minor not in captures:
        return f"{moved}: the order is completed and holds {seen.held_minor}, which no capture took"
    return None


def _of_units(saga: Saga, plan: Plan, status: Status) -> Imbalance | None:
    if not plan.keepers:
        return None
    seen = stock(saga.facts.values(), plan.flow)
    reason = _units_reason(seen, status) if seen else None
    if seen is None or reason is None:
        return None
    words = {step.done for step in plan.steps}.union(plan.endings, plan.flow.units.paths)
    last = _last(f for f in saga.facts.values() if f.type in words)
    moved = (sorted(units.items()) for units in (seen.reserved, seen.released, seen.shipped))
    id_ = emission_id(saga.order_id, UNITS_LOST, str(list(moved)))
    rest_s = max(step.deadline_s for step in plan.steps)
    due = last.at + timedelta(seconds=rest_s)
    return Imbalance(id_, last.id, due, reason, UNITS_LOST)


def _units_reason(seen: UnitTotals, status: Status) -> str | None:
    left = seen.left
    if any(units < 0 for units in left.values()):
        return f"{_told(seen)}: more was put back or shipped than was set aside"
    if status in ENDED and left:
        return f"{_told(seen)}: the order is {status} and {_units(left)} are still set aside"
    if status == Status.CANCELLED and any(seen.shipped.values()):
        return f"{_told(seen)}: the order is cancelled and {_units(seen.shipped)} are shipped"
    return None


def _told(seen: UnitTotals) -> str:
    moves = {"reserved": seen.reserved, "released": seen.released, "shipped": seen.shipped}
    return ", ".join(f"{move} {_units(units)}" for move, units in moves.items())


def _units(units: Mapping[str, int]) -> str:
    """Format the first five kinds only, so that a reason stays readable."""
    named = [f"{n} {kind}" for kind, n in sorted(units.items()) if n]
    more = f" and {len(named) - 5} kinds more" if len(named) > 5 else ""
    return " + ".join(named[:5]) + more if named else "none"


def _last(facts: Iterable[Fact]) -> Fact:
    return max(facts, key=lambda f: (f.at, f.id))


def _rest(plan: Plan, names: Collection[str]) -> timedelta:
    return timedelta(seconds=max(step.deadline_s for step in plan.steps if step.name in names))
