"""Connects hotel to the payer of its stays, and reads the payer's webhooks."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagakit import Effect, ReadReport, minor_of, saga_of, text_of
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
from travel.supplier import Booking, Supplier, paid, unexpected

NUMBER = re.compile("[0-9]{1,9}")
"""A stay's number as `hold` writes it; no sign, no other script's digits."""


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
            case {"status": "open" | "captured" | "expired"}:
                return Held(*paid(effect, booking))
            case {"status": "refused" | "void" | "refunded", "reason": str(reason)}:
                return Declined(f"the pre-authorisation is declined: {reason}")
            case other:
                raise unexpected(effect, other)

    async def capture(self, effect: Effect) -> Captured | Lapsed:
        """Take what is held for a stay; payload: `stay`."""
        booking = await self._supplier.capture(effect, hold_key(stay_in(effect)))
        answer = _outcome(effect, booking)
        if isinstance(answer, Held):
            raise unexpected(effect, booking)
        return answer

    async def look(self, effect: Effect) -> Held | Captured | Lapsed:
        """Read what the payer has of a stay; payload: `stay`."""
        booking = await self._supplier.look(effect, hold_key(stay_in(effect)))
        return _outcome(effect, booking) if booking else Lapsed("the payer knows no such hold")

    async def release(self, effect: Effect) -> Released:
        """Void or refund each hold; one that was never made never will be. payload: `holds`."""
        keys: Any = effect.payload["holds"]
        released = Released()
        for key in keys:
            match await self._supplier.cancel(effect, key):
                case {"status": "refunded", "refund_id": str(refund_id)} as booking:
                    taken = Captured(*paid(effect, booking))
                    released = replace(released, refund_id=refund_id, captured=taken)
                case {"status": "kept", "was": "captured"} as booking:
                    taken = Captured(*paid(effect, booking))
                    released = replace(released, captured=taken, kept=True)
                case {"status": "kept"}:
                    released = replace(released, kept=True)
                case {"status": "void" | "expired" | "refused"}:
                    pass
                case other:
                    raise unexpected(effect, other)
        return released


def _outcome(effect: Effect, booking: Booking) -> Held | Captured | Lapsed:
    match booking:
        case {"status": "open"}:
            return Held(*paid(effect, booking))
        case {"status": "captured"}:
            return Captured(*paid(effect, booking))
        case {"status": "refunded", "refund_id": str(refund_id)}:
            return Lapsed("the payer has refunded the price", refund_id)
        case {"status": "void" | "expired" | "refused", "reason": str(reason)}:
            return Lapsed(reason)
    raise unexpected(effect, booking)


def _due(data: Mapping[str, Any]) -> tuple[str, ChangesClosed]:
    return saga_of(data), ChangesClosed(_number(data), _held(data))


def _expired(data: Mapping[str, Any]) -> tuple[str, Expired]:
    return saga_of(data), Expired(_number(data), _held(data))


def _held(data: Mapping[str, Any]) -> Held:
    """Return what a report says is held. Raises ValueError."""
    return Held(text_of(data, "id"), minor_of(data, "amount_minor"), text_of(data, "currency"))


def _number(data: Mapping[str, Any]) -> int:
    """Return the number of the stay that a hold is for. Raises ValueError."""
    detail = text_of(data, "detail")
    if not NUMBER.fullmatch(detail):
        raise ValueError("data.detail must be the number of a stay, in 1 to 9 digits from 0 to 9")
    return int(detail)


REPORTS: Mapping[str, ReadReport] = {"hold.due": _due, "hold.expired": _expired}
"""Reader of the payer's webhooks by event type."""
