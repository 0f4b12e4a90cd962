"""Connects car to the rental."""

from typing import Any

from sagakit import Effect
from travel.car.decide import RESERVE, Cancelled, Kept, Reserved, Unavailable
from travel.supplier import Supplier, unexpected


class Rental:
    """Reserves cars. Both methods raise EffectFailed when the outcome is unknown."""

    def __init__(self, supplier: Supplier) -> None:
        self._supplier = supplier

    async def reserve(self, effect: Effect) -> Reserved | Unavailable:
        """Reserve a car under the effect's key; payload: `trip`."""
        trip: Any = effect.payload["trip"]
        match await self._supplier.book(effect, subject=trip["car_class"]):
            case {"status": "open", "id": str(reservation_id)}:
                return Reserved(reservation_id)
            case {"status": "refused" | "void", "reason": str(reason)}:
                return Unavailable(f"the rental has no such car: {reason}")
            case other:
                raise unexpected(effect, other)

    async def cancel(self, effect: Effect) -> Cancelled | Kept:
        """Cancel the reservation; one that was never made never will be."""
        match await self._supplier.cancel(effect, RESERVE):
            case {"status": "void" | "refused" | "expired"}:
                return Cancelled()
            case {"status": "kept"}:
                return Kept()
            case other:
                raise unexpected(effect, other)
