"""Judges a trip by the suppliers' ledgers. Pure; simulation and live stack share it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from travel.itinerary.decide import CANCEL_REFUSED, CANCELLED, CHANGE_REFUSED, ITINERARY, MAIL

Row = Mapping[str, Any]
Books = Mapping[str, Sequence[Row]]
"""Supplier (car, hotel, flight, mail) -> its bookings of one trip, as its API shows them."""


def broken_rules(end: str, events: Iterable[Any], books: Books) -> Iterator[str]:
    """Yield what the ledgers say against a trip that has ended `completed` or `cancelled`.

    `events`: all of the trip.
    """
    events = list(events)
    last = {event.type: event for event in events}
    cars, holds = _in_force(books["car"]), _in_force(books["hotel"])
    tickets = _in_force(books["flight"])
    if end == "completed":
        if len(cars) != 1:
            yield f"completed with {len(cars)} cars"
        if [hold["status"] for hold in holds] != ["captured"]:
            yield f"completed, and the payer has {_shown(holds)}"
        elif holds[0]["amount_minor"] != last["HotelCaptured"].stay.amount_minor:
            yield f"completed, and another stay was paid: {_shown(holds)}"
        trip = last["TripPlaced"].trip
        if [ticket["amount_minor"] for ticket in tickets] != [trip.fare_minor]:
            yield f"completed, and the airline has {_shown(tickets)}"
    elif end == "cancelled":
        kept = [row for rows in books.values() for row in rows if row["cancel_refused"]]
        left = [*cars, *holds, *tickets]
        if left:
            yield f"cancelled, and the suppliers have {_shown(left)}"
        if kept and not last.keys() & {"CarKept", "HotelKept", "FlightKept"}:
            yield f"cancelled, and nobody was called for {_shown(kept)}"
    due, mails = sorted(_mails_due(end, events)), sorted(_mails(books["mail"]))
    if mails != due:
        yield f"the customer got the mails {mails}, not {due}"


def false_claims(event: Any, books: Books) -> Iterator[str]:
    """Yield what an event claims that the ledgers do not say at the moment it is appended."""
    match event.type:
        case "CarReleased" if _in_force(books["car"]):
            yield "the rental has a car for it"
        case "HotelReleased" if _in_force(books["hotel"]):
            yield f"the payer has {_shown(_in_force(books['hotel']))}"
        case "FlightCancelled" if _in_force(books["flight"]):
            yield "the airline has a ticket"
        case "HotelCaptured" | "HotelCapturedLate" | "HotelMismatched" if not _took(
            books["hotel"], event
        ):
            yield f"the payer took no {event.amount_minor}"
        case "FlightBooked" | "FlightBookedLate" | "FlightMismatched" if not _took(
            books["flight"], event
        ):
            yield f"the airline took no {event.amount_minor}"


def kept(rows: Sequence[Row]) -> int:
    """Return the minor units that a payer has taken and not given back."""
    return sum(row["amount_minor"] for row in rows if row["status"] == "captured")


def _mails_due(end: str, events: Iterable[Any]) -> set[str]:
    """Return the kinds of mail that a trip has to send by its end, each once."""
    due = {ITINERARY if end == "completed" else CANCELLED}
    for event in events:
        match event.type:
            case "StayChangeRefused":
                due.add(f"{CHANGE_REFUSED}:{event.stay.number}")
            case "FlightCancelRefused":
                due.add(CANCEL_REFUSED)
    return due


def _mails(rows: Sequence[Row]) -> list[str]:
    """Return the kinds of mail that were handed over, also those that cannot be delivered."""
    return [str(row["key"]).partition(f":{MAIL}:")[2] for row in rows]


def _shown(rows: Sequence[Row]) -> str:
    return ", ".join(f"{r['key']} {r['status']} {r['amount_minor']}" for r in rows) or "nothing"


def _in_force(rows: Sequence[Row]) -> list[Row]:
    """Return what is booked, but for what its supplier refused to cancel."""
    active = [row for row in rows if row["status"] in ("open", "captured")]
    return [row for row in active if not row["cancel_refused"]]


def _took(rows: Sequence[Row], event: Any) -> bool:
    taken = [row for row in rows if row["status"] in ("captured", "refunded")]
    return any(row["amount_minor"] == event.amount_minor for row in taken)
