"""Connects itinerary to the mail service."""

from collections.abc import Mapping

from sagakit import Effect
from travel.itinerary.decide import CANCEL_REFUSED, CANCELLED, CHANGE_REFUSED, ITINERARY, Mailed
from travel.supplier import Supplier, unexpected

MAX_TEXT = 1000
TEXTS: Mapping[str, str] = {
    ITINERARY: "Your trip {trip_id} is booked: car, hotel and flight.",
    CANCELLED: "Your trip {trip_id} is cancelled: {reason}. Whatever was paid goes back to you.",
    CHANGE_REFUSED: "Your trip {trip_id} keeps its hotel: {reason}.",
    CANCEL_REFUSED: "Your trip {trip_id} cannot be cancelled: {reason}.",
}
"""Text by kind of mail; the effect's payload fills the names in braces."""


class MailService:
    """Sends mails."""

    def __init__(self, supplier: Supplier) -> None:
        self._supplier = supplier

    async def mail(self, effect: Effect) -> Mailed:
        """Send a mail once; payload: `to`, `mail` (its kind), `trip_id`, `reason`.

        Raises EffectFailed unless the service took it or refused it for good.
        """
        kind = str(effect.payload["mail"]).partition(":")[0]
        text = TEXTS[kind].format_map(effect.payload)[:MAX_TEXT]
        match await self._supplier.book(effect, subject=effect.payload["to"], detail=text):
            case {"status": "open"}:
                return Mailed()
            case {"status": "refused", "reason": str(reason)}:
                return Mailed(refused=reason)
            case other:
                raise unexpected(effect, other)
