"""Decides payment's reactions to a refund that a report tells of. Pure.

Such a report is a hint, whether payment asked for a refund or not: the charge is read at the
provider, and a refund that it shows is booked. One that it does not show calls a person.
"""

from typing import Any

from sagakit.decider import NOTHING, Decision, Effect
from services.payment import own_events
from services.payment.ledger import ALIVE, Captured, Payment, Refunded, evolve, look_effect
from services.payment.refunds import concluded

REFUND_ID, REFUNDED_MINOR = "refund_id", "refunded_minor"
"""In the payload of a look: the refund that is reported, and its amount."""


def on_report(state: Payment, report: Refunded) -> Decision:
    """Read the charge of a refund that is not booked."""
    nothing_taken = state.phase in ALIVE and not state.charges
    if nothing_taken or report.refund_id in state.refunds:
        return NOTHING
    if report.charge_id is None or report.amount_minor <= 0:
        return NOTHING
    reported: Any = {REFUND_ID: report.refund_id, REFUNDED_MINOR: report.amount_minor}
    look = look_effect(state.order_ref, report.charge_id, report.refund_id, **reported)
    return NOTHING if look.key in state.in_flight else Decision(effects=(look,))


def on_charge_read(state: Payment, found: Captured, look: Effect) -> Decision | None:
    """Book the reported refund as far as the charge shows it; else return None."""
    payload: Any = look.payload
    refund_id, reported_minor = payload[REFUND_ID], payload[REFUNDED_MINOR]
    charge, shown_minor = state.charge(found.charge_id), found.refunded_minor
    if shown_minor is None or refund_id in state.refunds:
        return None
    if charge and shown_minor < reported_minor:
        return Decision((own_events.refund_doubted(state, refund_id, reported_minor, found),))
    booked_minor = charge.returned_minor if charge else 0
    amount_minor = min(reported_minor, shown_minor - booked_minor)
    took_more = charge is None or charge.captured_minor < found.amount_minor
    if amount_minor <= 0 or (took_more and state.phase in ALIVE):
        return None
    if not took_more:
        return concluded(state, refund_id, amount_minor)
    capture = own_events.captured(state, found, late=True)
    rest = concluded(evolve(state, capture), refund_id, amount_minor)
    return Decision((capture, *rest.events), rest.effects)
