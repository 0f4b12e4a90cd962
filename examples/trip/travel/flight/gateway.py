"""Connects flight to the airline."""

from typing import Any

from sagakit import Effect
from travel.flight.decide import BUY, Booked, Kept, Refunded, Refused
from travel.supplier import Supplier, paid, unexpected


class Airline:
    """Sells tickets. Both methods raise EffectFailed when the outcome is unknown."""

    def __init__(self, supplier: Supplier) -> None:
        self._supplier = supplier

    async def buy(self, effect: Effect) -> Booked | Refused:
        """Buy the ticket under the effect's key; payload: `trip`."""
        trip: Any = effect.payload["trip"]
        booking = await self._supplier.book(
            effect,
            subject=trip["flight_card"],
            detail=trip["flight"],
            amount_minor=trip["fare_minor"],
            currency=trip["currency"],
        )
        match booking:
            case {"status": "captured"}:
                return Booked(*paid(effect, booking))
            case {"status": "refunded"}:
                return Refused("the airline has cancelled the ticket and refunded it")
            case {"status": "refused" | "void", "reason": str(reason)}:
                return Refused(f"the airline does not sell the flight: {reason}")
            case other:
                raise unexpected(effect, other)

    async def refund(self, effect: Effect) -> Refunded | Kept:
        """Cancel the booking and refund its ticket; one that was never made never will be."""
        match await self._supplier.cancel(effect, BUY):
            case {"status": "refunded", "refund_id": str(refund_id)} as booking:
                return Refunded(refund_id, Booked(*paid(effect, booking)))
            case {"status": "void" | "refused"}:
                return Refunded()
            case {"status": "kept", "was": "captured"} as booking:
                return Kept(Booked(*paid(effect, booking)))
            case {"status": "kept"}:
                return Kept()
            case other:
                raise unexpected(effect, other)
