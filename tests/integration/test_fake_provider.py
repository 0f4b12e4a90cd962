"""The fake provider as its clients see it: a process of its own, over HTTP."""

import httpx2
import pytest

from tests.outside_processes import GIVES_UP, Receiver, Server, charge, refund, status_of
from tests.stack import PATIENCE_S, until

# -- charging --------------------------------------------------------------------------------------


def test_a_charge_is_captured_once_under_its_key(provider: Server, order: str) -> None:
    first, again = (charge(provider, order, "tok_ok") for _ in range(2))
    assert first.status_code == 200
    assert first.json() == again.json()
    assert first.json() | {"id": "", "created": 0} == {
        "id": "",
        "created": 0,
        "idempotency_key": f"charge:{order}",
        "reference": order,
        "amount_minor": 1001,
        "amount_refunded_minor": 0,
        "currency": "EUR",
        "status": "captured",
        "decline_code": None,
        "action_url": None,
    }
    assert provider.list("charges", order) == [first.json()]
    assert provider.http.get(f"/v1/charges/{first.json()['id']}").json() == first.json()


def test_a_key_with_another_content_is_refused(provider: Server, order: str) -> None:
    charge(provider, order, "tok_ok")
    for other in (
        charge(provider, order, "tok_ok", amount_minor=1002),
        charge(provider, order, "tok_slow:1"),
        charge(provider, f"{order}-other", "tok_ok", key=f"charge:{order}"),
    ):
        assert other.status_code == 409
        assert other.json()["error"]["code"] == "idempotency_key_reuse"
    assert len(provider.list("charges", order)) == 1


@pytest.mark.parametrize("amount_minor", [0, -1, 10**12 + 1, 10**30, 1.5, True, "5", None])
def test_an_amount_out_of_range_is_refused(
    provider: Server, order: str, amount_minor: object
) -> None:
    answer = charge(provider, order, "tok_ok", amount_minor=amount_minor)
    assert answer.status_code == 400
    assert "amount_minor" in answer.json()["error"]["message"]


def test_a_malformed_charge_is_refused(provider: Server, order: str) -> None:
    body = {"reference": order, "amount_minor": 1, "currency": "EURO", "card_token": "tok_ok"}
    wrong_currency = provider.post("/v1/charges", body, order)
    assert (wrong_currency.status_code, "currency" in wrong_currency.text) == (400, True)
    no_key = provider.post("/v1/charges", body | {"currency": "EUR"})
    assert (no_key.status_code, no_key.json()["error"]["code"]) == (400, "idempotency_key_missing")
    surrogate = provider.http.post(
        "/v1/charges", content=rb'{"reference":"\ud800"}', headers={"Idempotency-Key": order}
    )
    assert surrogate.status_code == 400
    assert provider.http.get("/v1/charges/ch_none").status_code == 404


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("tok_declined", "insufficient_funds"),
        ("tok_unheard_of", "invalid_token"),
        ("tok_slow", "invalid_token"),
        ("tok_slow:nan", "invalid_token"),
        ("tok_ok:1", "invalid_token"),
    ],
)
def test_a_declining_or_unknown_card_token_is_declined_with_its_code(
    provider: Server, order: str, token: str, code: str
) -> None:
    answer = charge(provider, order, token).json()
    assert (answer["status"], answer["decline_code"]) == ("declined", code)


def test_a_charge_that_needs_an_action_is_captured_when_the_customer_acts(
    provider: Server, receiver: Receiver, order: str
) -> None:
    asked = charge(provider, order, "tok_action").json()
    assert asked["status"] == "action_required"
    for _ in range(2):
        done = provider.post(asked["action_url"], {})
        assert (done.status_code, done.json()["status"]) == (200, "captured")
    until(lambda: receiver.of(order), "the webhook of the capture")
    (event,) = receiver.of(order)
    assert (event["type"], event["data"]) == ("charge.captured", done.json())
    assert charge(provider, order, "tok_action").json() == done.json()


def test_the_customer_acts_by_himself(provider: Server, receiver: Receiver, order: str) -> None:
    assert charge(provider, order, "tok_action_auto:0.1").json()["status"] == "action_required"
    until(lambda: receiver.types(order) == ["charge.captured"], "captured")
    assert status_of(provider, order) == "captured"


def test_a_slow_charge_can_be_asked_for_again(provider: Server, order: str) -> None:
    token = f"tok_slow:{2 * PATIENCE_S}"
    body = {"reference": order, "amount_minor": 5, "currency": "EUR", "card_token": token}
    with pytest.raises(httpx2.ReadTimeout):
        provider.http.post(
            "/v1/charges", json=body, headers={"Idempotency-Key": order}, timeout=GIVES_UP
        )
    until(lambda: provider.list("charges", order), "the charge is recorded")
    again = provider.post("/v1/charges", body, order)
    assert again.json()["status"] == "captured"
    assert charge(provider, f"{order}-b", "tok_slow:0.2").elapsed.total_seconds() >= 0.2


def test_a_charge_is_captured_after_as_many_errors_as_its_token_asks_for(
    provider: Server, order: str
) -> None:
    for _ in range(2):
        assert charge(provider, order, "tok_500:2").status_code == 500
        assert provider.list("charges", order) == []
    assert charge(provider, order, "tok_500:2").json()["status"] == "captured"


def test_a_lost_answer_leaves_one_charge(provider: Server, order: str) -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        charge(provider, order, "tok_lost")
    assert status_of(provider, order) == "captured"
    assert charge(provider, order, "tok_lost").json()["status"] == "captured"
    assert len(provider.list("charges", order)) == 1


@pytest.mark.parametrize(
    ("token", "outcome", "code"),
    [
        ("tok_async:0.1", "captured", None),
        ("tok_async_declined:0.1", "declined", "insufficient_funds"),
    ],
)
def test_a_pending_charge_ends_with_a_webhook(
    provider: Server, receiver: Receiver, order: str, token: str, outcome: str, code: str | None
) -> None:
    assert charge(provider, order, token).json()["status"] == "pending"
    until(lambda: receiver.types(order) == [f"charge.{outcome}"], "the webhook")
    data = receiver.of(order)[0]["data"]
    assert (data["status"], data["decline_code"]) == (outcome, code)
    assert charge(provider, order, token).json() == data


def test_the_webhook_comes_before_the_answer(
    provider: Server, receiver: Receiver, order: str
) -> None:
    receiver.refuse_next = 2
    answer = charge(provider, order, "tok_async_before:0.05").json()
    assert receiver.types(order) == ["charge.captured"]
    assert receiver.of(order)[0]["data"] == answer


# -- refunding -------------------------------------------------------------------------------------


def test_a_refund_never_exceeds_the_charge(provider: Server, order: str) -> None:
    charged = charge(provider, order, "tok_ok").json()
    part = refund(provider, order, 400, charge_id=charged["id"]).json()
    assert (part["status"], part["amount_minor"]) == ("refunded", 400)
    assert refund(provider, order, 400, charge_id=charged["id"]).json() == part
    rest = refund(provider, order, 1001, n=2).json()
    assert (rest["status"], rest["amount_minor"]) == ("refunded", 601)
    assert rest["charge_id"] == charged["id"]
    nothing = refund(provider, order, 1, n=3)
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (409, "already_refunded")
    reused = refund(provider, order, 399)
    assert (reused.status_code, reused.json()["error"]["code"]) == (409, "idempotency_key_reuse")
    assert provider.list("refunds", order) == [part, rest]
    assert provider.list("charges", order)[0]["amount_refunded_minor"] == 1001


def test_a_refund_must_name_a_charge_of_its_order(provider: Server, order: str) -> None:
    charge(provider, order, "tok_ok")
    body = {"reference": order, "charge_id": None, "charge_key": None, "amount_minor": 1}
    assert provider.post("/v1/refunds", body, order).status_code == 400
    body["charge_id"] = "ch_none"
    assert provider.post("/v1/refunds", body, order).status_code == 404
    other = refund(provider, f"{order}-other", charge_key=f"charge:{order}")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "reference_mismatch")


@pytest.mark.parametrize("token", ["tok_action", "tok_async:60"])
def test_what_is_not_captured_is_voided(
    provider: Server, receiver: Receiver, order: str, token: str
) -> None:
    asked = charge(provider, order, token).json()
    voided = refund(provider, order).json()
    assert (voided["status"], voided["amount_minor"]) == ("voided", 0)
    provider.post("/control/flush", {})
    assert charge(provider, order, token).json()["status"] == "voided"
    done = provider.post(f"/v1/charges/{asked['id']}/complete", {})
    assert (done.status_code, done.json()["error"]["code"]) == (409, "not_completable")
    assert receiver.of(order) == []


def test_a_void_before_the_charge_declines_it(provider: Server, order: str) -> None:
    voided = refund(provider, order).json()
    assert (voided["status"], voided["amount_minor"], voided["charge_id"]) == ("voided", 0, None)
    late = charge(provider, order, "tok_ok").json()
    assert (late["status"], late["decline_code"]) == ("declined", "voided")


def test_a_late_capture_ignores_the_void(provider: Server, receiver: Receiver, order: str) -> None:
    charge(provider, order, "tok_late:0.2")
    assert refund(provider, order).json()["status"] == "voided"
    assert status_of(provider, order) == "voided"
    until(lambda: receiver.types(order) == ["charge.captured"] * 2, "captured, told twice")
    assert len({event["id"] for event in receiver.of(order)}) == 2
    back = refund(provider, order, n=2).json()
    assert (back["status"], back["amount_minor"]) == ("refunded", 1001)


def test_a_refund_succeeds_after_as_many_errors_as_its_token_asks_for(
    provider: Server, order: str
) -> None:
    charge(provider, order, "tok_refund_500:2")
    assert [refund(provider, order).status_code for _ in range(3)] == [500, 500, 200]
    assert len(provider.list("refunds", order)) == 1


def test_a_partial_refund_is_completed_by_the_next(provider: Server, order: str) -> None:
    charge(provider, order, "tok_refund_partial")
    answers = [refund(provider, order, n=n).json() for n in (1, 1, 2)]
    states = [(answer["status"], answer["amount_minor"]) for answer in answers]
    assert states == [("partial", 500), ("partial", 500), ("refunded", 501)]


def test_a_refund_that_succeeds_later(provider: Server, receiver: Receiver, order: str) -> None:
    charge(provider, order, "tok_refund_async:0.1")
    pending = refund(provider, order).json()
    assert (pending["status"], pending["amount_minor"]) == ("pending", 1001)
    until(lambda: receiver.types(order) == ["refund.succeeded"], "the webhook")
    assert receiver.of(order)[0]["data"] == pending | {"status": "refunded"}
    assert refund(provider, order).json()["status"] == "refunded"


# -- rehearsals ------------------------------------------------------------------------------------


def test_an_outage_refuses_posts_until_it_ends(provider: Server, order: str) -> None:
    provider.post("/control/outage", {"seconds": 600})
    assert charge(provider, order, "tok_ok").status_code == 503
    assert refund(provider, order).status_code == 503
    assert provider.list("charges", order) == []
    provider.post("/control/outage", {"seconds": 0.2})
    until(lambda: charge(provider, order, "tok_ok").is_success, "the end of the outage")


def test_flush_ends_what_is_pending_and_resend_repeats_the_webhook(
    provider: Server, receiver: Receiver, order: str
) -> None:
    assert provider.post("/control/resend", {"saga": order}).status_code == 404
    charge(provider, order, "tok_async:3600")
    provider.post("/control/flush", {})
    assert status_of(provider, order) == "captured"
    until(lambda: receiver.of(order), "the webhook")
    provider.post("/control/resend", {"saga": order})
    until(lambda: len(receiver.of(order)) == 2, "the webhook again")
    assert receiver.of(order)[0] == receiver.of(order)[1]


def test_a_webhook_is_repeated_until_it_is_taken(
    provider: Server, receiver: Receiver, order: str
) -> None:
    receiver.refuse_next = 3
    charge(provider, order, "tok_async:0")
    until(lambda: receiver.types(order) == ["charge.captured"], "taken at the fourth attempt")
    assert receiver.refuse_next == 0


def test_a_ledger_is_listed_in_pages(provider: Server, order: str) -> None:
    for n in range(5):
        charge(provider, order, "tok_ok", key=f"{order}:{n}")
    everything = provider.list("charges", order)
    page = provider.http.get(f"/v1/charges?order_id={order}&limit=2&offset=3").json()
    assert page == {"data": everything[3:5], "total": 5}
    whole = provider.http.get("/v1/charges", params={"limit": 100_000}).json()
    assert len(whole["data"]) == whole["total"] > 5
    assert provider.http.get("/v1/charges", params={"limit": 100_001}).status_code == 400
