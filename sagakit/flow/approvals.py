"""Declares who is asked while a step waits for a person. Pure.

A role is asked first, then reminded; after that a senior role is asked:

    [steps.<step>.asks.<event>]
    role = "reviewer"
    remind = "8h"
    senior = "lead"
    escalate = "16h"

Both durations count from the event that asks. No answer within the event's wait is a rejection.
"""

from dataclasses import dataclass, replace
from typing import Any

from sagakit.flow.toml_values import duration, name_of, reject_unknown_keys, table

_KEYS = {"role", "remind", "senior", "escalate"}


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Names the roles to ask and when.

    `role` is asked at once and reminded after `remind_s` seconds; `senior` is asked after
    `escalate_s` seconds.
    """

    role: str
    remind_s: float
    senior: str
    escalate_s: float

    def scale(self, factor: float) -> "ApprovalRule":
        """Return the same request with both durations multiplied by `factor`."""
        remind_s, escalate_s = self.remind_s * factor, self.escalate_s * factor
        return replace(self, remind_s=remind_s, escalate_s=escalate_s)


def read_approval_rule(where: str, value: Any) -> ApprovalRule:
    """Parse an `asks` table of the flow file. Raises ValueError."""
    raw = table(where, value)
    reject_unknown_keys(where, raw, _KEYS)
    for key in sorted(_KEYS - raw.keys()):
        raise ValueError(f"{where}: the key {key!r} is missing; add it")
    return ApprovalRule(
        role=name_of(f"{where}: role", raw["role"]),
        remind_s=duration(f"{where}: remind", raw["remind"]),
        senior=name_of(f"{where}: senior", raw["senior"]),
        escalate_s=duration(f"{where}: escalate", raw["escalate"]),
    )


def ask_problem(event: str, asked: ApprovalRule, wait_s: float | None) -> str | None:
    """Return what is wrong with an `asks` table, or None.

    `wait_s`: seconds that the step waits on `event`; None if it does not wait on it.
    """
    if wait_s is None:
        return (
            f"asks.{event}: the step does not wait for {event}; "
            f'add a wait, such as waits = {{ {event} = "24h" }}'
        )
    if not 0 < asked.remind_s < asked.escalate_s < wait_s:
        return (
            f"asks.{event}: remind ({asked.remind_s:g} s), escalate ({asked.escalate_s:g} s) and "
            f"the wait ({wait_s:g} s) must increase; make each longer than the one before"
        )
    return None
