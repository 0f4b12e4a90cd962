"""Decides payment's reactions to disputes: the customer's bank takes a charge back. Pure.

An opened dispute calls a person. A lost one takes the money; its amount is held against what is
left of the charge. The provider reports each of them by webhook, in any order; a decision is final.
"""

from sagakit.decider import NOTHING, Decision
from schemas.events import PaymentDisputeLost, PaymentDisputeOpened, PaymentDisputeWon
from services.payment.ledger import Disputed, Payment

_EVENTS = {
    "opened": (PaymentDisputeOpened, "is disputed by the customer's bank; answer the provider"),
    "won": (PaymentDisputeWon, "stays with the shop: the dispute is won"),
    "lost": (PaymentDisputeLost, "is taken back by the customer's bank: the dispute is lost"),
}


def on_dispute(state: Payment, report: Disputed) -> Decision:
    """Record a dispute, and what it takes."""
    known = state.disputes.get(report.dispute_id)
    if known == report.status or known in ("won", "lost"):
        return NOTHING
    charge = state.charge(report.charge_id)
    same = charge if charge and charge.currency == report.currency else None
    left_minor = same.left_minor if same else 0
    kind, what = _EVENTS[report.status]
    unfit = "" if same else "; payment's books have no such charge"
    event = kind(
        order_id=state.order_ref,
        dispute_id=report.dispute_id,
        charge_id=report.charge_id,
        amount_minor=min(report.amount_minor, left_minor),
        currency=report.currency,
        reason=f"dispute {report.dispute_id}: {report.amount_minor} {report.currency} "
        f"(minor units) of charge {report.charge_id} {what}{unfit}",
    )
    return Decision((event,))
