"""Derive who is asked for a verdict on a waiting step, and the monitor's next event. Pure.

| after | the monitor emits | actor |
|---|---|---|
| `remind` | VerdictRequested, code `reminder` | |
| `escalate` | VerdictRequested, code `escalation`, to the senior role | |
| the wait | VerdictGiven, `reject` | `system_timeout` |

The timeout verdict has the default event id of a person's verdict on this wait. If both are
published, every reader accepts the first one in the log.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from saga_monitor.saga.facts import Saga, emission_id
from saga_monitor.saga.view import DEADLINE, ESCALATION, REMINDER, VERDICT, Approval, AwaitedStep
from sagakit.contract.platform import VerdictRequested
from sagakit.flow.approvals import ApprovalRule


def with_approval(
    saga: Saga,
    item: AwaitedStep,
    event: str,
    rule: ApprovalRule,
    due_after: Callable[[float], datetime | None],
) -> AwaitedStep:
    """Return `item` with the roles that are asked, and code and time of the next emission.

    due_after: seconds since the event that asks -> log time, None during a pause.
    """
    reminder, escalation = (
        saga.find(emission_id(saga.key, code, item.cause), VerdictRequested.type)
        for code in (REMINDER, ESCALATION)
    )
    reminded, escalated = (fact.at if fact else None for fact in (reminder, escalation))
    approval = Approval(event, rule.role, rule.senior, item.due, reminded, escalated)
    if item.code != DEADLINE:  # past the pivot the deadline opens an intervention instead
        return replace(item, approval=approval)
    if escalation:
        return replace(item, code=VERDICT, approval=approval)
    after_s, code = (rule.escalate_s, ESCALATION) if reminder else (rule.remind_s, REMINDER)
    return replace(item, due=due_after(after_s), code=code, approval=approval)
