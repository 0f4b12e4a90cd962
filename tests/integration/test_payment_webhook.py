"""The route that takes the provider's webhook."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import orjson
import pytest

from sagakit.decider import fold
from sagakit.web.app import make_app
from sagakit.web.signed_webhook import EARLY_FOR, HEADER, sign
from schemas.events import (
    PaymentCaptured,
    PaymentDeclined,
    PaymentDisputeLost,
    PaymentDisputeOpened,
    PaymentDisputeWon,
    PaymentPending,
    PaymentRefundFailed,
    PaymentRefundStarted,
    PaymentReportDoubted,
)
from services.payment.decide import decide
from services.payment.ledger import Payment, evolve
from services.payment.service import webhook
from tests.in_memory_app import MemorySubmitter, ask
from tests.order_facts import ONE_TEA
from tests.outside_processes import SECRET


def payments(state: Payment | None = None) -> MemorySubmitter[Payment]:
    submitter = MemorySubmitter(Payment(), decide, evolve)
    if state is not None:
        submitter.states["order/o1"] = state
    return submitter


PENDING = evolve(Payment(), PaymentPending(order_id="o1", order=ONE_TEA, charge_id="ch1"))
REFUNDING = fold(
    evolve,
    Payment(),
    (
        PaymentCaptured(
            order_id="o1", order=ONE_TEA, charge_id="ch1", amount_minor=2501, currency="EUR"
        ),
        PaymentRefundStarted(order_id="o1", charge_id="ch1", amount_minor=2501, reason="x"),
    ),
)
CHARGE = {"id": "ch1", "reference": "order/o1", "amount_minor": 2501, "currency": "EUR"}
DISPUTE = {"id": "dp1", "charge_id": "ch1"} | {
    name: CHARGE[name] for name in ("reference", "amount_minor", "currency")
}
REFUND = {"id": "re1", "reference": "order/o1", "charge_id": "ch1", "amount_minor": 2501}


def post(
    submitter: MemorySubmitter[Payment], body: bytes, signature: str | None = None
) -> httpx2.Response:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    app = make_app("payment", {}, webhook([SECRET], lambda: now)(submitter))
    made = signature or sign(SECRET, body, int(now.timestamp()))
    return ask(app, "POST", "/webhooks/provider", content=body, headers={HEADER: made})


def event(data: Any, kind: Any = "charge.captured", event_id: Any = "evt_1") -> bytes:
    return orjson.dumps({"id": event_id, "type": kind, "created": 1, "data": data})


def test_a_capture_is_taken_once() -> None:
    submitter = payments(PENDING)
    assert [post(submitter, event(CHARGE)).status_code for _ in range(3)] == [200] * 3
    assert len(submitter.handled) == 1
    assert post(submitter, event(CHARGE, event_id="evt_2")).status_code == 200
    assert [type(e) for e in submitter.events] == [PaymentCaptured]


@pytest.mark.parametrize(
    ("state", "kind", "data", "event_type"),
    [
        (PENDING, "charge.declined", CHARGE | {"decline_code": "funds"}, PaymentDeclined),
        (PENDING, "charge.declined", CHARGE | {"decline_code": None}, PaymentDeclined),
        (REFUNDING, "refund.failed", REFUND, PaymentRefundFailed),
        (REFUNDING, "dispute.opened", DISPUTE, PaymentDisputeOpened),
        (REFUNDING, "dispute.won", DISPUTE, PaymentDisputeWon),
        (REFUNDING, "dispute.lost", DISPUTE, PaymentDisputeLost),
        (PENDING, "charge.captured", CHARGE | {"amount_minor": 1}, PaymentReportDoubted),
        (PENDING, "charge.captured", CHARGE | {"amount_minor": 5002}, PaymentReportDoubted),
        (PENDING, "charge.captured", CHARGE | {"currency": "JPY"}, PaymentReportDoubted),
        (PENDING, "charge.captured", CHARGE | {"id": "ch2"}, PaymentReportDoubted),
    ],
)
def test_what_is_reported_becomes_an_event_of_its_own_kind(
    state: Payment, kind: str, data: Any, event_type: type
) -> None:
    submitter = payments(state)
    assert post(submitter, event(data, kind)).status_code == 200
    assert [type(e) for e in submitter.events] == [event_type]


def test_a_report_about_an_unknown_order_is_delivered_again() -> None:
    submitter = payments()
    answer = post(submitter, event(CHARGE))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert not submitter.handled, "the message id is not used up"


def test_a_report_about_an_order_that_never_was_is_taken_and_noted_after_a_while() -> None:
    """Given a provider that delivers a report of an unknown order for days; when it was refused for
    a while; then it is taken, so that the provider goes on sending reports of other orders."""
    submitter = payments()
    assert post(submitter, event(CHARGE)).status_code == 503
    submitter.now += EARLY_FOR - timedelta(seconds=1)
    assert post(submitter, event(CHARGE)).status_code == 503
    assert post(submitter, event(CHARGE, event_id="evt_2")).status_code == 503
    submitter.now += timedelta(seconds=1)
    assert post(submitter, event(CHARGE)).status_code == 200
    assert post(submitter, event(CHARGE, event_id="evt_2")).status_code == 503, (
        "since its own first"
    )
    assert not submitter.handled, "the message id is not used up"
    assert not submitter.events


def test_a_report_before_the_call_is_answered_is_taken() -> None:
    """The provider may wait for it before it answers; the look behind the outcome makes up."""
    submitter = payments(Payment(in_flight=frozenset({"charge"})))
    assert post(submitter, event(CHARGE)).status_code == 200
    assert not submitter.events


def test_a_forged_webhook_is_refused() -> None:
    submitter = payments(PENDING)
    body = event(CHARGE)
    forged = sign("another secret", body, int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()))
    assert post(submitter, body, forged).status_code == 401
    assert not submitter.handled


def test_a_webhook_of_another_type_is_accepted_and_ignored() -> None:
    submitter = payments()
    assert post(submitter, event({}, kind="payout.paid")).status_code == 200
    assert not submitter.handled


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"[]",
        b"{}",
        event(None),
        event({}),
        event(CHARGE | {"amount_minor": "2501"}),
        event(CHARGE | {"amount_minor": -1}),
        event(CHARGE | {"amount_minor": True}),
        event(CHARGE | {"amount_minor": 25.01}),
        event(CHARGE | {"currency": None}),
        event(CHARGE | {"id": "a\0b"}),
        event(CHARGE | {"reference": "order/" + "x" * 129}),
        event(CHARGE | {"reference": "order/a\0b"}),
        event(CHARGE | {"reference": "order/"}),
        event(CHARGE | {"reference": "o1"}),
        event(CHARGE, event_id=7),
        event(CHARGE, kind=7),
        event(REFUND | {"charge_id": None}, "refund.succeeded"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_reason(body: bytes) -> None:
    submitter = payments(PENDING)
    answer = post(submitter, body)
    assert answer.status_code == 400
    assert len(answer.json()["detail"]) > 20
    assert not submitter.handled
