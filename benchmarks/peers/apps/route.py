"""Maps events to the steps of each choreography service, once for both peers."""

from collections.abc import Mapping
from typing import Any

from benchmarks.peers.apps.steps import (
    CAPTURED,
    DECLINED,
    PICKED_UP,
    PLACED,
    RESERVED,
    Order,
    Step,
    charge,
    notify,
    once,
    release,
    reserve,
    ship,
)

DOES = {
    "inventory": {PLACED: reserve, DECLINED: release},
    "payment": {RESERVED: charge},
    "shipping": {CAPTURED: ship},
    "notification": {PICKED_UP: notify},
}
LISTENS = {
    "inventory": ("order.events", "payment.events"),
    "payment": ("inventory.events",),
    "shipping": ("payment.events",),
    "notification": ("shipping.events",),
}
Event = Mapping[str, Any]
"""An event: its `type`, and the `order`, whose facts every event carries."""


def step_for(service: str, event: Event) -> Step | None:
    """Return the service's step for the event, guarded by `once`; None if it has none.

    A redelivered event gets the same answer as the first time, because the service may have crashed
    between the commit and the publication of the answer.
    """
    does = DOES[service].get(event["type"])
    order: Order = event["order"]
    return does and once(f"{order['order_id']}:{event['type']}", does(order))
