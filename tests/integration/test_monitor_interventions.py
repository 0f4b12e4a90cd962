"""People and their cases on a real monitor: what they say is read back from the log."""

import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from click.testing import CliRunner

from saga_cli.monitor.interventions import evidence
from saga_monitor.saga.evidence import replay
from schemas import FLOWS
from schemas.events import InventoryReleased, PaymentDeclined, PaymentRefunded, ShipmentCancelled
from tests.monitor import (
    UNITS,
    EventPublisher,
    MonitorProcess,
    monitor,
    placed,
    reserved,
    review,
    whole,
)
from tests.stack import PATIENCE_S, TestInfra, fresh_database, until

ADA = {"actor": "ada", "reason": "looked into it"}
BOB = {"actor": "bob", "reason": "so did I"}


@pytest.fixture
def order(running: MonitorProcess, publisher: EventPublisher) -> str:
    """An order in flight."""
    order_id = f"o-{uuid.uuid4().hex[:8]}"
    publisher.publish_events(placed(order_id), reserved(order_id))
    until(lambda: running.status(order_id) == "running", "order running")
    return order_id


def do(
    process: MonitorProcess, command: str, order: str, who: dict[str, str], **more: str
) -> httpx2.Response:
    return process.post(f"/interventions/{command}", {"saga": f"order/{order}", **who, **more})


def case(process: MonitorProcess, order: str) -> dict[str, Any]:
    """Its only case."""
    saga = process.saga(order)
    assert saga is not None
    found: dict[str, Any] = (saga["interventions"] or [{"status": "none", "entries": []}])[0]
    return found


def queue(process: MonitorProcess, order: str, **wanted: str) -> list[tuple[str, str, str | None]]:
    rows = process.get("/interventions", limit=10_000, **wanted)
    return [(r["code"], r["status"], r["holder"]) for r in rows if r["id"] == order]


def blocking(process: MonitorProcess, order: str, **wanted: Any) -> str | None:
    """The kind of what blocks it, in the list of blocked orders; None if it is not listed."""
    rows = process.get("/blocked", limit=10_000, **wanted)
    kinds = {row["id"]: row["blocked_by"]["kind"] for row in rows}
    return kinds.get(order)


def test_a_case_is_opened_claimed_resolved_and_reopened(
    running: MonitorProcess, order: str
) -> None:
    for command, who, status, assignee in (
        ("open", ADA, "open", None),
        ("claim", ADA, "claimed", "ada"),
        ("note", BOB, "claimed", "ada"),
        ("resolve", ADA, "resolved", "ada"),
        ("reopen", BOB, "open", None),
        ("resolve", ADA, "resolved", None),
    ):
        before = len(case(running, order)["entries"])
        answer = do(running, command, order, who)
        assert answer.status_code == 202, answer.text
        again = do(running, command, order, who)
        assert (again.status_code, again.json()) == (202, answer.json()), "said twice at once"
        until(lambda n=before: len(case(running, order)["entries"]) > n, command)  # type: ignore[misc]
        found = case(running, order)
        assert (found["status"], len(found["entries"])) == (status, before + 1)
        assert found["entries"][-1]["id"] == answer.json()["id"]
        assert found["entries"][-1]["actor"] == who["actor"]
        rows = queue(running, order)
        assert rows == ([("manual", status, assignee)] if status != "resolved" else [])
        assert running.status(order) == ("running" if status == "resolved" else "intervention")
    assert queue(running, order, status="resolved") == [("manual", "resolved", None)]
    late = do(running, "resolve", order, BOB)
    assert late.status_code == 409
    assert "is resolved: ada at" in late.json()["detail"]


def test_one_of_many_simultaneous_verdicts_is_accepted_and_the_others_are_refused(
    running: MonitorProcess, publisher: EventPublisher, order: str
) -> None:
    publisher.publish_events(review(order))
    until(lambda: running.status(order) == "waiting", "a person is asked")

    def decide(n: int) -> httpx2.Response:
        verdict = "approve" if n % 2 else "reject"
        body = {"saga": f"order/{order}", "step": "payment", "verdict": verdict}
        return running.post("/verdicts", {**body, "actor": f"person-{n}", "reason": "I say so"})

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(decide, range(8)))
    assert sorted(a.status_code for a in answers) == [202, *[409] * 7]
    until(lambda: "VerdictGiven" in running.types(order), "verdict read back")
    assert running.types(order).count("VerdictGiven") == 1
    (accepted,) = [n for n, a in enumerate(answers) if a.status_code == 202]
    for refused in (a for a in answers if a.status_code == 409):
        assert f"person-{accepted}" in refused.json()["detail"]


def test_nobody_answers_and_the_order_is_rejected(
    publisher: EventPublisher, infra: TestInfra, database_url: str, tmp_path: Path
) -> None:
    """The wait of 24 h in six seconds: reminded, escalated, rejected, each said once."""
    order_id = f"o-{uuid.uuid4().hex[:8]}"
    quick = {"group": f"g-{order_id}", "deadlines": '{"payment.PaymentReviewRequired": "6s"}'}
    with monitor(infra, database_url, tmp_path / "quick.log", **quick) as process:
        process.start()
        publisher.publish_events(placed(order_id), reserved(order_id), review(order_id))
        until(lambda: "VerdictGiven" in process.types(order_id), "rejected")
        saga = process.saga(order_id)
        assert saga is not None
        asked = [e["detail"] for e in saga["timeline"] if e["type"] == "VerdictRequested"]
        assert [(a["code"], a["role"]) for a in asked] == [
            ("reminder", "payments-reviewer"),
            ("escalation", "payments-lead"),
        ]
        (given,) = [e["detail"] for e in saga["timeline"] if e["type"] == "VerdictGiven"]
        assert (given["verdict"], given["actor"]) == ("reject", "system_timeout")
        body = {"saga": f"order/{order_id}", "step": "payment", "verdict": "approve"}
        late = process.post("/verdicts", {**body, **ADA})
        assert late.status_code == 409
        assert "system_timeout gave the command reject" in late.json()["detail"]
        publisher.publish_events(
            PaymentDeclined(order_id=order_id, code="review_rejected", reason="nobody")
        )
        publisher.publish_events(InventoryReleased(order_id=order_id, lines=UNITS, reason="nobody"))
        until(lambda: process.status(order_id) == "cancelled", "order cancelled")


def test_an_invalid_command_on_a_case_is_refused(running: MonitorProcess, order: str) -> None:
    for command, body, status in (
        ("resolve", ADA, 404),
        ("praise", ADA, 422),
        ("open", {"actor": "ada"}, 422),
        ("open", {**ADA, "code": "Not A Code"}, 422),
        ("open", {**ADA, "reason": "a\nb"}, 422),
    ):
        assert do(running, command, order, body).status_code == status, (command, body)
    assert do(running, "open", "never-seen", ADA).status_code == 404
    assert queue(running, order) == []


def test_cases_are_rebuilt_from_the_topics(
    running: MonitorProcess,
    publisher: EventPublisher,
    order: str,
    infra: TestInfra,
    database_url: str,
    tmp_path: Path,
) -> None:
    assert do(running, "open", order, ADA, code="strange_parcel").status_code == 202
    until(lambda: case(running, order)["status"] == "open", "opened")
    assert do(running, "claim", order, BOB).status_code == 202
    until(lambda: case(running, order)["status"] == "claimed", "claimed")
    publisher.publish_events(*whole(order)[2:])
    until(lambda: running.status(order) == "completed", "order completed")
    running.signal(signal.SIGTERM)
    assert running.exit_status() == 0
    empty = fresh_database(infra)
    with monitor(infra, empty, tmp_path / "second.log", group=f"g-{order}") as second:
        second.start()
        until(lambda: second.status(order) == "completed", "read again")
        assert queue(second, order) == [("strange_parcel", "claimed", "bob")]
    rows = []
    for url in (database_url, empty):
        with psycopg.connect(url) as connection:
            query = "SELECT * FROM intervention WHERE saga = %s"
            rows.append(connection.execute(query, [f"order/{order}"]).fetchall())
    assert rows[0] == rows[1]


def test_the_evidence_of_an_order_can_be_run_again(
    running: MonitorProcess, publisher: EventPublisher, order: str
) -> None:
    publisher.publish_events(review(order))
    assert do(running, "open", order, ADA).status_code == 202
    until(lambda: case(running, order)["status"] == "open", "opened")
    until(lambda: "PaymentReviewRequired" in running.types(order), "review read")
    document = running.get(f"/evidence/order/{order}")
    assert replay(document, FLOWS) == document["view"]
    assert document["view"]["status"] == "intervention"
    assert [e["type"] for e in document["timeline"]] == running.types(order)
    assert document["blocked_by"]["kind"] == "person"
    assert document["kept_rows"] == {
        "saga_monitor": {"effects": [], "outbox": [], "parked": [], "silent": None}
    }
    assert "example.org" not in str(document)
    output = CliRunner().invoke(evidence, [order], env={"SAGA_MONITOR_URL": running.url})
    assert output.exit_code == 0
    assert f'"saga": "order/{order}"' in output.output
    assert (
        httpx2.get(f"{running.url}/evidence/order/never-seen", timeout=PATIENCE_S).status_code
        == 404
    )


def test_an_unexpected_event_opens_one_case_until_a_person_resolves_it(
    running: MonitorProcess, publisher: EventPublisher, order: str
) -> None:
    *_, mail = whole(order)
    publisher.publish_events(ShipmentCancelled(order_id=order, reason="asked"))
    publisher.publish_events(PaymentRefunded(order_id=order, amount_minor=0, reason="asked"))
    publisher.publish_events(InventoryReleased(order_id=order, lines=UNITS, reason="asked"))
    until(lambda: running.status(order) == "cancelled", "order cancelled")
    publisher.publish_events(mail)
    until(lambda: case(running, order)["status"] == "open", "case opened")
    assert running.status(order) == "cancelled"
    assert "ShippedMailSent of notification" in case(running, order)["reason"]
    assert queue(running, order) == [("unexpected_event", "open", None)]
    assert blocking(running, order, stuck=True) == blocking(running, order) == "person"
    assert do(running, "resolve", order, ADA).status_code == 202
    until(lambda: case(running, order)["status"] == "resolved", "case resolved")
    assert blocking(running, order) is None
    assert running.types(order).count("InterventionOpened") == 1
