"""Runs a service as in production, with providers that answer at once in the same process.

`python -m benchmarks.instant_service SERVICE`. Providers then cost nothing. The platform's own cost
remains.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sagakit.decider import Effect
from sagakit.effects.worker import Perform
from sagakit.service.definition import Service
from sagakit.service.main import run_program
from sagakit.service.program import service_program
from sagakit.service.settings import ServiceSettings
from services.inventory.service import build as inventory
from services.notification.decide import MAIL, MailAccepted, MailKind
from services.notification.service import participant as notification
from services.payment.ledger import CHARGE, LOOK, REFUND
from services.payment.service import participant as payment
from services.shipping.decide import CANCEL, LABEL, Labelled, PickedUp
from services.shipping.gateway import LabelAnswer
from services.shipping.service import participant as shipping
from shop.outside.memory import MemoryCarrier, MemoryProvider

NO_PICKUP = "[no-pickup]"
SERVICES = Path(__file__).parent.parent / "services"


def build(name: str, settings: ServiceSettings) -> Service[Any]:
    """Return the service of this name with in-memory gateways. Raises SystemExit if it has none."""
    match name:
        case "inventory":
            return inventory(settings)
        case "payment":
            provider = MemoryProvider()
            calls: Mapping[str, Perform] = {
                CHARGE: provider.charge,
                LOOK: provider.look,
                REFUND: provider.refund,
            }
            return Service(payment(), perform=calls)
        case "shipping":
            carrier = InstantCarrier()
            return Service(shipping(), perform={LABEL: carrier.label, CANCEL: carrier.cancel})
        case "notification":
            return Service(notification(), perform={MAIL: accept})
    raise SystemExit(f"{name!r} is no service with instant gateways")


async def accept(effect: Effect) -> MailAccepted:
    """Accept every mail. It builds no mail text: that is a cost of the outside world."""
    return MailAccepted(MailKind(str(effect.payload["kind"])), str(effect.payload["to"]))


class InstantCarrier(MemoryCarrier):
    """A carrier that answers the label call with the pickup of the parcel.

    An order whose address has the tag `NO_PICKUP` gets its label and is never picked up.
    """

    async def label(self, effect: Effect) -> LabelAnswer:
        """See `Carrier`."""
        answer = await super().label(effect)
        payload: Mapping[str, Any] = effect.payload
        no_pickup = NO_PICKUP in payload["order"]["ship_to"]
        if isinstance(answer, Labelled) and not no_pickup:
            return PickedUp(str(payload["order_id"]), answer.label_id, answer.tracking)
        return answer


if __name__ == "__main__":
    (name,) = sys.argv[1:]
    run_program(
        service_program(
            name,
            partial(build, name),
            ServiceSettings,
            migrations=SERVICES / name / "migrations",
        )
    )
