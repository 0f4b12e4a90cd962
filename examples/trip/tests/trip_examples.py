"""A trip, its events, and what its suppliers answer."""

from trips.events import (
    CarReserved,
    FlightBooked,
    HotelCaptured,
    HotelHeld,
    Stay,
    TripCancelRequested,
    TripFacts,
    TripPlaced,
)

RITZ = Stay(number=0, hotel="Ritz", nights=2, amount_minor=40_000)
INN = Stay(number=1, hotel="Inn", nights=2, amount_minor=12_000)
TRIP = TripFacts(
    email="ada@customer.example",
    currency="EUR",
    car_class="compact",
    stay=RITZ,
    hotel_card="tok",
    flight="LH 400",
    fare_minor=55_000,
    flight_card="tok",
    change_until=4_000_000_000,
)
REASON = "changed my mind"
PLACED = TripPlaced(trip_id="t1", trip=TRIP)
CANCEL = TripCancelRequested(trip_id="t1", reason=REASON)
RESERVED = CarReserved(trip_id="t1", trip=TRIP, reservation_id="r1")
HELD = HotelHeld(trip_id="t1", trip=TRIP, stay=RITZ, hold_id="h1")
CAPTURED = HotelCaptured(
    trip_id="t1", trip=TRIP, stay=RITZ, hold_id="h1", amount_minor=40_000, currency="EUR"
)
BOOKED = FlightBooked(trip_id="t1", ticket_id="f1", amount_minor=55_000, currency="EUR")
