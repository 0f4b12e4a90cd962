"""Who of the choreography's services does what on which event: written once for both peers."""

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
"""`type`, and the `order` whose facts every event carries on."""


def step_for(service: str, event: Event) -> Step | None:
    """What this service does about the event, once however often it comes; None: nothing.

    A second delivery is answered as the first was, since the crash may have come between the
    commit and the publication of the answer.
    """
    does = DOES[service].get(event["type"])
    order: Order = event["order"]
    return does and once(f"{order['order_id']}:{event['type']}", does(order))
