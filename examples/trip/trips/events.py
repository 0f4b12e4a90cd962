"""Defines events. Made by `python -m sagakit.contract.generate trips`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """A stay at a hotel. A change of the hotel is another stay with a higher number."""

    number: int
    hotel: str
    nights: int
    amount_minor: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "number": self.number,
            "hotel": self.hotel,
            "nights": self.nights,
            "amount_minor": self.amount_minor,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Stay:
        """Build it from a record as fastavro reads it."""
        return cls(
            number=record["number"],
            hotel=record["hotel"],
            nights=record["nights"],
            amount_minor=record["amount_minor"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TripFacts:
    """The facts of a trip that any step may need."""

    email: str
    currency: str
    car_class: str
    stay: Stay
    hotel_card: str
    flight: str
    fare_minor: int
    flight_card: str
    change_until: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "email": self.email,
            "currency": self.currency,
            "car_class": self.car_class,
            "stay": self.stay.to_dict(),
            "hotel_card": self.hotel_card,
            "flight": self.flight,
            "fare_minor": self.fare_minor,
            "flight_card": self.flight_card,
            "change_until": self.change_until,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> TripFacts:
        """Build it from a record as fastavro reads it."""
        return cls(
            email=record["email"],
            currency=record["currency"],
            car_class=record["car_class"],
            stay=Stay.from_dict(record["stay"]),
            hotel_card=record["hotel_card"],
            flight=record["flight"],
            fare_minor=record["fare_minor"],
            flight_card=record["flight_card"],
            change_until=record["change_until"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CarKept:
    """The rental never cancels the reservation: a person has to settle it."""

    type: ClassVar[str] = "CarKept"
    owner: ClassVar[str] = "car"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> CarKept:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CarReleaseStarted:
    """The reservation is being given back: it waits for the rental's answer."""

    type: ClassVar[str] = "CarReleaseStarted"
    owner: ClassVar[str] = "car"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> CarReleaseStarted:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CarReleased:
    """The undo is over: there is no reservation, unless CarKept says so."""

    type: ClassVar[str] = "CarReleased"
    owner: ClassVar[str] = "car"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> CarReleased:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CarReserved:
    """The rental has a car for the trip."""

    type: ClassVar[str] = "CarReserved"
    owner: ClassVar[str] = "car"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("trip.email",)
    trip_id: str
    trip: TripFacts
    reservation_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "trip": self.trip.to_dict(),
            "reservation_id": self.reservation_id,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> CarReserved:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            trip=TripFacts.from_dict(record["trip"]),
            reservation_id=record["reservation_id"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CarUnavailable:
    """The rental has no such car."""

    type: ClassVar[str] = "CarUnavailable"
    owner: ClassVar[str] = "car"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> CarUnavailable:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightBooked:
    """The flight is bought and paid: the pivot, after which nothing is undone."""

    type: ClassVar[str] = "FlightBooked"
    owner: ClassVar[str] = "flight"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    ticket_id: str
    amount_minor: int
    currency: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "ticket_id": self.ticket_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FlightBooked:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            ticket_id=record["ticket_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightBookedLate:
    """A ticket was bought although the flight is being cancelled: a refund follows."""

    type: ClassVar[str] = "FlightBookedLate"
    owner: ClassVar[str] = "flight"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    ticket_id: str
    amount_minor: int
    currency: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "ticket_id": self.ticket_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FlightBookedLate:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            ticket_id=record["ticket_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightCancelRefused:
    """The ticket is bought: the trip can no longer be cancelled."""

    type: ClassVar[str] = "FlightCancelRefused"
    owner: ClassVar[str] = "flight"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FlightCancelRefused:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightCancelStarted:
    """The flight is being cancelled while the answer to its booking is still to come."""

    type: ClassVar[str] = "FlightCancelStarted"
    owner: ClassVar[str] = "flight"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FlightCancelStarted:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightCancelled:
    """The undo is over; amount 0 if none was bought, or nothing goes back (`kept`)."""

    type: ClassVar[str] = "FlightCancelled"
    owner: ClassVar[str] = "flight"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    refund_id: str | None = None
    amount_minor: int
    currency: str | None = None
    kept: str | None = None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "refund_id": self.refund_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "kept": self.kept,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FlightCancelled:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            refund_id=record.get("refund_id"),
            amount_minor=record["amount_minor"],
            currency=record.get("currency"),
            kept=record.get("kept"),
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightFailed:
    """The airline does not sell the flight."""

    type: ClassVar[str] = "FlightFailed"
    owner: ClassVar[str] = "flight"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FlightFailed:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightKept:
    """The airline never gives back what was paid: a person has to settle it."""

    type: ClassVar[str] = "FlightKept"
    owner: ClassVar[str] = "flight"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FlightKept:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightMismatched:
    """The airline took another amount or currency than the fare: a refund follows."""

    type: ClassVar[str] = "FlightMismatched"
    owner: ClassVar[str] = "flight"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    ticket_id: str
    amount_minor: int
    currency: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "ticket_id": self.ticket_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FlightMismatched:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            ticket_id=record["ticket_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelCaptured:
    """The price of the stay is taken from the card."""

    type: ClassVar[str] = "HotelCaptured"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("trip.email",)
    trip_id: str
    trip: TripFacts
    stay: Stay
    hold_id: str
    amount_minor: int
    currency: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "trip": self.trip.to_dict(),
            "stay": self.stay.to_dict(),
            "hold_id": self.hold_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelCaptured:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            trip=TripFacts.from_dict(record["trip"]),
            stay=Stay.from_dict(record["stay"]),
            hold_id=record["hold_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelCapturedLate:
    """The price was taken although the stay is being given back: a refund follows."""

    type: ClassVar[str] = "HotelCapturedLate"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    stay: Stay
    hold_id: str
    amount_minor: int
    currency: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "stay": self.stay.to_dict(),
            "hold_id": self.hold_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelCapturedLate:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            stay=Stay.from_dict(record["stay"]),
            hold_id=record["hold_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelDoubted:
    """The payer reports something else than what is held; the hold is read at the payer."""

    type: ClassVar[str] = "HotelDoubted"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelDoubted:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelFailed:
    """There is no stay: the pre-authorisation was declined or has expired."""

    type: ClassVar[str] = "HotelFailed"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    code: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "code": self.code,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelFailed:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            code=record["code"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelHeld:
    """The payer holds the price of a stay; until it is captured, the customer may change it."""

    type: ClassVar[str] = "HotelHeld"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("trip.email",)
    trip_id: str
    trip: TripFacts
    stay: Stay
    hold_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "trip": self.trip.to_dict(),
            "stay": self.stay.to_dict(),
            "hold_id": self.hold_id,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelHeld:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            trip=TripFacts.from_dict(record["trip"]),
            stay=Stay.from_dict(record["stay"]),
            hold_id=record["hold_id"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelKept:
    """The payer never gives back what it holds or took: a person has to settle it."""

    type: ClassVar[str] = "HotelKept"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelKept:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelMismatched:
    """The payer took another amount or currency than the price: a refund follows."""

    type: ClassVar[str] = "HotelMismatched"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    stay: Stay
    hold_id: str
    amount_minor: int
    currency: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "stay": self.stay.to_dict(),
            "hold_id": self.hold_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelMismatched:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            stay=Stay.from_dict(record["stay"]),
            hold_id=record["hold_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelReleaseStarted:
    """The stay is being given back: it waits for the payer's answer."""

    type: ClassVar[str] = "HotelReleaseStarted"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelReleaseStarted:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelReleased:
    """The undo is over; amount 0 if none was taken, or none goes back (`kept`)."""

    type: ClassVar[str] = "HotelReleased"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    refund_id: str | None = None
    amount_minor: int
    currency: str | None = None
    kept: str | None = None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "refund_id": self.refund_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "kept": self.kept,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelReleased:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            refund_id=record.get("refund_id"),
            amount_minor=record["amount_minor"],
            currency=record.get("currency"),
            kept=record.get("kept"),
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HotelReversed:
    """The captured price is no longer with the payer: a person has to settle it."""

    type: ClassVar[str] = "HotelReversed"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    refund_id: str
    amount_minor: int
    currency: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "refund_id": self.refund_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> HotelReversed:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            refund_id=record["refund_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItinerarySent:
    """The customer has the itinerary."""

    type: ClassVar[str] = "ItinerarySent"
    owner: ClassVar[str] = "itinerary"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ItinerarySent:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSent:
    """The customer was told what became of the trip or of a change."""

    type: ClassVar[str] = "NoticeSent"
    owner: ClassVar[str] = "itinerary"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    kind: str
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "kind": self.kind,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> NoticeSent:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            kind=record["kind"],
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StayChangeAccepted:
    """Another stay is wanted: its price is to be held next."""

    type: ClassVar[str] = "StayChangeAccepted"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    stay: Stay

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "stay": self.stay.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> StayChangeAccepted:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            stay=Stay.from_dict(record["stay"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StayChangeRefused:
    """The trip keeps the stay that it has."""

    type: ClassVar[str] = "StayChangeRefused"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    stay: Stay
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "stay": self.stay.to_dict(),
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> StayChangeRefused:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            stay=Stay.from_dict(record["stay"]),
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StayChangeRequested:
    """The customer wants another stay."""

    type: ClassVar[str] = "StayChangeRequested"
    owner: ClassVar[str] = "itinerary"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    stay: Stay

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "stay": self.stay.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> StayChangeRequested:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            stay=Stay.from_dict(record["stay"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StayChangesClosed:
    """The change window is over: the stay that is held becomes final."""

    type: ClassVar[str] = "StayChangesClosed"
    owner: ClassVar[str] = "hotel"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> StayChangesClosed:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TripCancelRequested:
    """The customer cancels; it applies until the flight is bought."""

    type: ClassVar[str] = "TripCancelRequested"
    owner: ClassVar[str] = "itinerary"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    trip_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> TripCancelRequested:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TripPlaced:
    """A trip was booked: the start of the flow."""

    type: ClassVar[str] = "TripPlaced"
    owner: ClassVar[str] = "itinerary"
    saga_id_field: ClassVar[str | None] = "trip_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("trip.email",)
    trip_id: str
    trip: TripFacts

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "trip_id": self.trip_id,
            "trip": self.trip.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> TripPlaced:
        """Build it from a record as fastavro reads it."""
        return cls(
            trip_id=record["trip_id"],
            trip=TripFacts.from_dict(record["trip"]),
        )


EVENTS: tuple[type[Any], ...] = (
    CarKept,
    CarReleaseStarted,
    CarReleased,
    CarReserved,
    CarUnavailable,
    FlightBooked,
    FlightBookedLate,
    FlightCancelRefused,
    FlightCancelStarted,
    FlightCancelled,
    FlightFailed,
    FlightKept,
    FlightMismatched,
    HotelCaptured,
    HotelCapturedLate,
    HotelDoubted,
    HotelFailed,
    HotelHeld,
    HotelKept,
    HotelMismatched,
    HotelReleaseStarted,
    HotelReleased,
    HotelReversed,
    ItinerarySent,
    NoticeSent,
    StayChangeAccepted,
    StayChangeRefused,
    StayChangeRequested,
    StayChangesClosed,
    TripCancelRequested,
    TripPlaced,
)
