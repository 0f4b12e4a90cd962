"""The outside world, judged as its clients see it: real processes, real sockets, real kill -9."""

import itertools
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest

from saga_lab.devstack.ports import free_port
from tests.outside_processes import (
    GIVES_UP,
    Receiver,
    Server,
    charge,
    refund,
    status_of,
)
from tests.stack import PATIENCE_S, until

_orders = itertools.count(1)


@pytest.fixture(scope="module")
def carrier(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    db = tmp_path_factory.mktemp("carrier") / "db"
    server = Server("saga_lab.outside.carrier", db, receiver.url, SANDBOX_PICKUP_DELAY_S="0.05")
    yield server
    server.close()


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    smtp_port = str(free_port())
    db = tmp_path_factory.mktemp("mail") / "db"
    server = Server("saga_lab.outside.mail", db, receiver.url, SANDBOX_SMTP_PORT=smtp_port)
    yield server
    server.close()


@pytest.fixture
def order() -> str:
    return f"order-{next(_orders)}"


# -- provider: charging ----------------------------------------------------------------------------


def test_a_charge_is_captured_once_under_its_key(provider: Server, order: str) -> None:
    first, again = (charge(provider, order, "tok_ok") for _ in range(2))
    assert first.status_code == 200
    assert first.json() == again.json()
    assert first.json() | {"id": "", "created": 0} == {
        "id": "",
        "created": 0,
        "idempotency_key": f"charge:{order}",
        "order_id": order,
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
    body = {"order_id": order, "amount_minor": 1, "currency": "EURO", "card_token": "tok_ok"}
    wrong_currency = provider.post("/v1/charges", body, order)
    assert (wrong_currency.status_code, "currency" in wrong_currency.text) == (400, True)
    no_key = provider.post("/v1/charges", body | {"currency": "EUR"})
    assert (no_key.status_code, no_key.json()["error"]["code"]) == (400, "idempotency_key_missing")
    surrogate = provider.http.post(
        "/v1/charges", content=rb'{"order_id":"\ud800"}', headers={"Idempotency-Key": order}
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
    body = {"order_id": order, "amount_minor": 5, "currency": "EUR", "card_token": token}
    with pytest.raises(httpx.ReadTimeout):
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
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
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


# -- provider: refunding ---------------------------------------------------------------------------


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
    body = {"order_id": order, "charge_id": None, "charge_key": None, "amount_minor": 1}
    assert provider.post("/v1/refunds", body, order).status_code == 400
    body["charge_id"] = "ch_none"
    assert provider.post("/v1/refunds", body, order).status_code == 404
    other = refund(provider, f"{order}-other", charge_key=f"charge:{order}")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "order_mismatch")


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


# -- rehearsals and durability ---------------------------------------------------------------------


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
    assert provider.post("/control/resend", {"order_id": order}).status_code == 404
    charge(provider, order, "tok_async:3600")
    provider.post("/control/flush", {})
    assert status_of(provider, order) == "captured"
    until(lambda: receiver.of(order), "the webhook")
    provider.post("/control/resend", {"order_id": order})
    until(lambda: len(receiver.of(order)) == 2, "the webhook again")
    assert receiver.of(order)[0] == receiver.of(order)[1]


def test_a_webhook_is_repeated_until_it_is_taken(
    provider: Server, receiver: Receiver, order: str
) -> None:
    receiver.refuse_next = 3
    charge(provider, order, "tok_async:0")
    until(lambda: receiver.types(order) == ["charge.captured"], "taken at the fourth attempt")
    assert receiver.refuse_next == 0


def test_kill_9_loses_no_callback(tmp_path: Path) -> None:
    receiver = Receiver()
    server = Server("saga_lab.outside.provider", tmp_path / "provider.db", receiver.url)
    try:
        receiver.refuse_next = 10**9
        charge(server, "owed", "tok_async:0")
        charge(server, "pending", "tok_async:0.5")
        charge(server, "far", "tok_async:3600")
        for _ in range(2):
            charge(server, "fails", "tok_500:3")
        until(lambda: status_of(server, "owed") == "captured", "a webhook is owed")
        before = server.http.get("/v1/charges").json()
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        assert receiver.events == []
        receiver.refuse_next = 0
        server.start()
        until(lambda: receiver.of("owed") and receiver.of("pending"), "both webhooks")
        assert charge(server, "fails", "tok_500:3").status_code == 500
        assert charge(server, "fails", "tok_500:3").json()["status"] == "captured"
        after = {row["id"] for row in server.http.get("/v1/charges").json()["data"]}
        assert {row["id"] for row in before["data"]} < after
        server.post("/control/flush", {})
        until(lambda: receiver.types("far") == ["charge.captured"], "the far one")
        assert server.stop() == 0
        assert receiver.forged == []
    finally:
        server.close()
        receiver.close()


def test_sigterm_does_not_wait_for_a_slow_answer(tmp_path: Path, receiver: Receiver) -> None:
    server = Server("saga_lab.outside.provider", tmp_path / "provider.db", receiver.url)
    body = {"order_id": "o", "amount_minor": 5, "currency": "EUR", "card_token": "tok_slow:600"}
    with pytest.raises(httpx.ReadTimeout):
        server.http.post(
            "/v1/charges", json=body, headers={"Idempotency-Key": "o"}, timeout=GIVES_UP
        )
    assert server.stop() == 0
    server.close()


def test_missing_settings_are_named() -> None:
    command = [sys.executable, "-m", "saga_lab.outside.provider"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("SANDBOX_")}
    ended = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ended.returncode != 0
    assert "SANDBOX_WEBHOOK_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_ledger_is_listed_in_pages(provider: Server, order: str) -> None:
    for n in range(5):
        charge(provider, order, "tok_ok", key=f"{order}:{n}")
    everything = provider.list("charges", order)
    page = provider.http.get(f"/v1/charges?order_id={order}&limit=2&offset=3").json()
    assert page == {"data": everything[3:5], "total": 5}
    whole = provider.http.get("/v1/charges", params={"limit": 100_000}).json()
    assert len(whole["data"]) == whole["total"] > 5
    assert provider.http.get("/v1/charges", params={"limit": 100_001}).status_code == 400


# -- carrier ---------------------------------------------------------------------------------------


def label(carrier: Server, order: str, tags: str = "") -> httpx.Response:
    body = {
        "order_id": order,
        "ship_to": f"1 Main Street, Springfield {tags}".strip(),
        "email": "ann@example.org",
        "lines": [{"sku": "tea", "quantity": 2}],
    }
    return carrier.post("/v1/labels", body, f"label:{order}")


def cancel(carrier: Server, order: str, n: int = 1, **by: str) -> httpx.Response:
    body = {"order_id": order, "label_id": None, "label_key": f"label:{order}", **by}
    return carrier.post("/v1/cancellations", body, f"cancel:{order}:{n}")


def test_a_label_is_picked_up(carrier: Server, receiver: Receiver, order: str) -> None:
    made = label(carrier, order).json()
    assert (made["status"], made["reason"], made["parcels"]) == ("created", None, 1)
    assert made["tracking"].startswith("TRK")
    assert made["lines"] == [{"sku": "tea", "quantity": 2}]
    until(lambda: receiver.types(order) == ["label.picked_up"], "the pickup")
    picked_up = made | {"status": "picked_up"}
    assert receiver.of(order)[0]["data"] == picked_up
    assert label(carrier, order).json() == picked_up
    assert carrier.list("labels", order) == [picked_up]


def test_a_label_key_with_another_content_is_refused(carrier: Server, order: str) -> None:
    label(carrier, order)
    assert label(carrier, order, "[refuse]").status_code == 409
    body = {"order_id": order, "ship_to": "x", "email": "a@b.c", "lines": []}
    assert carrier.post("/v1/labels", body, f"{order}:none").status_code == 400


def test_an_address_with_a_refusing_or_unknown_tag_is_refused(carrier: Server, order: str) -> None:
    refused = label(carrier, order, "[refuse]").json()
    assert (refused["status"], refused["tracking"]) == ("refused", None)
    assert refused["reason"]
    unknown = label(carrier, f"{order}-b", "[teleport]").json()
    assert (unknown["status"], "no-pickup" in unknown["reason"]) == ("refused", True)
    assert cancel(carrier, f"{order}-b").json()["status"] == "cancelled"


def test_a_parcel_is_picked_up_on_command(carrier: Server, receiver: Receiver, order: str) -> None:
    label(carrier, order, "[no-pickup]")
    carrier.post("/control/flush", {})
    assert carrier.list("labels", order)[0]["status"] == "created"
    assert carrier.post("/control/pickup", {"order_id": order}).status_code == 200
    until(lambda: receiver.types(order) == ["label.picked_up"], "the pickup")
    assert carrier.post("/control/pickup", {"order_id": order}).status_code == 404
    carrier.post("/control/resend", {"order_id": order})
    until(lambda: len(receiver.of(order)) == 2, "the webhook again")


def test_the_tags_of_an_address_can_be_combined(
    carrier: Server, receiver: Receiver, order: str
) -> None:
    tags = "[500:1] [lost][pickup:3600]"
    assert label(carrier, order, tags).status_code == 500
    assert carrier.list("labels", order) == []
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        label(carrier, order, tags)
    assert label(carrier, order, tags).json()["status"] == "created"
    carrier.post("/control/flush", {})
    until(lambda: receiver.types(order) == ["label.picked_up"], "the pickup")


def test_a_slow_label(carrier: Server, order: str) -> None:
    assert label(carrier, order, "[slow:0.2]").elapsed.total_seconds() >= 0.2


def test_cancel_before_pickup(carrier: Server, receiver: Receiver, order: str) -> None:
    made = label(carrier, order, "[pickup:3600] [cancel-500:1]").json()
    assert cancel(carrier, order, label_id=made["id"]).status_code == 500
    for _ in range(2):
        assert cancel(carrier, order, label_id=made["id"]).json()["status"] == "cancelled"
    carrier.post("/control/flush", {})
    assert carrier.list("labels", order)[0]["status"] == "cancelled"
    assert receiver.of(order) == []


def test_cancel_after_pickup_is_too_late(carrier: Server, order: str) -> None:
    label(carrier, order, "[no-pickup]")
    carrier.post("/control/pickup", {"order_id": order})
    assert cancel(carrier, order).json()["status"] == "too_late"
    assert carrier.list("labels", order)[0]["status"] == "picked_up"


def test_a_label_cancelled_before_it_was_made_is_refused(carrier: Server, order: str) -> None:
    assert cancel(carrier, order).json()["status"] == "cancelled"
    late = label(carrier, order).json()
    assert (late["status"], late["reason"]) == ("refused", "cancelled before it was made")


def test_a_cancellation_must_name_a_label_of_its_order(carrier: Server, order: str) -> None:
    label(carrier, order)
    assert cancel(carrier, order, label_id="lb_none").status_code == 404
    other = cancel(carrier, f"{order}-other", label_key=f"label:{order}")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "order_mismatch")
    assert carrier.post("/v1/cancellations", {"order_id": order}, order).status_code == 400


def test_an_outage_of_the_carrier_refuses_posts_until_it_ends(carrier: Server, order: str) -> None:
    carrier.post("/control/outage", {"seconds": 600})
    assert (label(carrier, order).status_code, cancel(carrier, order).status_code) == (503, 503)
    carrier.post("/control/outage", {"seconds": 0})
    assert label(carrier, order).status_code == 200


# -- mail ------------------------------------------------------------------------------------------


def send(
    mail: Server, order: str, to: str = "ann@example.org", message_id: str | None = None
) -> None:
    """Send one mail; raises what smtplib raises when it is refused."""
    message = EmailMessage()
    message["From"] = "shop@example.org"
    message["To"] = to
    message["Subject"] = "Your order is confirmed \N{PARTY POPPER}"
    message["Message-ID"] = message_id or f"<{order}.confirmed@shop.example.org>"
    message["X-Saga-Kind"] = "confirmed"
    message["X-Saga-Order"] = order
    message.set_content("Thank you.")
    if message_id == "":
        del message["Message-ID"]
    smtp_port = int(mail._env["SANDBOX_SMTP_PORT"])
    with smtplib.SMTP("127.0.0.1", smtp_port, timeout=PATIENCE_S) as smtp:
        smtp.send_message(message)


def test_repeated_mails_fold_into_one(mail: Server, order: str) -> None:
    for _ in range(3):
        send(mail, order)
    (stored,) = mail.list("mails", order)
    assert stored.pop("received_at") == pytest.approx(time.time(), abs=60)
    assert stored == {
        "message_id": f"<{order}.confirmed@shop.example.org>",
        "order_id": order,
        "kind": "confirmed",
        "to": "ann@example.org",
        "subject": "Your order is confirmed \N{PARTY POPPER}",
        "deliveries": 3,
    }


def test_a_bounce_is_for_good(mail: Server, order: str) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(mail, order, to="bounce+ann@example.org")
    assert refused.value.recipients["bounce+ann@example.org"][0] == 550
    assert mail.list("mails", order) == []


def test_a_greylisted_mail_is_accepted_at_a_later_attempt(mail: Server, order: str) -> None:
    for _ in range(2):
        with pytest.raises(smtplib.SMTPDataError) as refused:
            send(mail, order, to="greylist2+ann@example.org")
        assert refused.value.smtp_code == 451
    send(mail, order, to="greylist2+ann@example.org")
    assert mail.list("mails", order)[0]["deliveries"] == 1


def test_a_mail_without_message_id_is_refused(mail: Server, order: str) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(mail, order, message_id="")
    assert refused.value.smtp_code == 550


def test_a_mail_outage_ends_and_kill_9_loses_no_mail(mail: Server, order: str) -> None:
    mail.post("/control/outage", {"seconds": 600})
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        send(mail, order)
    assert refused.value.smtp_code == 451
    mail.post("/control/outage", {"seconds": 0})
    send(mail, order)
    mail.stop(signal.SIGKILL)
    mail.start()
    assert len(mail.list("mails", order)) == 1
    assert mail.http.get("/v1/mails", params={"limit": 1}).json()["total"] >= 1
