"""Who is asked where a step waits for a person: one role at first, once more, then a senior. Pure.

    [steps.<step>.asks.<event>]
    role = "reviewer"
    remind = "8h"
    senior = "lead"
    escalate = "16h"

Both durations count from the event that asks; when its wait is over, silence is a no.
"""

from dataclasses import dataclass, replace
from typing import Any

from sagakit.flow.toml_values import duration, only, table, word

_KEYS = {"role", "remind", "senior", "escalate"}


@dataclass(frozen=True, slots=True)
class Ask:
    """`role` is asked, and reminded after `remind_s`; after `escalate_s` it is `senior`."""

    role: str
    remind_s: float
    senior: str
    escalate_s: float

    def scaled(self, factor: float) -> "Ask":
        """The same in a wait that is `factor` times as long."""
        remind_s, escalate_s = self.remind_s * factor, self.escalate_s * factor
        return replace(self, remind_s=remind_s, escalate_s=escalate_s)


def ask(where: str, value: Any) -> Ask:
    """From its table in the flow file. Raises ValueError."""
    raw = table(where, value)
    only(where, raw, _KEYS)
    for key in sorted(_KEYS - raw.keys()):
        raise ValueError(f"{where}: the key {key!r} is missing; add it")
    return Ask(
        role=word(f"{where}: role", raw["role"]),
        remind_s=duration(f"{where}: remind", raw["remind"]),
        senior=word(f"{where}: senior", raw["senior"]),
        escalate_s=duration(f"{where}: escalate", raw["escalate"]),
    )


def why_not(event: str, asked: Ask, wait_s: float | None) -> str | None:
    """What is wrong with asking at `event`, on which the step waits for `wait_s`, if at all."""
    if wait_s is None:
        return (
            f"asks names {event}, for which it does not wait; "
            f'say for how long, as in waits = {{ {event} = "24h" }}'
        )
    if not 0 < asked.remind_s < asked.escalate_s < wait_s:
        return (
            f"asks {event}: remind ({asked.remind_s:g} s), escalate ({asked.escalate_s:g} s) and "
            f"the wait ({wait_s:g} s) must follow each other; make each longer than the one before"
        )
    return None
