"""The worst that a supplier answers: stored errors, forgotten keys, final refusals, own words."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from trip_examples import TRIP

from sagakit import Effect, EffectFailed
from sagakit.testing import InMemoryHttp
from travel.car.decide import Unavailable
from travel.car.gateway import Rental
from travel.flight.decide import BUY, REFUND, Booked, Refunded
from travel.flight.gateway import Airline
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
    """Nothing goes back; the balance of the flight then opens a case."""
    outside = Outside(post=httpx2.Response(status, json={"error": {"code": code}}))
    assert ask(outside, lambda it: Airline(it).refund(GIVING_BACK)) == Refunded()


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
