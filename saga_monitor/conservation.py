"""Conservation: what was taken for an order is what it costs, or has gone back. Pure.

| the order | has to hold |
|---|---|
| completed | what one capture took: not nothing, not two of them, not a part |
| cancelled | nothing; `reading` calls no order cancelled before that |
| whatever it is | not less than nothing: never more goes back than was taken |

Money that moves takes a while to come to rest: a late capture is refunded by payment itself. So an
imbalance is one only after the deadline of the step that moves money, from the last movement on.
"""

from collections.abc import Collection
from datetime import timedelta

from saga_monitor.fold import Ledger, Saga, charges, emission_id
from saga_monitor.plan import Plan
from saga_monitor.view import CONSERVATION, Imbalance, Status


def imbalance(saga: Saga, plan: Plan, seen: Ledger, status: Status) -> Imbalance | None:
    """What does not add up, and when that is to be said; None where all is well, or a case was
    opened about these very amounts."""
    at_rest = seen.held_minor >= 0 and status != Status.COMPLETED
    if at_rest or not plan.payees:
        return None
    reason = _reason(seen, status, charges(saga.facts.values(), plan.flow).values())
    if reason is None:
        return None
    amounts = f"{seen.captured_minor}:{seen.refunded_minor}"
    id_ = emission_id(saga.order_id, CONSERVATION, amounts)
    if str(id_) in saga.facts:
        return None
    money = [f for f in saga.facts.values() if f.type in {*plan.flow.captured, *plan.flow.refunded}]
    last = max(money or saga.facts.values(), key=lambda f: (f.at, f.id))
    rest_s = max(step.deadline_s for step in plan.steps if step.name in plan.payees)
    return Imbalance(id_, last.id, last.at + timedelta(seconds=rest_s), reason)


def _reason(seen: Ledger, status: Status, captures: Collection[int]) -> str | None:
    moved = f"captured {seen.captured_minor}, refunded {seen.refunded_minor}"
    moved += f" {seen.currency or 'in minor units'}"
    if seen.held_minor < 0:
        return f"{moved}: more went back than was taken"
    if status == Status.COMPLETED and seen.held_minor not in captures:
        return f"{moved}: the order is completed and holds {seen.held_minor}, which no capture took"
    return None
