"""Maps events to the steps of each service, for both choreographies over HTTP.

As `route` does for those whose outside world answers at once. Here a step gets the answer of the
call that was made before it (`outside.call_for`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers.apps.outside import CANCELLED, CONFIRMED, SHIPPED
from benchmarks.peers.apps.route import TOPICS, Event
from benchmarks.peers.apps.steps import (
    CAPTURED,
    DECLINED,
    LABELLED,
    MAIL_SENT,
    PICKED_UP,
    PLACED,
    REJECTED,
    RELEASED,
    RESERVED,
    Order,
    Step,
    charged,
    labelled,
    mailed,
    once,
    picked_up,
    release,
    reserve,
)

Answer = Mapping[str, Any] | None
"""The JSON that the outside has answered; None for a mail, or without a call."""
CONFIRMATION_SENT, CANCELLATION_SENT = "ConfirmationMailSent", "CancellationMailSent"
STEPS: Mapping[str, Mapping[str, Callable[[Order, Any], Step]]] = {
    "inventory": {
        PLACED: lambda order, _: reserve(order),
        DECLINED: lambda order, _: release(order),
    },
    "payment": {RESERVED: lambda order, answer: charged(order, answer["status"] == "captured")},
    "shipping": {CAPTURED: lambda order, answer: labelled(order, answer["tracking"])},
    "notification": {
        LABELLED: lambda order, _: mailed(order, CONFIRMED, CONFIRMATION_SENT),
        PICKED_UP: lambda order, _: mailed(order, SHIPPED, MAIL_SENT),
        RELEASED: lambda order, _: mailed(order, CANCELLED, CANCELLATION_SENT),
        REJECTED: lambda order, _: mailed(order, CANCELLED, CANCELLATION_SENT),
    },
}
HTTP_TOPICS = {**TOPICS, "notification": ("shipping.events", "inventory.events")}


def step_after_call(service: str, event: Event, answer: Answer) -> Step | None:
    """Return the service's step for the event, guarded by `once`; None if it has none."""
    make_step = STEPS[service].get(event["type"])
    order: Order = event["order"]
    return make_step and once(f"{order['order_id']}:{event['type']}", make_step(order, answer))


def pickup_step(order: Order) -> Step:
    """Return shipping's step for the carrier's report of a pickup, guarded by `once`."""
    return once(f"{order['order_id']}:pickup", picked_up(order))
