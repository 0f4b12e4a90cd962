"""Two payers in one saga: each balance is judged apart, and undone by its own step."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import AwaitMode, KindBalance, SagaView, Status
from sagakit.flow.loader import load

START = datetime(2026, 1, 2, 3, tzinfo=UTC)
OWNERS = {
    "TripAsked": "trips",
    "TripCalledOff": "trips",
    **dict.fromkeys(("HotelPaid", "HotelRefused", "HotelRepaid"), "hotel"),
    **dict.fromkeys(("FlightPaid", "FlightRefused", "FlightRepaid"), "flight"),
    "TicketSent": "ticket",
}


def payer(name: str, completed: str) -> str:
    return f"""
[steps.{name}]
kind = "compensatable"
done = "{name.title()}Paid"
failed = ["{name.title()}Refused"]
undone = "{name.title()}Repaid"
deadline = "1m"

[balances.{name}_fare]
step = "{name}"
amount = "cents"
kind = "currency"
id = "payment"
adds = ["{name.title()}Paid"]
removes = ["{name.title()}Repaid"]
kept = "refused"
completed = "{completed}"
cancelled = "zero"
"""


PLAN = Plan.of(
    load(
        f"""name = "trip"
start = "TripAsked"
cancel = "TripCalledOff"
default_version = 1

[versions]
1 = ["hotel", "flight", "ticket"]
{payer("hotel", "one_movement")}
{payer("flight", "positive")}
[steps.ticket]
kind = "retriable"
done = "TicketSent"
deadline = "1h"
""",
        OWNERS,
    ),
    1,
)


def paid(cents: int, payment: str = "p") -> dict[str, Any]:
    return {"cents": cents, "currency": "EUR", "payment": payment}


def trip(*events: tuple[str, dict[str, Any]] | str) -> Saga:
    """The facts of a trip, a second apart."""
    saga = Saga("trip/t-1")
    for n, one in enumerate(events):
        type_, detail = (one, {}) if isinstance(one, str) else one
        id_ = str(uuid5(NAMESPACE_OID, str(n)))
        at = START + timedelta(seconds=n)
        saga = fold(saga, Fact(id_, type_, at, OWNERS[type_], n + 1, detail=detail))
    return saga


def view(*events: tuple[str, dict[str, Any]] | str) -> SagaView:
    return interpret(trip(*events), PLAN)


BOTH = ("TripAsked", ("HotelPaid", paid(500)), ("FlightPaid", paid(300)))


def test_a_good_saga_with_two_payers_opens_no_intervention() -> None:
    """Before, one movement was assumed for the whole saga: two payers were one too many."""
    seen = view(*BOTH, "TicketSent")
    assert (seen.status, seen.imbalances) == (Status.COMPLETED, ())
    assert seen.balances == (
        KindBalance("hotel_fare", "EUR", 500, 0),
        KindBalance("flight_fare", "EUR", 300, 0),
    )


def test_what_one_payer_still_holds_is_awaited_of_that_payer() -> None:
    """Given a trip called off; when the hotel has repaid and the flight has not; then the flight is
    awaited, and the hotel is not, whatever the saga holds as a whole."""
    half = ("FlightRepaid", paid(100))
    seen = view(*BOTH, "TripCalledOff", half, ("HotelRepaid", paid(500)))
    assert seen.status == Status.UNDOING
    assert [(a.step, a.mode) for a in seen.awaited] == [("flight", AwaitMode.UNDO)]
    rest = ("FlightRepaid", paid(200, "p2"))
    done = view(*BOTH, "TripCalledOff", half, ("HotelRepaid", paid(500)), rest)
    assert (done.status, done.imbalances) == (Status.CANCELLED, ())


def test_what_is_never_given_back_ends_the_undo_and_is_a_case() -> None:
    """Given a payer who refuses to repay; when all else is undone; then nothing is asked for any
    more, and a person is told what is held."""
    refused = {"cents": 0, "refused": "disputed"}
    back = (("FlightRepaid", refused), ("HotelRepaid", paid(500)))
    saga = trip(*BOTH, "TripCalledOff", *back)
    seen = interpret(saga, PLAN)
    assert (seen.status, seen.awaited) == (Status.CANCELLED, ())
    emissions = due_emissions(saga, seen, START + timedelta(hours=1))
    assert [e.event.reason for e in emissions] == [
        "flight_fare: added 300 EUR, removed nothing, held 300 EUR: a cancelled saga must hold "
        "nothing"
    ]
    # Given that the other payer has repaid a part and refuses nothing, then that is awaited
    part = (("FlightRepaid", refused), ("HotelRepaid", {**paid(400), "refused": None}))
    assert [a.step for a in view(*BOTH, "TripCalledOff", *part).awaited] == ["hotel"]


def test_what_is_too_much_for_one_payer_is_no_comfort_to_the_other() -> None:
    """Given a hotel paid twice and a flight paid in two parts; when the trip is completed; then the
    intervention names the hotel's balance alone."""
    twice = (("HotelPaid", paid(500, "q")), ("FlightPaid", paid(20, "q")))
    saga = trip(*BOTH, *twice, "TicketSent")
    seen = interpret(saga, PLAN)
    emissions = due_emissions(saga, seen, START + timedelta(hours=1))
    assert [e.event.reason for e in emissions] == [
        "hotel_fare: added 1000 EUR, removed nothing, held 1000 EUR: a completed saga must hold "
        "the amount of exactly one movement"
    ]


def test_a_movement_told_twice_counts_once() -> None:
    again = view(*BOTH, ("HotelPaid", paid(500)), ("FlightPaid", paid(300)), "TicketSent")
    assert (again.balances, again.imbalances) == (view(*BOTH).balances, ())
