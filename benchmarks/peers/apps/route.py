"""Maps events to the steps of each service, for both choreographies among the peers."""

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

STEPS = {
    "inventory": {PLACED: reserve, DECLINED: release},
    "payment": {RESERVED: charge},
    "shipping": {CAPTURED: ship},
    "notification": {PICKED_UP: notify},
}
TOPICS = {
    "inventory": ("order.events", "payment.events"),
    "payment": ("inventory.events",),
    "shipping": ("payment.events",),
    "notification": ("shipping.events",),
}
Event = Mapping[str, Any]
"""An event: its `type`, and the `order`, whose facts every event carries."""


def step_for(service: str, event: Event) -> Step | None:
    """Return the service's step for the event, guarded by `once`; None if it has none.

    A redelivered event gets its first answer again: the service may have crashed between the commit
    and the publication of that answer.
    """
    make_step = STEPS[service].get(event["type"])
    order: Order = event["order"]
    return make_step and once(f"{order['order_id']}:{event['type']}", make_step(order))
