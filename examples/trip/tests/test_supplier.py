"""The worst that a supplier answers: stored errors, forgotten keys, final refusals, own words."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from trip_examples import RITZ, TRIP

from sagakit import Effect, EffectFailed
from sagakit.testing import InMemoryHttp
from travel.car.decide import Kept as CarKept
from travel.car.decide import Unavailable
from travel.car.gateway import Rental
from travel.flight.decide import BUY, REFUND, Booked, Kept, Refunded, Refused
from travel.flight.gateway import Airline
from travel.hotel.decide import Captured, Held, Lapsed, Released
from travel.hotel.gateway import REPORTS, Payer
from travel.supplier import NEVER_CANCELLED, OTHER_REASON, HttpSupplier

SAGA = "trip/t1"
BUYING = Effect(BUY, BUY, {"trip": TRIP.to_dict()}, SAGA)
GIVING_BACK = Effect(REFUND, REFUND, {"trip_id": "t1"}, SAGA)
TICKET: dict[str, Any] = {
    "id": "bk_1",
    "reference": SAGA,
    "idempotency_key": BUYING.idempotency_key,
    "status": "captured",
    "subject": TRIP.flight_card,
    "detail": TRIP.flight,
    "amount_minor": TRIP.fare_minor,
    "currency": TRIP.currency,
    "reason": "",
}
BOOKED = Booked("bk_1", TRIP.fare_minor, TRIP.currency)


@dataclass
class Outside:
    """Answers each POST with the same, and each GET with the same rows; notes what is asked."""

    post: httpx2.Response = field(default_factory=lambda: httpx2.Response(500, json={}))
    rows: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.method)
        if request.method == "POST":
            return self.post
        return httpx2.Response(200, json={"data": self.rows, "total": len(self.rows)})


def ask(outside: Outside, call: Callable[[HttpSupplier], Any]) -> Any:
    client = InMemoryHttp(httpx2.MockTransport(outside))
    return asyncio.run(call(HttpSupplier("airline", client, "http://airline")))


@pytest.mark.parametrize("known", [{"attempts": 5}, {"age": timedelta(hours=25)}])
def test_a_ticket_bought_before_is_found_and_not_bought_again(known: dict[str, Any]) -> None:
    effect = Effect(BUY, BUY, BUYING.payload, SAGA, **known)
    outside = Outside(rows=[TICKET])
    assert ask(outside, lambda it: Airline(it).buy(effect)) == BOOKED
    back = Effect(REFUND, REFUND, GIVING_BACK.payload, SAGA, **known)
    outside.rows = [{**TICKET, "status": "refunded", "refund_id": "re_1"}]
    assert ask(outside, lambda it: Airline(it).refund(back)) == Refunded("re_1", BOOKED)
    assert outside.asked == ["GET", "GET"]


def test_a_ticket_that_is_not_there_is_asked_for_under_its_key() -> None:
    effect = Effect(BUY, BUY, BUYING.payload, SAGA, attempts=5)
    outside = Outside(post=httpx2.Response(200, json=TICKET))
    assert ask(outside, lambda it: Airline(it).buy(effect)) == BOOKED
    assert outside.asked == ["GET", "POST"]


@pytest.mark.parametrize(("status", "code"), NEVER_CANCELLED)
def test_a_ticket_that_is_never_cancelled_ends_the_undo(status: int, code: str) -> None:
    """The ledger says what was paid: a refusal does not."""
    refusal = httpx2.Response(status, json={"error": {"code": code}})
    outside = Outside(refusal, rows=[TICKET])
    assert ask(outside, lambda it: Airline(it).refund(GIVING_BACK)) == Kept(BOOKED)
    assert outside.asked == ["POST", "GET"]
    unknown = Outside(refusal)
    assert ask(unknown, lambda it: Airline(it).refund(GIVING_BACK)) == Kept()
    refunded = Outside(refusal, rows=[{**TICKET, "status": "refunded", "refund_id": "re_1"}])
    assert ask(refunded, lambda it: Airline(it).refund(GIVING_BACK)) == Refunded("re_1", BOOKED)


def test_a_reservation_and_a_stay_that_are_never_cancelled_end_the_undo() -> None:
    refusal = httpx2.Response(409, json={"error": {"code": "not_cancellable"}})
    car = Effect("cancel", "cancel", {"trip_id": "t1"}, SAGA)
    row = {**TICKET, "status": "open", "idempotency_key": car.key_of("reserve")}
    outside = Outside(refusal, rows=[row])
    assert ask(outside, lambda it: Rental(it).cancel(car)) == CarKept()
    release = Effect("release", "release", {"holds": ["hold:0"]}, SAGA)
    row["idempotency_key"] = release.key_of("hold:0")
    assert ask(outside, lambda it: Payer(it).release(release)) == Released(kept=True)
    row["status"] = "captured"
    taken = Captured("bk_1", TRIP.fare_minor, TRIP.currency)
    assert ask(outside, lambda it: Payer(it).release(release)) == Released(
        captured=taken, kept=True
    )


@pytest.mark.parametrize(
    "other", [{"reference": "trip/t2"}, {"subject": "tok9"}, {"detail": "LH 1"}, {"id": None}]
)
def test_a_ticket_of_something_else_says_nothing(other: dict[str, Any]) -> None:
    outside = Outside(post=httpx2.Response(200, json={**TICKET, **other}))
    with pytest.raises(EffectFailed):
        ask(outside, lambda it: Airline(it).buy(BUYING))


def test_another_fare_is_told_and_a_refunded_ticket_is_none() -> None:
    odd = Outside(post=httpx2.Response(200, json={**TICKET, "amount_minor": 1}))
    assert ask(odd, lambda it: Airline(it).buy(BUYING)) == Booked("bk_1", 1, TRIP.currency)
    gone = {**TICKET, "status": "refunded", "refund_id": "re_1"}
    refunded = Outside(post=httpx2.Response(200, json=gone))
    assert isinstance(ask(refunded, lambda it: Airline(it).buy(BUYING)), Refused)


@pytest.mark.parametrize("amount", [None, "1", -1, 2**53, True])
def test_a_booking_without_a_usable_amount_says_nothing(amount: Any) -> None:
    outside = Outside(post=httpx2.Response(200, json={**TICKET, "amount_minor": amount}))
    with pytest.raises(EffectFailed):
        ask(outside, lambda it: Airline(it).buy(BUYING))


def test_a_cancellation_of_another_booking_says_nothing() -> None:
    """Given a refund of the ticket; when the airline answers with another booking than the one
    that was named; then the outcome is unknown."""
    other = {**TICKET, "status": "refunded", "refund_id": "re_1", "idempotency_key": "trip/t2:buy"}
    outside = Outside(post=httpx2.Response(200, json=other))
    with pytest.raises(EffectFailed):
        ask(outside, lambda it: Airline(it).refund(GIVING_BACK))


def test_a_hold_is_read_in_the_ledger() -> None:
    effect = Effect("look", "look:expired", {"stay": RITZ.to_dict()}, SAGA)
    row = {**TICKET, "idempotency_key": effect.key_of("hold:0")}
    found = {
        "open": Held("bk_1", TRIP.fare_minor, TRIP.currency),
        "captured": Captured("bk_1", TRIP.fare_minor, TRIP.currency),
        "void": Lapsed(""),
        "refunded": Lapsed("the payer has refunded the price", "re_1"),
    }
    for status, answer in found.items():
        outside = Outside(rows=[{**row, "status": status, "refund_id": "re_1"}])
        assert ask(outside, lambda it: Payer(it).look(effect)) == answer
    assert ask(Outside(), lambda it: Payer(it).look(effect)) == Lapsed(
        "the payer knows no such hold"
    )


@pytest.mark.parametrize("words", ["no way to Münster 5", "x" * 600_000, "a\u0000b"])
def test_words_of_a_supplier_are_not_kept(words: str) -> None:
    refused = {"id": "bk_1", "status": "refused", "reference": SAGA, "reason": words}
    outside = Outside(post=httpx2.Response(200, json={**refused, "subject": TRIP.car_class}))
    effect = Effect("reserve", "reserve", {"trip": TRIP.to_dict()}, SAGA)
    answer = ask(outside, lambda it: Rental(it).reserve(effect))
    assert answer == Unavailable(f"the rental has no such car: {OTHER_REASON}")
    other = Outside(post=httpx2.Response(200, json={"id": "bk_1", "status": words}))
    with pytest.raises(EffectFailed) as error:
        ask(other, lambda it: Rental(it).reserve(effect))
    assert len(str(error.value)) < 300
    assert "nster" not in str(error.value)


# --- webhooks of the payer ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(REPORTS))
@pytest.mark.parametrize("detail", ["abc", "1_0", "\u0663", " 7 ", "-1", "+1", "1.0", "9" * 10, 7])
def test_a_stay_whose_number_is_none_is_refused_by_the_name_of_the_field(
    kind: str, detail: Any
) -> None:
    data = {"reference": SAGA, "id": "h1", "amount_minor": 1, "currency": "EUR", "detail": detail}
    with pytest.raises(ValueError, match=r"^data\.detail must be "):
        REPORTS[kind](data)


@pytest.mark.parametrize("kind", sorted(REPORTS))
def test_a_stay_is_found_by_its_number(kind: str) -> None:
    data = {"reference": SAGA, "id": "h1", "amount_minor": 1, "currency": "EUR", "detail": "10"}
    saga, report = REPORTS[kind](data)
    assert (saga, report.number) == (SAGA, 10)
