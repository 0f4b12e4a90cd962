"""Defines the steps of a fake's state machine. Pure.

A machine is a set of total functions: (account, request, plan, ids, time) -> `AccountStep`. The
account is all that the fake keeps of one idempotency key; the plan is how the fake treats it,
chosen by the request's content. A shell loads the account, calls the machine, stores the step's
account, starts its timers, sends its webhooks and hands out its answer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

A = TypeVar("A")


class LedgerRecord(Protocol):
    """A row of a fake's ledger."""

    @property
    def saga(self) -> str:
        """Return the id of the saga that the record is about."""
        ...

    def view(self) -> dict[str, Any]:
        """Return the record as the API and webhooks show it."""
        ...


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """Refuses a request; served as `{"error": {"code", "message"}}` with `status`."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Timer:
    """Asks for the machine's `timer_due(kind, subject)` in `after_s` seconds."""

    after_s: float
    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """Reports a record to whoever takes the fake's webhooks."""

    event_type: str
    about: LedgerRecord


@dataclass(frozen=True, slots=True)
class AccountStep(Generic[A]):
    """The result of a request or a timer.

    `answer`: None for a timer. `answer_after_s`: its delay. `answer_lost`: the connection is
    dropped instead. `webhook_first`: the answer waits until the last webhook was taken.
    """

    account: A
    answer: LedgerRecord | ErrorAnswer | None = None
    timers: tuple[Timer, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    answer_after_s: float = 0.0
    answer_lost: bool = False
    webhook_first: bool = False


def key_reused(key: str, known: Any, **asked: object) -> ErrorAnswer | None:
    """Return the refusal of a known key that comes with other content, None if it is the same."""
    other = [name for name, value in asked.items() if getattr(known, name) != value]
    if not other:
        return None
    message = (
        f"Idempotency-Key {key!r} was first used with another {', '.join(other)};"
        " send the first content again or use a new key"
    )
    return ErrorAnswer(409, "idempotency_key_reuse", message)


def planned_failure(failed: int, of: float) -> ErrorAnswer | None:
    """Return the failure of a call when fewer than `of` calls have failed, None afterwards."""
    if failed >= of:
        return None
    return ErrorAnswer(500, "internal_error", f"call {failed + 1} of {of:g} that fail; ask again")


def parse_directive(text: str, known: Mapping[str, bool]) -> tuple[str, float]:
    """Split `name` or `name:<number>`; `known` maps each valid name to whether it takes a number.

    Raises ValueError for an unknown name and for a number that is missing, negative or not finite.
    """
    name, colon, number = text.partition(":")
    if name not in known:
        raise ValueError(f"{text!r} is not one of {', '.join(known)}")
    if known[name] != bool(colon):
        raise ValueError(f"{text!r}: {name} takes {'a' if known[name] else 'no'} number after ':'")
    try:
        value = float(number or 0)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{text!r}: {number!r} must be a number of 0 or more")
    return name, value
