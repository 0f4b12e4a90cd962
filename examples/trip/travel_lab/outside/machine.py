"""Defines a supplier: what becomes of a booking. Pure.

    (book) --> open --capture--> captured --cancel--> refunded
      |          +--cancel--> void
      |          +--time--> expired
      +--> refused

A supplier that is paid at once captures when it books. A booking that is cancelled before it is
made is void: the call that comes later gets this answer and makes nothing.

The subject (car class, card token, mailbox up to `+` or `@`) chooses the behaviour:

| subject | what happens |
|---|---|
| `refused` | refused for good |
| `limit:<minor>` | refused if it costs more |
| `lost` | booked, then the connection is dropped unanswered; the next call is answered |
| `slow:<s>` | booked at once, answered after s seconds |
| `500:<n>` | the first n calls to book answer 500 with nothing recorded |
| `undo-500:<n>` | the first n calls to cancel answer 500 with nothing recorded |
| `undo-refused` | a booking is never cancelled: 409 `not_cancellable` |
| `books:<minor>` | booked, for this amount instead of the one that was asked for |
| `expires:<s>` | expires s seconds after it was booked, unless captured before |
| `silent` | is never reported as due |
| anything else | booked |
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from saga_lab.fakes.machine import (
    AccountStep,
    ErrorAnswer,
    Timer,
    Webhook,
    key_reused,
    parse_directive,
    planned_failure,
)

DUE, EXPIRE = "due", "expire"
"""The kinds of timers; the subject is the booking's key."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Decides how a supplier treats one booking; the module's table says what the fields mean."""

    refused: bool = False
    limit_minor: float | None = None
    answer_lost: bool = False
    answer_after_s: float = 0.0
    failing_books: float = 0
    failing_cancels: float = 0
    cancels_refused: bool = False
    books_minor: float | None = None
    expires_after_s: float | None = None
    silent: bool = False


_PLANS: Mapping[str, Callable[[float], Plan]] = {
    "refused": lambda _: Plan(refused=True),
    "limit": lambda minor: Plan(limit_minor=minor),
    "lost": lambda _: Plan(answer_lost=True),
    "slow": lambda s: Plan(answer_after_s=s),
    "500": lambda n: Plan(failing_books=n),
    "undo-500": lambda n: Plan(failing_cancels=n),
    "undo-refused": lambda _: Plan(cancels_refused=True),
    "books": lambda minor: Plan(books_minor=minor),
    "expires": lambda s: Plan(expires_after_s=s),
    "silent": lambda _: Plan(silent=True),
}
_ALONE = ("refused", "lost", "silent", "undo-refused")
_TAKES_NUMBER = {name: name not in _ALONE for name in _PLANS}


def plan_of(subject: str) -> Plan:
    """Return the plan that a subject chooses; one that is no directive is booked."""
    directive = re.split("[+@]", subject)[0]
    try:
        name, number = parse_directive(directive, _TAKES_NUMBER)
    except ValueError:
        return Plan()
    return _PLANS[name](number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """One booking in a supplier's ledger.

    `reference`: the saga it is for; `subject`: what is booked; `detail`: what the buyer wants to
    read again, also in webhooks; `closes_at`: Unix second at which it is reported as due;
    `cancel_refused`: a cancellation of it was refused for good.
    """

    id: str
    key: str
    status: str
    reference: str = ""
    subject: str = ""
    detail: str = ""
    amount_minor: int = 0
    currency: str = ""
    closes_at: int | None = None
    reason: str = ""
    cancel_refused: bool = False

    @property
    def saga(self) -> str:
        """Return the key of the saga that it is for."""
        return self.reference

    def view(self) -> dict[str, Any]:
        """Return the booking as the API and webhooks show it."""
        refund_id = f"re_{self.id}" if self.status == "refunded" else None
        return {**asdict(self), "idempotency_key": self.key, "refund_id": refund_id}


@dataclass(frozen=True, slots=True)
class Account:
    """All that a supplier keeps of one key. `failed_*`: calls answered with 500."""

    key: str
    booking: Booking | None = None
    failed_books: int = 0
    failed_cancels: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """The content of `POST /v1/bookings`."""

    reference: str
    subject: str
    amount_minor: int = 0
    currency: str = ""
    detail: str = ""
    closes_at: int | None = None


Step = AccountStep[Account]


def book(account: Account, asked: Asked, new_id: str, now_s: float, *, paid_at_once: bool) -> Step:
    """Make a booking, or return the one made under the account's key before."""
    known, plan = account.booking, plan_of(asked.subject)
    if known is not None:
        unmade = known.status == "void" and not known.subject  # cancelled before it was made
        expected = (
            asked if plan.books_minor is None else replace(asked, amount_minor=known.amount_minor)
        )
        refusal = None if unmade else key_reused(account.key, known, **asdict(expected))
        return AccountStep(account, refusal or known)
    if failure := planned_failure(account.failed_books, plan.failing_books):
        return AccountStep(replace(account, failed_books=account.failed_books + 1), failure)
    too_dear = plan.limit_minor is not None and asked.amount_minor > plan.limit_minor
    reason = "above the limit" if too_dear else "refused" if plan.refused else ""
    status = "refused" if reason else "captured" if paid_at_once else "open"
    made = Booking(id=new_id, key=account.key, status=status, reason=reason, **asdict(asked))
    if plan.books_minor is not None:
        made = replace(made, amount_minor=int(plan.books_minor))
    return AccountStep(
        replace(account, booking=made),
        made,
        timers=_timers(made, plan, now_s) if status == "open" else (),
        answer_after_s=plan.answer_after_s,
        answer_lost=plan.answer_lost,
    )


def _timers(made: Booking, plan: Plan, now_s: float) -> tuple[Timer, ...]:
    found = []
    if made.closes_at is not None and not plan.silent:
        found.append(Timer(max(0.0, made.closes_at - now_s), DUE, made.key))
    if plan.expires_after_s is not None:
        found.append(Timer(plan.expires_after_s, EXPIRE, made.key))
    return tuple(found)


def capture(account: Account, new_id: str) -> Step:
    """Capture an open booking; any other is returned as it is."""
    return _moved(account, new_id, {"open": "captured"})


def cancel(account: Account, new_id: str) -> Step:
    """Cancel a booking, and refund a captured one; what was never made never will be."""
    plan = plan_of(account.booking.subject) if account.booking else Plan()
    if failure := planned_failure(account.failed_cancels, plan.failing_cancels):
        return AccountStep(replace(account, failed_cancels=account.failed_cancels + 1), failure)
    known = account.booking
    if known and plan.cancels_refused and known.status in ("open", "captured"):
        refused = replace(account, booking=replace(known, cancel_refused=True))
        return AccountStep(refused, ErrorAnswer(409, "not_cancellable", "it is never cancelled"))
    return _moved(account, new_id, {"open": "void", "captured": "refunded"})


def timer_due(account: Account, kind: str) -> Step:
    """Report an open booking as due, or let it expire."""
    booking = account.booking
    if booking is None or booking.status != "open":
        return AccountStep(account)
    if kind == DUE:
        return AccountStep(account, webhooks=(Webhook("hold.due", booking),))
    expired = replace(booking, status="expired", reason="the pre-authorisation has expired")
    return AccountStep(
        replace(account, booking=expired), webhooks=(Webhook("hold.expired", expired),)
    )


def _moved(account: Account, new_id: str, to: Mapping[str, str]) -> Step:
    known = account.booking or Booking(
        id=new_id, key=account.key, status="void", reason="cancelled before it was made"
    )
    moved = replace(known, status=to.get(known.status, known.status))
    return AccountStep(replace(account, booking=moved), moved)
