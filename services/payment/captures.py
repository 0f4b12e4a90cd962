"""Decides payment's reactions to what is told of a charge. Pure.

What the provider answers to a call is taken as it is: a capture of what was asked for pays the
order, any other is an own state (`mismatched`) while the order waits, and is refunded otherwise.
What anybody else reports, its webhook as well, is a hint: unless it is what was asked for, the
charge is read at the provider. A report of another amount, currency or charge calls a person, too.
"""

from typing import Any

from sagakit.decider import NOTHING, Decision, Effect
from schemas.events import ChargeFound, PaymentActionRequired, PaymentPending
from services.payment import own_events
from services.payment.ledger import (
    ALIVE,
    ActionRequired,
    Captured,
    Charge,
    Declined,
    Payment,
    Pending,
    Phase,
    look_effect,
    refund_again,
)
from services.payment.refunds import and_refund

BOOKED = "booked_minor"
"""In the payload of a look: what was refunded of the charge, by payment's books."""


def on_capture(state: Payment, report: Captured, effect: Effect | None) -> Decision:
    """Ignore a known capture, accept one that the order waits for, refund any other."""
    known = state.charge(report.charge_id)
    if known and _is_booked(known, report):
        return _on_known(state, report, known, effect)
    if effect is None and not _fits(state, report, same_charge=True):
        return _on_doubtful(state, report)
    if state.phase not in ALIVE:
        return and_refund(state, own_events.captured(state, report, late=True))
    if _fits(state, report):
        return and_refund(state, own_events.captured(state, report, late=False))
    return Decision((own_events.mismatched(state, report),))


def on_decline(state: Payment, report: Declined) -> Decision:
    """Decline an order that waits for a charge; money that was captured keeps it from that."""
    if state.waiting:
        return Decision((own_events.refunded(state, None, 0),))
    other = state.charge_id is not None and report.charge_id not in (None, state.charge_id)
    if state.phase not in ALIVE or state.phase is Phase.MISMATCHED or other:
        return NOTHING
    return Decision((own_events.declined(state, report.code, report.reason),))


def on_unsettled(state: Payment, report: ActionRequired | Pending, look: bool) -> Decision:
    """Wait for a charge that is not final, or void it if the order is to be undone."""
    looks = (look_effect(state.order_ref, report.charge_id),) if look else ()
    if state.waiting:
        started = own_events.refund_started(state, report.charge_id, 0)
        void = and_refund(state, started)
        return Decision(void.events, (*looks, *void.effects))
    phase = Phase.ACTION if isinstance(report, ActionRequired) else Phase.PENDING
    if state.phase not in ALIVE or state.phase in (phase, Phase.MISMATCHED) or state.facts is None:
        return NOTHING
    common: Any = {
        "order_id": state.order_ref,
        "order": state.facts,
        "charge_id": report.charge_id,
    }
    if isinstance(report, ActionRequired):
        event: Any = PaymentActionRequired(**common, action_url=report.action_url)
    else:
        event = PaymentPending(**common)
    return Decision((event,), looks)


def on_found(state: Payment, found: ChargeFound) -> Decision:
    """Read a charge at the provider about which somebody reports a difference."""
    known = state.charge(found.charge_id)
    booked_minor = known.returned_minor if known else 0
    unbooked = known is None or known.captured_minor < found.captured_minor
    if not unbooked and booked_minor <= found.refunded_minor:
        return NOTHING
    about = f"{found.captured_minor}:{found.refunded_minor}"
    return _look(state, found.charge_id, about, **{BOOKED: booked_minor})


def _is_booked(charge: Charge, report: Captured) -> bool:
    return charge.currency == report.currency and report.amount_minor <= charge.captured_minor


def _fits(state: Payment, report: Captured, same_charge: bool = False) -> bool:
    """Return True for what was asked for; `same_charge`: also by the charge under way."""
    if same_charge and state.charge_id not in (None, report.charge_id):
        return False
    facts = state.facts
    asked = facts and (facts.total_minor, facts.currency)
    return asked == (report.amount_minor, report.currency)


def _on_doubtful(state: Payment, report: Captured) -> Decision:
    look = _look(state, report.charge_id, f"{report.amount_minor}{report.currency}")
    if not look.effects or state.facts is None:
        return look
    return Decision((own_events.doubted(state, report),), look.effects)


def _on_known(state: Payment, report: Captured, known: Charge, effect: Effect | None) -> Decision:
    """Repeat a refund that payment's books show and the provider's do not. If a refund was booked
    since the charge was to be read, the answer may be older than that. What pays the order is not
    refunded, whatever the books show."""
    provider_minor = report.refunded_minor
    booked_minor = effect.payload.get(BOOKED) if effect else None
    if provider_minor is None or booked_minor != known.returned_minor:
        return NOTHING
    if known.returned_minor <= provider_minor or state.asked or state.refunding:
        return NOTHING
    if known.charge_id == state.charge_id and known.left_minor < state.kept_minor:
        return NOTHING
    return Decision(effects=(refund_again(state, known, provider_minor),))


def _look(state: Payment, charge_id: str, about: str, **more: int) -> Decision:
    look = look_effect(state.order_ref, charge_id, about, **more)
    return NOTHING if look.key in state.in_flight else Decision(effects=(look,))
