"""The worst that a provider and a carrier answer: hostile texts, stored errors, forgotten keys."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx2
import orjson
import pytest

from sagakit.decider import Effect
from sagakit.effects.http_gateway import KEY_MEMORY, LOOK_AFTER, wire_key
from sagakit.errors import EffectFailed, ResultPending
from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.testing import InMemoryHttp
from services.payment.gateway import REFUSED_FOR_GOOD, HttpProvider
from services.payment.ledger import (
    Captured,
    Declined,
    Refunded,
    RefundRefused,
    charge_effect,
)
from services.payment.service import REPORTS
from services.shipping.decide import Cancelled, Labelled, PickedUp, Refused, TooLate
from services.shipping.gateway import GONE, KEPT, OTHER_REFUSAL, HttpCarrier
from services.shipping.service import REPORTS as PICKUPS
from tests.order_facts import ONE_TEA

SAGA = "order/o1"
CHARGE = replace(charge_effect("o1", ONE_TEA), saga=SAGA)
REFUND = Effect("refund", "refund:1", {"charge_id": "ch_1", "amount_minor": 5}, SAGA)
LABEL = Effect("label", "label", {"order_id": "o1", "order": ONE_TEA.to_dict()}, SAGA)
CANCEL = Effect("cancel", "cancel", {"order_id": "o1", "label_id": "lb_1"}, SAGA)
ROW = {"reference": SAGA, "idempotency_key": wire_key(CHARGE.idempotency_key)}
CHARGED: dict[str, Any] = {
    **ROW,
    "id": "ch_1",
    "status": "captured",
    "amount_minor": ONE_TEA.total_minor,
    "currency": ONE_TEA.currency,
}
LABELLED: dict[str, Any] = {
    "reference": SAGA,
    "idempotency_key": wire_key(LABEL.idempotency_key),
    "id": "lb_1",
    "tracking": "T1",
    "status": "created",
}
OLD = {"age": KEY_MEMORY}
TRIED = {"attempts": LOOK_AFTER}
ADDRESSES = ("Münsterstraße 5", "M\u0308u\nnster", "MÜNSTER")


@dataclass
class Outside:
    """Answers each POST with the same, and each GET with a page of `rows`; notes what is asked."""

    post: httpx2.Response = field(default_factory=lambda: httpx2.Response(500, json={}))
    rows: list[dict[str, Any]] = field(default_factory=list)
    page: httpx2.Response | None = None
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            return self.post
        return self.page or httpx2.Response(200, json={"data": self.rows, "total": len(self.rows)})


def ask(outside: Outside, perform: Callable[[Any, Any], Awaitable[Any]], effect: Effect) -> Any:
    """Return the result of one attempt at an effect."""
    client = InMemoryHttp(httpx2.MockTransport(outside))

    async def run() -> Any:
        if effect.kind in ("charge", "refund"):
            return await perform(HttpProvider(client, "http://bank"), effect)
        return await perform(HttpCarrier(client, "http://c", KeyServiceClient(None)), effect)

    return asyncio.run(run())


# --- stored errors and forgotten keys -------------------------------------------------------------


@pytest.mark.parametrize("known", [OLD, TRIED], ids=["old", "often tried"])
@pytest.mark.parametrize(
    ("perform", "effect", "rows", "result"),
    [
        (HttpProvider.charge, CHARGE, [CHARGED], Captured("ch_1", 2501, "EUR")),
        (
            HttpProvider.charge,
            CHARGE,
            [{**CHARGED, "status": "declined"}],
            Declined("ch_1", "declined", "the provider says declined"),
        ),
        (
            HttpProvider.refund,
            REFUND,
            [
                {
                    "reference": SAGA,
                    "idempotency_key": wire_key(f"{SAGA}:refund:1"),
                    "id": "re_1",
                    "charge_id": "ch_1",
                    "status": "refunded",
                    "amount_minor": 5,
                }
            ],
            Refunded("re_1", 5, "ch_1"),
        ),
        (HttpCarrier.label, LABEL, [LABELLED], Labelled("lb_1", "T1")),
        (
            HttpCarrier.label,
            LABEL,
            [{**LABELLED, "status": "picked_up"}],
            PickedUp("o1", "lb_1", "T1"),
        ),
        (HttpCarrier.cancel, CANCEL, [{**LABELLED, "status": "cancelled"}], Cancelled()),
        (HttpCarrier.cancel, CANCEL, [{**LABELLED, "status": "picked_up"}], TooLate()),
    ],
    ids=["charge", "declined", "refund", "label", "picked up", "cancelled", "too late"],
)
def test_what_was_made_is_found_by_its_order_and_not_asked_for_again(
    known: dict[str, Any], perform: Any, effect: Effect, rows: list[dict[str, Any]], result: Any
) -> None:
    """Given a key that is forgotten, or keeps a 500, then the ledger tells, and nothing is made."""
    outside = Outside(rows=[{**rows[0], "idempotency_key": "another", "id": "x"}, *rows])
    assert ask(outside, perform, replace(effect, **known)) == result
    assert not [call for call in outside.asked if call.startswith("POST")]


@pytest.mark.parametrize("effect", [CHARGE, LABEL, CANCEL])
@pytest.mark.parametrize("known", [OLD, TRIED], ids=["old", "often tried"])
def test_what_was_not_made_is_asked_for_again_under_its_key(
    effect: Effect, known: dict[str, Any]
) -> None:
    performs: dict[str, Any] = {
        "charge": HttpProvider.charge,
        "label": HttpCarrier.label,
        "cancel": HttpCarrier.cancel,
    }
    outside = Outside(
        rows=[{**CHARGED, "reference": "order/o2"}, {**CHARGED, "idempotency_key": 1}]
    )
    with pytest.raises(EffectFailed, match="500"):
        ask(outside, performs[effect.kind], replace(effect, **known))
    assert [call.partition(" ")[0] for call in outside.asked] == ["GET", "POST"]


def test_a_young_call_is_not_looked_up() -> None:
    outside = Outside()
    with pytest.raises(EffectFailed):
        ask(outside, HttpProvider.charge, replace(CHARGE, attempts=LOOK_AFTER - 1))
    assert outside.asked == ["POST /v1/charges"]


def test_without_the_ledger_an_old_call_takes_no_money_and_a_young_one_is_asked_again() -> None:
    down = httpx2.Response(503)
    outside = Outside(post=httpx2.Response(200, json=CHARGED), page=down)
    with pytest.raises(EffectFailed, match="GET /v1/charges"):
        ask(outside, HttpProvider.charge, replace(CHARGE, age=KEY_MEMORY))
    assert outside.asked == ["GET /v1/charges"]
    took = ask(outside, HttpProvider.charge, replace(CHARGE, attempts=LOOK_AFTER))
    assert isinstance(took, Captured)


def test_a_refund_that_is_pending_in_the_ledger_is_pending() -> None:
    key = wire_key(REFUND.idempotency_key)
    row = {"reference": SAGA, "idempotency_key": key, "id": "re_1", "status": "pending"}
    outside = Outside(rows=[row])
    with pytest.raises(ResultPending):
        ask(outside, HttpProvider.refund, replace(REFUND, age=timedelta(days=3)))
    assert outside.asked == ["GET /v1/refunds"]


# --- final refusals of an undo --------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 409, 422])
@pytest.mark.parametrize("code", REFUSED_FOR_GOOD)
def test_a_refund_refused_for_good_is_an_answer(status: int, code: str) -> None:
    refusal = {"error": {"code": code, "message": "disputed by Ada, Main Street 5"}}
    outside = Outside(post=httpx2.Response(status, json=refusal))
    assert ask(outside, HttpProvider.refund, REFUND) == RefundRefused(code)


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_label_that_is_never_cancelled_is_an_answer(status: int) -> None:
    for codes, result in ((KEPT, TooLate()), (GONE, Cancelled())):
        for code in codes:
            refusal = {"error": {"code": code, "message": "Main Street 5"}}
            outside = Outside(post=httpx2.Response(status, json=refusal))
            assert ask(outside, HttpCarrier.cancel, CANCEL) == result


@pytest.mark.parametrize(("status", "code"), [(500, "charge_disputed"), (409, "try_later")])
def test_another_refusal_of_a_refund_is_none(status: int, code: str) -> None:
    outside = Outside(post=httpx2.Response(status, json={"error": {"code": code}}))
    with pytest.raises(EffectFailed):
        ask(outside, HttpProvider.refund, REFUND)


# --- amounts that are none ------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["refunded", "partial", "failed"])
@pytest.mark.parametrize("amount_minor", [-100_000, True, 6, 2.5, "5", 2**60])
def test_a_refund_of_what_is_no_amount_or_above_what_was_asked_for_is_no_answer(
    status: str, amount_minor: Any
) -> None:
    body = {"id": "re_1", "charge_id": "ch_1", "status": status, "amount_minor": amount_minor}
    outside = Outside(post=httpx2.Response(200, json=body))
    with pytest.raises(EffectFailed):
        ask(outside, HttpProvider.refund, REFUND)


@pytest.mark.parametrize("status", ["refunded", "partial"])
def test_a_refund_of_nothing_is_asked_for_again_under_its_key(status: str) -> None:
    body = {"id": "re_1", "charge_id": "ch_1", "status": status, "amount_minor": 0}
    with pytest.raises(EffectFailed):
        ask(Outside(post=httpx2.Response(200, json=body)), HttpProvider.refund, REFUND)


@pytest.mark.parametrize("amount_minor", [True, -1, 2**60, "2501"])
def test_a_charge_of_what_is_no_amount_is_no_answer(amount_minor: Any) -> None:
    outside = Outside(post=httpx2.Response(200, json={**CHARGED, "amount_minor": amount_minor}))
    with pytest.raises(EffectFailed):
        ask(outside, HttpProvider.charge, CHARGE)


@pytest.mark.parametrize(
    "other",
    [
        {"label_id": "lb_2"},
        {"label_key": "order/o2:label"},
        {"reference": "order/o2"},
        {"reference": None},
    ],
)
@pytest.mark.parametrize("status", ["cancelled", "too_late"])
def test_a_cancellation_of_another_label_is_no_answer(status: str, other: dict[str, Any]) -> None:
    body = {"status": status, "reference": SAGA, **other}
    with pytest.raises(EffectFailed):
        ask(Outside(post=httpx2.Response(200, json=body)), HttpCarrier.cancel, CANCEL)


def test_a_cancellation_of_the_order_is_an_answer_also_where_it_names_no_label() -> None:
    outside = Outside(post=httpx2.Response(200, json={"status": "cancelled", "reference": SAGA}))
    assert ask(outside, HttpCarrier.cancel, CANCEL) == Cancelled()


@pytest.mark.parametrize("effect", [LABEL, CANCEL], ids=["label", "cancellation"])
def test_an_answer_of_the_carrier_without_a_reference_is_none(effect: Effect) -> None:
    body = {**LABELLED, "status": "created" if effect is LABEL else "cancelled"}
    del body["reference"]
    perform: Any = HttpCarrier.label if effect is LABEL else HttpCarrier.cancel
    with pytest.raises(EffectFailed):
        ask(Outside(post=httpx2.Response(200, json=body)), perform, effect)


@pytest.mark.parametrize("parcels", [True, 0, 10_001, "2"])
def test_a_label_of_an_impossible_number_of_parcels_is_no_answer(parcels: Any) -> None:
    outside = Outside(post=httpx2.Response(200, json={**LABELLED, "parcels": parcels}))
    with pytest.raises(EffectFailed):
        ask(outside, HttpCarrier.label, LABEL)


@pytest.mark.parametrize("parcels", [2**52, 0, -1, True, None, "2"])
def test_a_pickup_of_an_impossible_number_of_parcels_is_refused(parcels: Any) -> None:
    data = {"id": "lb_1", "reference": SAGA, "tracking": "T", "parcels": parcels}
    with pytest.raises(ValueError, match=r"data\.parcels must be a whole number from 1 to 10000"):
        PICKUPS["label.picked_up"](data)


# --- hostile texts --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*ADDRESSES, "x" * 600_000, "a\u0000b", "\u001b]52;c;AA\u0007"])
def test_words_of_the_carrier_reach_no_reason(text: str) -> None:
    for name in ("code", "reason"):
        body = {"reference": SAGA, "status": "refused", "code": "no_way", name: text}
        outside = Outside(post=httpx2.Response(200, content=orjson.dumps(body)))
        assert ask(outside, HttpCarrier.label, LABEL) == Refused(OTHER_REFUSAL)


@pytest.mark.parametrize("text", [*ADDRESSES, "x" * 600_000, "\0", "\u001b]52;c;AA\u0007"])
def test_an_unknown_decline_code_reaches_no_reason(text: str) -> None:
    declined = {**CHARGED, "status": "declined", "decline_code": text}
    outside = Outside(post=httpx2.Response(200, content=orjson.dumps(declined)))
    expected = Declined("ch_1", "declined", "the provider says declined")
    assert ask(outside, HttpProvider.charge, CHARGE) == expected
    assert REPORTS["charge.declined"](declined) == (SAGA, expected)


@pytest.mark.parametrize("bad", ["x" * 600_000, "x" * 256, "a\nb", ""])
def test_an_id_that_is_none_is_no_answer(bad: str) -> None:
    """Given an id too long or not printable, then it is asked again: a cut id names nothing."""
    answers: list[tuple[Any, Effect, dict[str, Any]]] = [
        (HttpProvider.charge, CHARGE, {**CHARGED, "id": bad}),
        (HttpProvider.refund, REFUND, {"id": bad, "status": "refunded", "amount_minor": 5}),
        (
            HttpProvider.charge,
            CHARGE,
            {**CHARGED, "status": "action_required", "action_url": f"{bad} {'x' * 2000}"},
        ),
        (HttpCarrier.label, LABEL, {**LABELLED, "id": bad}),
        (HttpCarrier.label, LABEL, {**LABELLED, "tracking": bad}),
    ]
    for perform, effect, body in answers:
        outside = Outside(post=httpx2.Response(200, content=orjson.dumps(body)))
        with pytest.raises(EffectFailed) as error:
            ask(outside, perform, effect)
        assert len(str(error.value)) < 300
