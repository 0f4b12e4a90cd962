"""Builds the order application's participants with stores in memory."""

from typing import Any

from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant, Store
from services.fraud.decide import Screening
from services.fraud.service import participant as fraud
from services.inventory.service import participant as inventory
from services.inventory.store import MemoryInventoryStore
from services.loyalty.decide import Points
from services.loyalty.service import participant as loyalty
from services.notification.decide import Mailing
from services.notification.service import participant as notification
from services.order.decide import Order
from services.order.service import participant as order
from services.payment.ledger import Payment
from services.payment.service import participant as payment
from services.shipping.decide import Shipment
from services.shipping.service import participant as shipping


def stores() -> list[tuple[Participant[Any], Store[Any]]]:
    """Return the participants with stores in memory."""
    return [
        (order(), MemoryStore(Order())),
        (inventory(), MemoryInventoryStore()),
        (payment(), MemoryStore(Payment())),
        (shipping(), MemoryStore(Shipment())),
        (notification(), MemoryStore(Mailing())),
        (fraud(), MemoryStore(Screening())),
        (loyalty(), MemoryStore(Points())),
    ]
