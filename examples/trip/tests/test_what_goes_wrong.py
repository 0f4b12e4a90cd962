"""Each row of the README's table "What goes wrong, and what happens" is a test here."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from trip_examples import CANCEL, CAPTURED, INN, RESERVED, RITZ, TRIP
from trip_world import HOUR, Outcome, cancels, changes, play

from saga_monitor.saga.view import Status
from sagakit.flow.routing import Router
from sagakit.testing import InMemoryService, MemoryStore
from travel.flight.decide import Booked, Flight, Refunded
from travel.flight.service import participant as flight
from travel.hotel.decide import (
    Captured,
    ChangesClosed,
    Expired,
    Held,
    Hotel,
    Lapsed,
    Phase,
    Released,
)
from travel.hotel.service import participant as hotel
from trips import CONTRACT, FLOWS
from trips.events import FlightFailed

README = Path(__file__).parents[1] / "README.md"
BOTH = (RITZ.amount_minor, TRIP.fare_minor)
NOTHING = (0, 0)
NOW, MORNING, NEXT_DAY = timedelta(), 2 * HOUR, 30 * HOUR


def is_completed(trip: Outcome) -> bool:
    """Return whether the trip was booked and paid, and its customer has the itinerary."""
    return trip.status is Status.COMPLETED and "itinerary" in trip.mails


def is_undone(trip: Outcome, because: str) -> bool:
    """Return whether nothing is booked or paid, and the customer was told why."""
    undone = trip.status is Status.CANCELLED and trip.paid == NOTHING
    return undone and because in trip.mails["cancelled"]


def test_nothing_goes_wrong() -> None:
    trip = play()
    assert is_completed(trip)
    assert (trip.stay, trip.paid) == ("Ritz", BOTH)


# --- the suppliers --------------------------------------------------------------------------------


def test_no_car() -> None:
    trip = play(car_class="refused")
    assert is_undone(trip, because="no such car")
    assert trip.types == ["TripPlaced", "CarUnavailable", "NoticeSent"]


def test_answers_are_lost() -> None:
    trip = play(car_class="lost", hotel_card="lost", flight_card="lost")
    assert is_completed(trip)
    assert trip.paid == BOTH


def test_suppliers_fail() -> None:
    trip = play(car_class="500:3", hotel_card="500:3", flight_card="500:3")
    assert is_completed(trip)
    assert trip.paid == BOTH


def test_hold_declined() -> None:
    trip = play(hotel_card="refused")
    assert is_undone(trip, because="the pre-authorisation is declined")
    assert "FlightBooked" not in trip.types


def test_hold_expires() -> None:
    trip = play(hotel_card=f"expires:{3600 * 5}")
    assert is_undone(trip, because="the pre-authorisation has expired")
    assert [kind for kind in trip.types if kind.startswith("Hotel")] == ["HotelHeld", "HotelFailed"]


def test_payer_is_silent() -> None:
    trip = play(hotel_card="silent")
    assert is_undone(trip, because="")
    assert "CompensationRequested" in trip.types


def test_flight_sold_out() -> None:
    trip = play(flight_card="refused")
    assert is_undone(trip, because="does not sell the flight")
    undone = [e for e in trip.types if e in ("FlightFailed", "HotelReleased", "CarReleased")]
    assert undone == ["FlightFailed", "HotelReleased", "CarReleased"]


def test_undo_fails() -> None:
    trip = play(car_class="undo-500:3", hotel_card="undo-500:3", flight_card="refused")
    assert is_undone(trip, because="does not sell the flight")


def test_undo_is_refused() -> None:
    trip = play(car_class="undo-refused", hotel_card="undo-refused", flight_card="refused")
    assert trip.status is Status.CANCELLED
    assert trip.paid == (RITZ.amount_minor, 0)
    assert {"HotelKept", "HotelReleased", "CarKept", "CarReleased"} <= set(trip.types)
    assert trip.cases == {"hotel_kept", "car_kept"}


def test_payer_takes_something_else() -> None:
    trip = play(hotel_card="books:1")
    assert is_undone(trip, because="the payer holds 1 EUR")
    assert "FlightBooked" not in trip.types


def test_airline_takes_something_else() -> None:
    trip = play(flight_card="books:1")
    assert is_undone(trip, because="the airline took 1 EUR")
    assert trip.cases == {"flight_mismatch"}


def test_mail_bounces() -> None:
    trip = play(email="refused+ada@customer.example")
    assert is_completed(trip)
    assert [e.refused for e in trip.events if e.type == "ItinerarySent"] == ["refused"]


# --- the customer ---------------------------------------------------------------------------------


def test_stay_changed() -> None:
    trip = play(people=changes((MORNING, INN)))
    assert is_completed(trip)
    assert (trip.stay, trip.paid) == ("Inn", (INN.amount_minor, TRIP.fare_minor))


def test_stay_changed_before_it_is_held() -> None:
    trip = play(people=changes((NOW, INN), (NOW, RITZ), (NOW, INN)))
    assert is_completed(trip)
    assert (trip.stay, trip.paid) == ("Inn", (INN.amount_minor, TRIP.fare_minor))


def test_other_stay_declined() -> None:
    trip = play(hotel_card="limit:20000", stay=INN, people=changes((MORNING, RITZ)))
    assert is_completed(trip)
    assert trip.stay == "Inn"
    assert "the pre-authorisation is declined" in trip.mails["change-refused:2"]


def test_other_stay_declined_before_the_first_is_held() -> None:
    trip = play(hotel_card="limit:20000", stay=INN, people=changes((NOW, RITZ)))
    assert is_completed(trip)
    assert trip.stay == "Inn"


def test_stay_changed_too_late() -> None:
    trip = play(people=changes((NEXT_DAY, INN)))
    assert is_completed(trip)
    assert (trip.stay, trip.paid) == ("Ritz", BOTH)


def test_cancelled() -> None:
    trip = play(people=cancels(MORNING))
    assert is_undone(trip, because="changed my mind")
    undone = [e for e in trip.types if e in ("FlightCancelled", "HotelReleased", "CarReleased")]
    assert undone == ["FlightCancelled", "HotelReleased", "CarReleased"]


def test_cancelled_at_once() -> None:
    assert is_undone(play(people=cancels(NOW)), because="changed my mind")


def test_cancelled_too_late() -> None:
    trip = play(people=cancels(NEXT_DAY))
    assert is_completed(trip)
    assert trip.paid == BOTH
    assert "the ticket is bought" in trip.mails["cancel-refused"]


def test_placed_twice() -> None:
    trip = play(people={"twice": True})
    assert is_completed(trip)
    assert trip.types.count("TripPlaced") == 1


# --- races, played step by step -------------------------------------------------------------------


def service(made: Any, state: Any, **answers: Any) -> InMemoryService[Any]:
    """Return a participant in memory whose supplier answers by kind of call."""

    def answer(result: Any) -> Any:
        async def perform(effect: Any) -> Any:
            return result

        return perform

    store = MemoryStore(state)
    perform = {kind: answer(result) for kind, result in answers.items()}
    return InMemoryService(made, store, CONTRACT, FLOWS, perform, flow="trip/1", saga_id="t1")


def test_cancelled_while_the_ticket_is_bought() -> None:
    ticket = Booked("f1", TRIP.fare_minor, "EUR")
    seat = service(flight(), Flight(), buy=ticket, refund=Refunded("re1", ticket))
    seat.receive(CAPTURED, "hotel", 1)
    seat.receive(CANCEL, "itinerary", 1)
    bought, cancelled = (*seat.perform(), *seat.perform())
    assert (bought.type, bought.amount_minor) == ("FlightBookedLate", cancelled.amount_minor)
    assert Router(FLOWS, "itinerary").route("trip/1", bought).triggers == ()


def test_undone_while_the_price_is_captured() -> None:
    money = Captured("h1", RITZ.amount_minor, "EUR")
    asked = Held("h1", RITZ.amount_minor, "EUR")
    room = service(hotel(), Hotel(), hold=asked, capture=money, release=Released("re1", money))
    room.receive(RESERVED, "car", 1)
    room.perform()
    room.call_back(ChangesClosed(0, asked))
    room.receive(FlightFailed(trip_id="t1", reason="sold out"), "flight", 1)
    captured, released = (*room.perform(), *room.perform())
    assert (captured.type, captured.amount_minor) == ("HotelCapturedLate", released.amount_minor)


def test_expired_after_the_price_was_captured() -> None:
    money = Captured("h1", RITZ.amount_minor, "EUR")
    asked, gone = Held("h1", RITZ.amount_minor, "EUR"), Lapsed("refunded", "re1")
    room = service(hotel(), Hotel(), hold=asked, capture=money, look=gone)
    room.receive(RESERVED, "car", 1)
    room.perform()
    room.call_back(ChangesClosed(0, asked))
    room.perform()
    room.call_back(Expired(0, asked))
    (reversed_,) = room.perform()
    assert (reversed_.type, reversed_.refund_id) == ("HotelReversed", "re1")
    assert reversed_.amount_minor == RITZ.amount_minor


def test_report_of_something_else() -> None:
    asked = Held("h1", RITZ.amount_minor, "EUR")
    room = service(hotel(), Hotel(), hold=asked, look=asked)
    room.receive(RESERVED, "car", 1)
    room.perform()
    room.call_back(Expired(0, Held("h1", 1, "EUR")))
    assert room.pending == ["look:h1:1EUR"]
    assert room.perform() == []
    assert room.state.phase is Phase.HELD


# --- the table ------------------------------------------------------------------------------------


def test_each_row_of_the_readme_is_a_test() -> None:
    named = set(re.findall(r"`(test_\w+)`", README.read_text()))
    here = {name for name in globals() if name.startswith("test_")}
    here |= {"test_killing_every_process_loses_nothing"}  # in test_live.py, on the real stack
    assert named == here - {"test_each_row_of_the_readme_is_a_test"}
