"""The fake mail server as its clients see it: a process of its own, over SMTP and HTTP."""

import signal
import smtplib
import time
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from saga_lab.devstack.ports import free_port
from tests.outside_processes import Receiver, Server
from tests.stack import PATIENCE_S


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    smtp_port = str(free_port())
    db = tmp_path_factory.mktemp("mail") / "db"
    server = Server("shop.outside.mail", db, receiver.url, SANDBOX_SMTP_PORT=smtp_port)
    yield server
    server.close()


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
    message["X-Saga-Reference"] = order
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
        "reference": order,
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
