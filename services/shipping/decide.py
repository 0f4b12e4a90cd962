r"""Decides shipping's reactions to triggers. Pure.

    new --Labelled--> labelled --PickedUp--> picked_up
     |                   |   \--a parcel--> partly_picked_up --all parcels--^
     +--Refused--> failed+--Undo--> cancelling --Cancelled--> cancelled
     +--Undo (nothing in flight)------------------------------^

Rules behind the table in tests/unit/services/test_shipping.py:

- A pickup is always emitted, whatever was decided before: a parcel picked up after its label was
  cancelled is ShipmentPickedUp as well. The customer may have been refunded by then; the monitor's
  conservation check names such an order.
- The order's facts come from the own event that names the label. A pickup reported before they are
  known (`awaits_label`) is not taken; the carrier reports it again.
- A shipment of several parcels is picked up when all of them are, by their tracking numbers. Once
  one of them is gone it cannot be undone any more.
- A report of a label that the shipment does not have, or of another number of parcels than the
  label has, is no pickup of it: a person is called.
- Every Undo is answered sooner or later, by ShipmentCancelled or by ShipmentCancelRefused.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sagakit.contract.model import saga_id_of
from sagakit.decider import NOTHING, Callback, Decision, Do, Effect, EffectResult, Trigger, Undo
from schemas.events import (
    OrderFacts,
    ShipmentCancelled,
    ShipmentCancelRefused,
    ShipmentCancelStarted,
    ShipmentCreated,
    ShipmentFailed,
    ShipmentPartlyPickedUp,
    ShipmentPickedUp,
    ShipmentReportDoubted,
)
from schemas.rules import printable, problems

LABEL, CANCEL = "label", "cancel"


class Phase(StrEnum):
    """The phases of a shipment."""

    NEW = "new"
    LABELLED = "labelled"
    PARTLY_PICKED_UP = "partly_picked_up"
    PICKED_UP = "picked_up"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Shipment:
    """The state of a shipment.

    `facts`, `label_id` and `tracking` are None until a label is known; `reason`: why it is undone;
    `picked`: tracking numbers of parcels that are gone while others of the `parcels` are not.
    """

    phase: Phase = Phase.NEW
    facts: OrderFacts | None = None
    label_id: str | None = None
    tracking: str | None = None
    reason: str = ""
    parcels: int = 1
    picked: tuple[str, ...] = ()
    in_flight: frozenset[str] = frozenset()


# --- the carrier's answers ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Labelled:
    """The carrier has made a label, for so many parcels."""

    label_id: str
    tracking: str
    parcels: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """The carrier refuses the label, and will make none under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class PickedUp:
    """The carrier has a parcel, of so many with one label; None: it does not say of how many."""

    order_id: str
    label_id: str
    tracking: str
    parcels: int | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The carrier has cancelled the label, or will never make it."""


@dataclass(frozen=True, slots=True)
class TooLate:
    """The label cannot be cancelled: the parcel is picked up."""


# --- decide ---------------------------------------------------------------------------------------


def decide(state: Shipment, trigger: Trigger, now: datetime) -> Decision:
    """Return the decision on a trigger; the module lists the rules."""
    match trigger:
        case Do(event):
            return _do(state, event)
        case Undo(event, reason):
            return _undo(state, saga_id_of(event), printable(reason))
        case EffectResult(effect, result) if effect.kind == LABEL:
            return _label_outcome(state, effect, result)
        case EffectResult(effect, result) if effect.kind == CANCEL:
            return _cancel_outcome(state, effect, result)
        case Callback(PickedUp() as parcel):
            return _reported(state, parcel)
    return NOTHING


def awaits_label(state: Shipment) -> bool:
    """Return True while a pickup cannot be taken: the label's own outcome is still to come."""
    return state.facts is None and state.phase in (Phase.NEW, Phase.CANCELLING)


def _do(state: Shipment, event: Any) -> Decision:
    # a capture after the payment was undone (`late`) is refunded: nothing is shipped for it
    if state.phase is not Phase.NEW or getattr(event, "late", False):
        return NOTHING
    wrong = problems(event.order_id, event.order)
    if wrong:
        return _say(
            ShipmentFailed(order_id=event.order_id, code="invalid", reason="; ".join(wrong))
        )
    payload = {"order_id": event.order_id, "order": event.order.to_dict()}
    return Decision(effects=(Effect(LABEL, LABEL, payload),))


def _undo(state: Shipment, order_id: str, reason: str) -> Decision:
    labelling = LABEL in state.in_flight
    match state.phase:
        case Phase.NEW if labelling:
            return _say(ShipmentCancelStarted(order_id=order_id, reason=reason))
        case Phase.NEW | Phase.FAILED | Phase.CANCELLED:
            return _say(
                ShipmentCancelled(order_id=order_id, label_id=state.label_id, reason=reason)
            )
        case Phase.LABELLED:
            return _start_cancel(state, order_id, reason)
        case Phase.CANCELLING if labelling:
            return NOTHING
        case Phase.CANCELLING:
            return Decision(effects=(_cancel(state, order_id),))
        case Phase.PICKED_UP | Phase.PARTLY_PICKED_UP:
            return _say(_too_late(state.label_id, order_id))


def _label_outcome(state: Shipment, effect: Effect, result: Any) -> Decision:
    order_id = str(effect.payload["order_id"])
    facts = OrderFacts.from_dict(dict(effect.payload["order"]))  # type: ignore[arg-type]
    match result, state.phase:
        case Labelled(label_id, tracking, parcels), Phase.NEW:
            return _say(_created(order_id, facts, label_id, tracking, parcels))
        case Labelled(label_id, tracking, n), Phase.CANCELLING | Phase.FAILED | Phase.CANCELLED:
            # the label came too late: cancel it, also after ShipmentFailed or ShipmentCancelled
            made = replace(state, facts=facts, label_id=label_id, tracking=tracking, parcels=n)
            return _start_cancel(made, order_id, state.reason or "the label came too late")
        case Refused(reason), Phase.NEW:
            return _say(ShipmentFailed(order_id=order_id, code="refused", reason=reason))
        case Refused(), Phase.CANCELLING:
            return _say(
                ShipmentCancelled(order_id=order_id, label_id=state.label_id, reason=state.reason)
            )
        case PickedUp(_, label_id, tracking), Phase.NEW:
            created = _created(order_id, facts, label_id, tracking, 1)
            return _say(created, _picked_up(order_id, facts, label_id, tracking))
        case PickedUp() as parcel, _:
            return _reported(replace(state, facts=state.facts or facts), parcel)
    return NOTHING


def _cancel_outcome(state: Shipment, effect: Effect, result: Any) -> Decision:
    order_id = str(effect.payload["order_id"])
    match result, state.phase:
        case Cancelled() | TooLate(), Phase.PICKED_UP | Phase.PARTLY_PICKED_UP:
            # the pickup is known already, and nothing is undone past the pivot
            return _say(_too_late(state.label_id, order_id))
        case Cancelled(), Phase.CANCELLED:
            return NOTHING
        case Cancelled(), _:
            reason = str(effect.payload["reason"])
            return _say(
                ShipmentCancelled(order_id=order_id, label_id=state.label_id, reason=reason)
            )
        case TooLate(), _ if state.parcels > 1:
            return _say(_too_late(state.label_id, order_id))  # the parcels are reported one by one
        case TooLate(), _:
            return _say(*_gone(state, order_id), _too_late(state.label_id, order_id))
    return NOTHING


def _reported(state: Shipment, parcel: PickedUp) -> Decision:
    """Decide on a pickup, from a callback or from the answer to the label call."""
    known = state.phase is Phase.PICKED_UP and state.label_id in (None, parcel.label_id)
    if awaits_label(state) or known:
        return NOTHING
    order_id = parcel.order_id
    if state.facts is None:
        return _say(_doubted(parcel, "none"))
    if state.label_id is not None and state.label_id != parcel.label_id:
        return _say(_doubted(parcel, state.label_id))
    if parcel.parcels not in (None, state.parcels):
        return _say(_doubted(parcel, f"{state.parcels}", f" for {parcel.parcels} parcels"))
    picked = {*state.picked, parcel.tracking}
    if len(picked) < state.parcels:
        if parcel.tracking in state.picked:
            return NOTHING
        return _partly(state, state.facts, parcel)
    seen = replace(state, label_id=parcel.label_id, tracking=parcel.tracking)
    gone = _gone(seen, order_id)
    # the outcome of the cancel call refuses a waiting Undo; without such a call, refuse it here
    unanswered = state.phase is Phase.CANCELLING and CANCEL not in state.in_flight
    if unanswered:
        return _say(*gone, _too_late(parcel.label_id, order_id))
    return _say(*gone)


# --- evolve ---------------------------------------------------------------------------------------


def evolve(state: Shipment, event: Any) -> Shipment:
    """Return the state after an own event."""
    match event:
        case ShipmentPartlyPickedUp():
            gone = replace(state, picked=(*state.picked, event.tracking), parcels=event.parcels)
            known = replace(gone, facts=event.order, label_id=event.label_id)
            return replace(known, phase=Phase.PARTLY_PICKED_UP)
        case ShipmentCreated() | ShipmentPickedUp():
            created = isinstance(event, ShipmentCreated)
            return replace(
                state,
                phase=Phase.LABELLED if created else Phase.PICKED_UP,
                parcels=event.parcels if isinstance(event, ShipmentCreated) else state.parcels,
                facts=event.order,
                label_id=event.label_id,
                tracking=event.tracking,
            )
        case ShipmentFailed():
            return replace(state, phase=Phase.FAILED)
        case ShipmentCancelStarted():
            return replace(
                state,
                phase=Phase.CANCELLING,
                facts=event.order or state.facts,
                label_id=event.label_id or state.label_id,
                tracking=event.tracking or state.tracking,
                parcels=max(event.parcels, state.parcels),
                reason=event.reason,
            )
        case ShipmentCancelled():
            return replace(state, phase=Phase.CANCELLED, reason=event.reason)
        case ShipmentCancelRefused():
            part = state.parcels > 1 and state.phase is not Phase.PICKED_UP
            phase = Phase.PARTLY_PICKED_UP if part else Phase.PICKED_UP
            return replace(state, phase=phase, label_id=event.label_id or state.label_id)
    return state


# --- effects and events ---------------------------------------------------------------------------


def _partly(state: Shipment, facts: OrderFacts, parcel: PickedUp) -> Decision:
    """Record one of several parcels; with it, a waiting Undo is refused."""
    refused = (
        (_too_late(parcel.label_id, parcel.order_id),)
        if state.phase is Phase.CANCELLING and CANCEL not in state.in_flight
        else ()
    )
    event = ShipmentPartlyPickedUp(
        order_id=parcel.order_id,
        order=facts,
        label_id=parcel.label_id,
        tracking=parcel.tracking,
        parcels=state.parcels,
        reason=f"{len(state.picked) + 1} of {state.parcels} parcels are picked up",
    )
    return _say(event, *refused)


def _doubted(parcel: PickedUp, known: str, of: str = "") -> ShipmentReportDoubted:
    return ShipmentReportDoubted(
        order_id=parcel.order_id,
        label_id=parcel.label_id,
        tracking=parcel.tracking,
        reason=f"the carrier reports a pickup with label {parcel.label_id}{of}; the shipment has "
        f"{known}",
    )


def _say(*events: Any) -> Decision:
    return Decision(events=events)


def _start_cancel(state: Shipment, order_id: str, reason: str) -> Decision:
    started = ShipmentCancelStarted(
        order_id=order_id,
        label_id=state.label_id,
        reason=reason,
        order=state.facts,
        tracking=state.tracking,
        parcels=state.parcels,
    )
    return Decision(events=(started,), effects=(_cancel(replace(state, reason=reason), order_id),))


def _cancel(state: Shipment, order_id: str) -> Effect:
    """Return the cancel effect; the gateway names the label by its key, its id may be unknown."""
    payload = {"order_id": order_id, "label_id": state.label_id, "reason": state.reason}
    return Effect(CANCEL, CANCEL, payload)


def _created(
    order_id: str, facts: OrderFacts, label_id: str, tracking: str, parcels: int
) -> ShipmentCreated:
    return ShipmentCreated(
        order_id=order_id, order=facts, label_id=label_id, tracking=tracking, parcels=parcels
    )


def _picked_up(order_id: str, facts: OrderFacts, label_id: str, tracking: str) -> ShipmentPickedUp:
    return ShipmentPickedUp(order_id=order_id, order=facts, label_id=label_id, tracking=tracking)


def _gone(state: Shipment, order_id: str) -> tuple[ShipmentPickedUp, ...]:
    """Return ShipmentPickedUp if the order's facts are known; after a fence they are not."""
    if state.facts is None or state.label_id is None or state.tracking is None:
        return ()
    return (_picked_up(order_id, state.facts, state.label_id, state.tracking),)


def _too_late(label_id: str | None, order_id: str) -> ShipmentCancelRefused:
    return ShipmentCancelRefused(
        order_id=order_id,
        label_id=label_id or "",
        reason="the carrier has picked the parcel up; ask the customer to send it back",
    )
