"""Calls a supplier's JSON API: what the gateways of car, hotel, flight and itinerary share.

Contract of a supplier: `POST /v1/bookings`, `/v1/captures` and `/v1/cancellations`, each with the
header `Idempotency-Key`; the latter two name the booking by its key, so that also one whose answer
was lost can be cancelled. `GET /v1/bookings` is the supplier's ledger. Any answer but the booking
that was asked about leaves the outcome unknown; the participant says whether its amount fits.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from sagakit import (
    Effect,
    EffectFailed,
    HttpClient,
    HttpGateway,
    asks_first,
    is_identifier,
    wire_key,
)

Booking = Mapping[str, Any]
KEPT = "kept"
"""Status of a booking whose cancellation is refused for good; `was`: the one that it has."""
ACTIVE = ("open", "captured")
"""Statuses of a booking that holds or has taken something."""
NEVER_CANCELLED = tuple((status, "not_cancellable") for status in (400, 403, 409, 422))
STATUSES = ("captured", "expired", "open", "refunded", "refused", "void")
"""Statuses of a booking; errors show them."""
MAX_MINOR = 2**53
REASONS = (
    "above the limit",
    "cancelled before it was made",
    "refused",
    "the pre-authorisation has expired",
)
"""Why a booking was not made or has ended. Other words may hold what was sent, and are not kept."""
OTHER_REASON = "for a reason that is not known here"


class Supplier(Protocol):
    """The port to a supplier. All methods raise EffectFailed while the outcome is unknown."""

    async def book(self, effect: Effect, **asked: Any) -> Booking:
        """Book something under the effect's key, or return what was booked under it before."""
        ...

    async def capture(self, effect: Effect, booked_as: str) -> Booking:
        """Capture what the same saga booked under the key `booked_as`."""
        ...

    async def cancel(self, effect: Effect, booked_as: str) -> Booking:
        """Cancel what the same saga booked under a key; what was never booked never will be.

        The booking is KEPT if the supplier refuses for good.
        """
        ...

    async def look(self, effect: Effect, booked_as: str) -> Booking | None:
        """Return what the same saga booked under a key, None if the supplier has none."""
        ...


class HttpSupplier:
    """Calls a supplier over HTTP. The caller closes `client`; `base_url` has no path."""

    def __init__(self, name: str, client: HttpClient, base_url: str) -> None:
        self._http = HttpGateway(name, client, base_url, STATUSES)

    async def book(self, effect: Effect, **asked: Any) -> Booking:
        """See `Supplier`. An answer about something else than what was asked for says nothing."""
        body = {"reference": effect.saga, **asked}
        answer = await self._made_before(effect, effect.key)
        if answer is None:
            answer = await self._call("/v1/bookings", effect.idempotency_key, body)
        never_made = answer["status"] == "void"  # it was cancelled before it was made
        if not never_made:
            judged = ("amount_minor", "currency")
            named = {name: value for name, value in body.items() if name not in judged}
            self._http.check_echo("/v1/bookings", answer, named)
        return answer

    async def capture(self, effect: Effect, booked_as: str) -> Booking:
        """See `Supplier`."""
        booking = await self._made_before(effect, booked_as)
        if booking and booking["status"] != "open":
            return booking
        return await self._about("/v1/captures", effect, booked_as)

    async def cancel(self, effect: Effect, booked_as: str) -> Booking:
        """See `Supplier`. What is kept is read in the ledger: a refusal does not say."""
        booking = await self._made_before(effect, booked_as)
        if booking is None or booking["status"] in ACTIVE:
            booking = await self._about("/v1/cancellations", effect, booked_as)
        if booking["status"] == KEPT:
            return kept(await self.look(effect, booked_as))
        return booking

    async def look(self, effect: Effect, booked_as: str) -> Booking | None:
        """See `Supplier`."""
        found = await self._http.made_before("/v1/bookings", effect, effect.key_of(booked_as))
        return None if found is None else self._booking("/v1/bookings", found)

    async def _about(self, path: str, effect: Effect, booked_as: str) -> Booking:
        """Call about one booking; an effect may be about several, each under a key of its own."""
        body = {"booking_key": wire_key(effect.key_of(booked_as))}
        answer = await self._call(path, f"{effect.idempotency_key}:{booked_as}", body)
        if answer["status"] != KEPT:
            self._http.check_echo(path, answer, {"idempotency_key": body["booking_key"]})
        return answer

    async def _made_before(self, effect: Effect, booked_as: str) -> Booking | None:
        """Return what was booked under a key, if asking again may not tell (`asks_first`)."""
        return await self.look(effect, booked_as) if asks_first(effect) else None

    async def _call(self, path: str, key: str, body: Mapping[str, Any]) -> Booking:
        refusals = NEVER_CANCELLED if path == "/v1/cancellations" else ()
        answer = await self._http.call("POST", path, key, body, refusals=refusals)
        return {"status": KEPT} if "error" in answer else self._booking(path, answer)

    def _booking(self, path: str, answer: Mapping[str, Any]) -> Booking:
        """Return an answer that is a booking. Raises EffectFailed."""
        if not is_identifier(answer.get("id")) or answer.get("status") not in STATUSES:
            raise self._http.unusable(path, answer)
        reason = answer.get("reason")
        return {**answer, "reason": reason if reason in ("", *REASONS) else OTHER_REASON}


def kept(found: Booking | None) -> Booking:
    """Return a booking whose cancellation is refused for good; one that has ended is no such."""
    if found is None:
        return {"status": KEPT, "was": "unknown"}
    return {**found, "status": KEPT, "was": found["status"]} if found["status"] in ACTIVE else found


def paid(effect: Effect, booking: Booking) -> tuple[str, int, str]:
    """Return a booking's id, amount and currency. Raises EffectFailed if it has none."""
    minor, currency = booking.get("amount_minor"), booking.get("currency")
    if type(minor) is int and 0 <= minor < MAX_MINOR and is_identifier(currency):
        return str(booking["id"]), minor, str(currency)
    raise unexpected(effect, booking)


def unexpected(effect: Effect, booking: Booking) -> EffectFailed:
    """Return the error for a booking in a status that the call cannot lead to."""
    return EffectFailed(
        f"{effect.idempotency_key}: a booking that is {booking['status']} is no answer to it; "
        "asking again"
    )
