"""A wait for a person's verdict: who is asked by now, and what is said of it next. Pure.

| after | the monitor says | actor |
|---|---|---|
| `remind` | VerdictRequested, `reminder` | |
| `escalate` | VerdictRequested, `escalation`, to the senior role | |
| the wait | VerdictGiven, `reject` | `system_timeout` |

The last has the id that a person's verdict on this wait would have: of two that are said at once,
everybody who reads the log takes the one that stands there first.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from saga_monitor.saga.facts import Saga, emission_id
from saga_monitor.saga.view import DEADLINE, ESCALATION, REMINDER, VERDICT, Asked, Awaited
from sagakit.flow.approvals import Ask


def asked(
    saga: Saga, item: Awaited, event: str, ask: Ask, due_after: Callable[[float], datetime | None]
) -> Awaited:
    """What is awaited, with who is asked. due_after: seconds since the asking -> when."""
    reminder = saga.facts.get(str(emission_id(saga.order_id, REMINDER, item.cause)))
    escalation = saga.facts.get(str(emission_id(saga.order_id, ESCALATION, item.cause)))
    reminded, escalated = (fact.at if fact else None for fact in (reminder, escalation))
    who = Asked(event, ask.role, ask.senior, item.due, reminded, escalated)
    if item.code != DEADLINE:  # past the pivot: nothing is undone any more, a case is opened
        return replace(item, asked=who)
    if escalation:
        return replace(item, code=VERDICT, asked=who)
    after_s, code = (ask.escalate_s, ESCALATION) if reminder else (ask.remind_s, REMINDER)
    return replace(item, due=due_after(after_s), code=code, asked=who)
