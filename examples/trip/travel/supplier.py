"""Calls a supplier's JSON API: what the gateways of car, hotel, flight and itinerary share.

Contract of a supplier: `POST /v1/bookings`, `/v1/captures` and `/v1/cancellations`, each with the
header `Idempotency-Key`; the latter two name the booking by its key, so that also one whose answer
was lost can be cancelled. Anything but a booking in answer leaves the outcome unknown.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from sagakit import Effect, EffectFailed, HttpClient, HttpGateway, wire_key

Booking = Mapping[str, Any]


class Supplier(Protocol):
    """The port to a supplier. All methods raise EffectFailed while the outcome is unknown."""

    async def book(self, effect: Effect, **asked: Any) -> Booking:
        """Book something under the effect's key, or return what was booked under it before."""
        ...

    async def capture(self, effect: Effect, booked_as: str) -> Booking:
        """Capture what the same saga booked under the key `booked_as`."""
        ...

    async def cancel(self, effect: Effect, booked_as: str) -> Booking:
        """Cancel what the same saga booked under a key; what was never booked never will be."""
        ...


class HttpSupplier:
    """Calls a supplier over HTTP. The caller closes `client`; `base_url` has no path."""

    def __init__(self, name: str, client: HttpClient, base_url: str) -> None:
        self._http = HttpGateway(name, client, base_url)

    async def book(self, effect: Effect, **asked: Any) -> Booking:
        """See `Supplier`. An answer about something else than what was asked for says nothing."""
        body = {"reference": effect.saga, **asked}
        answer = await self._call("/v1/bookings", effect.idempotency_key, body)
        never_made = answer["status"] == "void"  # it was cancelled before it was made
        if not never_made and any(answer.get(name) != value for name, value in body.items()):
            raise self._http.unusable("/v1/bookings", f"asked for {body}, answered {answer}")
        return answer

    async def capture(self, effect: Effect, booked_as: str) -> Booking:
        """See `Supplier`."""
        return await self._about("/v1/captures", effect, booked_as)

    async def cancel(self, effect: Effect, booked_as: str) -> Booking:
        """See `Supplier`."""
        return await self._about("/v1/cancellations", effect, booked_as)

    async def _about(self, path: str, effect: Effect, booked_as: str) -> Booking:
        """Call about one booking; an effect may be about several, each under a key of its own."""
        body = {"booking_key": wire_key(effect.key_of(booked_as))}
        return await self._call(path, f"{effect.idempotency_key}:{booked_as}", body)

    async def _call(self, path: str, key: str, body: Mapping[str, Any]) -> Booking:
        answer = await self._http.call("POST", path, key, body)
        if not isinstance(answer.get("id"), str) or not isinstance(answer.get("status"), str):
            raise self._http.unusable(path, str(answer))
        return answer


def unexpected(effect: Effect, booking: Booking) -> EffectFailed:
    """Return the error for a booking in a status that the call cannot lead to."""
    return EffectFailed(f"{effect.idempotency_key}: {booking} is no answer to it; asking again")
