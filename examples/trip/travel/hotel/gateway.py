"""Connects hotel to the payer of its stays, and reads the payer's webhooks."""

from collections.abc import Mapping
from typing import Any

from sagakit import Effect, ReadReport, saga_of, text_of
from travel.hotel.decide import (
    Captured,
    ChangesClosed,
    Declined,
    Expired,
    Held,
    Lapsed,
    Released,
    hold_key,
)
from travel.payload import stay_in
from travel.supplier import Booking, Supplier, unexpected


class Payer:
    """Holds and takes the price of a stay. All methods raise EffectFailed if the outcome is
    unknown."""

    def __init__(self, supplier: Supplier) -> None:
        self._supplier = supplier

    async def hold(self, effect: Effect) -> Held | Declined:
        """Pre-authorise the price of a stay; payload: `trip`, `stay`."""
        trip: Any = effect.payload["trip"]
        stay = stay_in(effect)
        booking = await self._supplier.book(
            effect,
            subject=trip["hotel_card"],
            detail=str(stay.number),
            amount_minor=stay.amount_minor,
            currency=trip["currency"],
            closes_at=trip["change_until"],
        )
        match booking:
            case {"status": "open" | "captured" | "expired", "id": str(hold_id)}:
                return Held(hold_id)
            case {"status": "refused" | "void" | "refunded", "reason": str(reason)}:
                return Declined(f"the pre-authorisation is declined: {reason}")
            case other:
                raise unexpected(effect, other)

    async def capture(self, effect: Effect) -> Captured | Lapsed:
        """Take what is held for a stay; payload: `stay`."""
        booking = await self._supplier.capture(effect, hold_key(stay_in(effect)))
        match booking:
            case {"status": "captured" | "refunded"}:
                return _captured(booking)
            case {"status": "void" | "expired" | "refused", "reason": str(reason)}:
                return Lapsed(reason)
            case other:
                raise unexpected(effect, other)

    async def release(self, effect: Effect) -> Released:
        """Void or refund each hold; one that was never made never will be. payload: `holds`."""
        keys: Any = effect.payload["holds"]
        released = Released()
        for key in keys:
            match await self._supplier.cancel(effect, key):
                case {"status": "refunded", "refund_id": str(refund_id)} as booking:
                    released = Released(refund_id, _captured(booking))
                case {"status": "void" | "expired" | "refused" | "kept"}:
                    pass
                case other:
                    raise unexpected(effect, other)
        return released


def _captured(booking: Booking) -> Captured:
    return Captured(booking["id"], booking["amount_minor"], booking["currency"])


def _due(data: Mapping[str, Any]) -> tuple[str, ChangesClosed]:
    return saga_of(data), ChangesClosed(_number(data))


def _expired(data: Mapping[str, Any]) -> tuple[str, Expired]:
    return saga_of(data), Expired(_number(data))


def _number(data: Mapping[str, Any]) -> int:
    """Return the number of the stay that a hold is for. Raises ValueError."""
    return int(text_of(data, "detail"))


REPORTS: Mapping[str, ReadReport] = {"hold.due": _due, "hold.expired": _expired}
"""Reader of the payer's webhooks by event type."""
