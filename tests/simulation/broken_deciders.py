"""Broken decisions: each is given the right `decide` and answers wrongly where it matters."""

from dataclasses import replace
from typing import Any

from saga_lab.simulation.node import Node
from sagakit.contract.model import saga_id_of
from sagakit.decider import NOTHING, Callback, Decision, Do, EffectResult, Trigger, Undo
from sagakit.errors import EffectFailed
from sagakit.messages.envelope import EffectRow
from schemas.events import PaymentRefunded, ShipmentCancelled
from services.inventory.decide import Phase as StockPhase
from services.inventory.decide import Reservation
from services.payment.ledger import (
    ALIVE,
    Captured,
    Declined,
    Disputed,
    NothingLeft,
    Payment,
    RefundFailed,
    RefundRefused,
)
from services.payment.ledger import Phase as PaymentPhase
from services.shipping.decide import Labelled, PickedUp, Shipment
from services.shipping.decide import Phase as ShipmentPhase

UNDONE = (StockPhase.RELEASED, PaymentPhase.REFUNDED, ShipmentPhase.CANCELLED)


def no_fence(decide: Any, state: Any, trigger: Trigger, now: Any) -> Decision:
    """A `Do` that comes behind its undo is carried out: the fence is not looked at."""
    charged = isinstance(state, Payment) and state.charges
    if isinstance(trigger, Do) and state.phase in UNDONE and not charged and not state.in_flight:
        state = replace(state, phase=type(state)().phase)
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def no_repeat(decide: Any, state: Any, trigger: Trigger, now: Any) -> Decision:
    """A repeated `Undo` is not answered."""
    if isinstance(trigger, Undo) and state.phase in UNDONE:
        return NOTHING
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def believed(decide: Any, state: Payment, trigger: Trigger, now: Any) -> Decision:
    """The payment is called undone when the refund is asked for."""
    decision: Decision = decide(state, trigger, now)
    if isinstance(trigger, Undo) and state.phase is PaymentPhase.CAPTURED:
        amount_minor, currency = state.left_minor, state.charges[0].currency
        event = PaymentRefunded(
            order_id=state.order_ref,
            refund_id=f"re:{state.order_ref}",
            amount_minor=amount_minor,
            currency=currency,
            reason="undone",
            email=state.email,
        )
        return replace(decision, events=(event,))
    return decision


def late_ignored(decide: Any, state: Payment, trigger: Trigger, now: Any) -> Decision:
    """Money that comes in when the order has ended is nobody's business."""
    captured = isinstance(trigger, Callback | EffectResult) and isinstance(trigger.result, Captured)
    if captured and state.phase not in ALIVE:
        return NOTHING
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def counted_twice(decide: Any, state: Payment, trigger: Trigger, now: Any) -> Decision:
    """A capture told twice is two captures."""
    if isinstance(trigger, Callback | EffectResult) and isinstance(trigger.result, Captured):
        renamed = tuple(replace(c, charge_id=f"{c.charge_id}'") for c in state.charges)
        state = replace(state, charges=renamed)
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def void_believed(decide: Any, state: Payment, trigger: Trigger, now: Any) -> Decision:
    """An undo while the charge is in flight is answered at once."""
    if isinstance(trigger, Undo) and state.charging:
        return Decision(
            (
                PaymentRefunded(
                    order_id=saga_id_of(trigger.event),
                    refund_id=None,
                    amount_minor=0,
                    currency=None,
                    reason="undone",
                    email=None,
                ),
            )
        )
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def pickup_ignored(decide: Any, state: Shipment, trigger: Trigger, now: Any) -> Decision:
    """What was cancelled cannot have been picked up."""
    picked_up = isinstance(trigger, Callback) and isinstance(trigger.result, PickedUp)
    if picked_up and state.phase in (ShipmentPhase.CANCELLING, ShipmentPhase.CANCELLED):
        return NOTHING
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def label_forgotten(decide: Any, state: Shipment, trigger: Trigger, now: Any) -> Decision:
    """A label that comes after the undo is not cancelled: the undo is answered with it."""
    labelled = isinstance(trigger, EffectResult) and isinstance(trigger.result, Labelled)
    if labelled and state.phase is ShipmentPhase.CANCELLING:
        event = ShipmentCancelled(
            order_id=str(trigger.effect.payload["order_id"]),  # type: ignore[union-attr]
            label_id=trigger.result.label_id,  # type: ignore[union-attr]
            reason=state.reason,
        )
        return Decision((event,))
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def undone_past_pivot(decide: Any, state: Reservation, trigger: Trigger, now: Any) -> Decision:
    """Inventory releases what was shipped."""
    if isinstance(trigger, Undo) and state.phase is StockPhase.SHIPPED:
        state = replace(state, phase=StockPhase.RESERVED)
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def not_on_hand(decide: Any, state: Reservation, trigger: Trigger, now: Any) -> Decision:
    """Inventory reserves what it does not have."""
    state = replace(state, on_hand={sku: n + 3 for sku, n in state.on_hand.items()})
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def unknown_is_no(ask: Any, node: Node, row: EffectRow) -> Any:
    """A charge nothing is known of is taken for declined."""
    try:
        return ask(node, row)
    except EffectFailed as error:
        if row.effect.kind != "charge":
            raise
        return Declined(None, "failed", str(error))


def any_amount_fits(*_: Any, **__: Any) -> bool:
    """Whatever was captured is what was asked for."""
    return True


def failed_refund_ignored(decide: Any, state: Payment, trigger: Trigger, now: Any) -> Decision:
    """A refund that was made cannot fail."""
    if isinstance(trigger, Callback | EffectResult) and isinstance(trigger.result, RefundFailed):
        return NOTHING
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def loss_ignored(decide: Any, state: Payment, trigger: Trigger, now: Any) -> Decision:
    """A dispute that is lost is the provider's business."""
    lost = isinstance(trigger, Callback) and isinstance(trigger.result, Disputed)
    if lost and trigger.result.status == "lost":  # type: ignore[union-attr]
        return NOTHING
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def overtakes(state: Payment, report: Any) -> str | None:
    """A dispute is taken before its charge is in the books."""
    known = state.phase is not PaymentPhase.NEW or state.in_flight
    return None if known else "unknown"


def refusal_ignored(decide: Any, state: Payment, trigger: Trigger, now: Any) -> Decision:
    """A refund that is refused for good is nobody's business."""
    if isinstance(trigger, EffectResult) and isinstance(trigger.result, RefundRefused):
        return NOTHING
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def refusal_believed(decide: Any, state: Payment, trigger: Trigger, now: Any) -> Decision:
    """A refund that is refused for good was made before."""
    if isinstance(trigger, EffectResult) and isinstance(trigger.result, RefundRefused):
        trigger = replace(trigger, result=NothingLeft())
    return decide(state, trigger, now)  # type: ignore[no-any-return]


def first_parcel_is_all(decide: Any, state: Shipment, trigger: Trigger, now: Any) -> Decision:
    """A label has one parcel."""
    if isinstance(trigger, Callback) and isinstance(trigger.result, PickedUp):
        trigger = replace(trigger, result=replace(trigger.result, parcels=1))
    return decide(replace(state, parcels=1), trigger, now)  # type: ignore[no-any-return]
