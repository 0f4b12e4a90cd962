"""Decides notification's reactions to triggers. Pure.

The state is the set of kinds sent. A kind that was sent or is in flight is never sent again. A mail
that the server refused for good counts as sent (the event says `refused`); otherwise the saga would
wait for ever on a wrong address.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sagakit.decider import NOTHING, Decision, Do, Effect, EffectResult, Json, Observed, Trigger
from sagakit.privacy.sealed_text import is_sealed
from schemas.events import (
    CancellationMailSent,
    ConfirmationMailSent,
    PaymentRefunded,
    PaymentRefundFailed,
    RefundCorrectionMailSent,
    RefundMailSent,
    ShippedMailSent,
)
from schemas.rules import minor_digits

MAIL = "mail"
MAX_ADDRESS_CHARS = 254
"""RFC 5321, section 4.5.3.1.3 (the path's 256 with its angle brackets)."""
NO_ADDRESS = "this is no mail address; correct it in the shop and write to the customer"

_ATOM = r"[^\s@<>()\[\]\\,;:\"\x00-\x20\x7f]+"
_ADDRESS = re.compile(f"{_ATOM}@{_ATOM}")


class MailKind(StrEnum):
    """The kinds of mail."""

    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"
    CORRECTED = "corrected"


EVENT_BY_KIND: Mapping[MailKind, type[Any]] = {
    MailKind.CONFIRMED: ConfirmationMailSent,
    MailKind.SHIPPED: ShippedMailSent,
    MailKind.CANCELLED: CancellationMailSent,
    MailKind.REFUNDED: RefundMailSent,
    MailKind.CORRECTED: RefundCorrectionMailSent,
}
"""The own event that records a mail of this kind."""


@dataclass(frozen=True, slots=True)
class Mailing:
    """The state of an order's mails. `sent`: kinds sent, refused ones included."""

    sent: frozenset[MailKind] = frozenset()
    in_flight: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MailAccepted:
    """The mail server has accepted the mail and is responsible for it."""

    kind: MailKind
    to: str


@dataclass(frozen=True, slots=True)
class MailRefused:
    """The mail server refuses the recipient for good."""

    kind: MailKind
    to: str
    reason: str


def decide(state: Mailing, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Do(event):
            facts = {"tracking": event.tracking}
            return _mail(state, MailKind.SHIPPED, event.order_id, event.order.email, facts)
        case Observed("ShipmentCreated", event):
            if _begun(state, MailKind.CANCELLED):
                return NOTHING  # stale: the order is cancelled by now
            return _mail(state, MailKind.CONFIRMED, event.order_id, event.order.email, {})
        case Observed("PaymentRefunded", event) if event.amount_minor > 0 and event.email:
            facts = {"amount": _amount(event)}
            return _mail(state, MailKind.REFUNDED, event.order_id, event.email, facts)
        case Observed("PaymentRefundFailed", event) if event.amount_minor > 0 and event.email:
            if not _begun(state, MailKind.REFUNDED):
                return NOTHING  # the customer was told of no refund
            facts = {"amount": _amount(event)}
            return _mail(state, MailKind.CORRECTED, event.order_id, event.email, facts)
        case Observed("undone", event) if getattr(event, "email", None):
            return _mail(state, MailKind.CANCELLED, event.order_id, event.email, {})
        case EffectResult(effect, MailAccepted(kind, to)):
            return _sent(state, kind, str(effect.payload["order_id"]), to, None)
        case EffectResult(effect, MailRefused(kind, to, reason)):
            return _sent(state, kind, str(effect.payload["order_id"]), to, reason)
    return NOTHING


def evolve(state: Mailing, event: Any) -> Mailing:
    """Return the state after an own event."""
    kind = next(
        (kind for kind, event_type in EVENT_BY_KIND.items() if isinstance(event, event_type)), None
    )
    return state if kind is None else replace(state, sent=state.sent | {kind})


def is_address(to: str) -> bool:
    """Return True for one mail address. The check keeps extra recipients and headers out."""
    return len(to) <= MAX_ADDRESS_CHARS and _ADDRESS.fullmatch(to) is not None


def mail_key(kind: MailKind) -> str:
    """Return the key of the effect that sends a mail."""
    return f"{MAIL}:{kind}"


def _begun(state: Mailing, kind: MailKind) -> bool:
    return kind in state.sent or mail_key(kind) in state.in_flight


def _mail(
    state: Mailing, kind: MailKind, order_id: str, to: str, facts: dict[str, Json]
) -> Decision:
    if _begun(state, kind):
        return NOTHING
    if not is_sealed(to) and not is_address(to):
        return _sent(state, kind, order_id, to[:MAX_ADDRESS_CHARS], NO_ADDRESS)
    payload: dict[str, Json] = {"order_id": order_id, "kind": kind.value, "to": to, **facts}
    return Decision(effects=(Effect(MAIL, mail_key(kind), payload),))


def _sent(state: Mailing, kind: MailKind, order_id: str, to: str, refused: str | None) -> Decision:
    if kind in state.sent:
        return NOTHING
    return Decision(events=(EVENT_BY_KIND[kind](order_id=order_id, to=to, refused=refused),))


def _amount(event: PaymentRefunded | PaymentRefundFailed) -> str:
    """Return the amount as `12.34 EUR`, with as many digits as the currency has."""
    currency = event.currency or ""
    try:
        digits = minor_digits(currency)
    except ValueError:
        return f"{event.amount_minor} minor units {currency}".rstrip()
    return f"{Decimal(event.amount_minor).scaleb(-digits):f} {currency}"
