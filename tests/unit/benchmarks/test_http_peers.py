"""The peers over HTTP: which call comes before which step, and which requests are refused."""

import time
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from typing import Any

import orjson
import pytest

from benchmarks.peers.apps import http_requests, http_route, steps
from benchmarks.peers.apps.outside import HttpCall, call_for
from sagakit.web.signed_webhook import HEADER, sign
from shop.outside.provider_machine import TOKENS

ORDER = {
    "order_id": "run-1",
    "email": "ada@customer.example",
    "ship_to": "1 Main Street",
    "lines": [{"sku": "TEA", "quantity": 2, "unit_price_minor": 250}],
    "card_token": "tok_ok",
    "total_minor": 500,
    "currency": "EUR",
}
SECRET = "secret"


def event(kind: str) -> dict[str, Any]:
    return {"type": kind, "order": ORDER}


class Cursor:
    """Remembers the tables that statements write, and answers as an empty database does."""

    description: object = None

    def __init__(self) -> None:
        self.written: list[str] = []

    def execute(self, statement: str, _: object) -> None:
        words = statement.split()
        if words[0] in ("insert", "update"):
            self.written.append(words[2] if words[0] == "insert" else words[1])

    def fetchall(self) -> list[tuple[Any, ...]]:
        return []


def run(service: str, kind: str, answer: Mapping[str, Any] | None) -> tuple[str, list[str]]:
    """Run a service's step; return its event's name and the tables that it writes."""
    step = http_route.step_after_call(service, event(kind), answer)
    assert step is not None
    cursor = Cursor()
    return steps.run(cursor, step), cursor.written


@pytest.mark.parametrize(
    ("service", "kind", "answer", "answered", "written"),
    [
        ("payment", steps.RESERVED, {"status": "captured"}, steps.CAPTURED, ["ledger", "done"]),
        ("payment", steps.RESERVED, {"status": "declined"}, steps.DECLINED, ["done"]),
        ("shipping", steps.CAPTURED, {"tracking": "T"}, steps.LABELLED, ["shipment", "done"]),
        ("notification", steps.LABELLED, None, "ConfirmationMailSent", ["mail", "done"]),
        ("notification", steps.PICKED_UP, None, steps.MAIL_SENT, ["mail", "done"]),
        ("notification", steps.RELEASED, None, "CancellationMailSent", ["mail", "done"]),
    ],
)
def test_a_step_notes_the_answer_of_its_call(
    service: str, kind: str, answer: Mapping[str, Any] | None, answered: str, written: list[str]
) -> None:
    assert run(service, kind, answer) == (answered, written)


def test_every_call_has_a_step_and_every_step_of_these_services_a_call() -> None:
    for service in ("payment", "shipping", "notification"):
        for kind in http_route.STEPS[service]:
            assert call_for(service, event(kind)) is not None, (service, kind)
    for kind in http_route.STEPS["inventory"]:
        assert call_for("inventory", event(kind)) is None


def test_calls_name_order_and_key_and_content() -> None:
    charge, label = (
        call_for(service, event(kind))
        for service, kind in (("payment", steps.RESERVED), ("shipping", steps.CAPTURED))
    )
    assert ORDER["card_token"] in TOKENS
    assert charge == HttpCall(
        "BENCH_PROVIDER",
        "/v1/charges",
        "run-1:charge",
        {"reference": "run-1", "amount_minor": 500, "currency": "EUR", "card_token": "tok_ok"},
    )
    assert isinstance(label, HttpCall)
    assert label.body["lines"] == [{"sku": "TEA", "quantity": 2}]


def test_a_mail_says_which_order_it_is_about() -> None:
    mail = call_for("notification", event(steps.LABELLED))
    assert isinstance(mail, EmailMessage)
    assert (mail["X-Saga-Kind"], mail["X-Saga-Reference"]) == ("confirmed", "run-1")
    assert mail["To"] == ORDER["email"]


def test_the_total_of_an_order_is_computed() -> None:
    asked = {name: value for name, value in ORDER.items() if name != "total_minor"}
    assert http_requests.order_of(orjson.dumps(asked)) == ORDER


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"order_id": "a", "lines": [1]}'])
def test_what_is_no_order_is_refused(body: bytes) -> None:
    with pytest.raises(http_requests.Refused) as refused:
        http_requests.order_of(body)
    assert refused.value.status == 422


def test_a_signed_pickup_names_its_order() -> None:
    assert http_requests.SIGNATURE == HEADER
    body = orjson.dumps({"type": "label.picked_up", "data": {"reference": "run-1"}})
    signature = sign(SECRET, body, int(time.time()))
    assert http_requests.picked_up_order(SECRET, body, signature) == "run-1"

    other = orjson.dumps({"type": "label.lost", "data": {}})
    signature = sign(SECRET, other, int(time.time()))
    assert http_requests.picked_up_order(SECRET, other, signature) is None


@pytest.mark.parametrize(
    "signed",
    [
        lambda now: "",
        lambda now: "t=x,v1=y",
        lambda now: sign("other", b"{}", now),
        lambda now: sign(SECRET, b"{}", 1),
    ],
    ids=["none", "no signature", "another secret", "old"],
)
def test_a_webhook_with_a_wrong_or_old_signature_is_refused(signed: Callable[[int], str]) -> None:
    signature = signed(int(time.time()))
    with pytest.raises(http_requests.Refused) as refused:
        http_requests.picked_up_order(SECRET, b"{}", signature)
    assert refused.value.status == 401
