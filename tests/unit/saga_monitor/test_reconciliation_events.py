"""What becomes of a finding: an event under an id of its own; and what people see of it."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import click
import pytest
from click.testing import CliRunner

from saga_cli import client
from saga_cli.monitor import reconcile as command
from saga_monitor.reconciliation.compare import ChargeRow, Difference, Remedy
from saga_monitor.reconciliation.run import SETTLE_S, correction_for
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import Fact, Saga, fold
from sagakit.contract.platform import InterventionOpened
from sagakit.flow.model import Flow
from schemas import EVENT_TYPES
from schemas.events import ChargeFound
from tests.histories import FLOW, ORDER, SAGA, after, saga_of

CHARGE = ChargeRow(SAGA, "ch9", 700, "EUR")
FORCED = Difference(
    "unbooked_charge", SAGA, "our books never heard of it", Remedy.PARTICIPANT, CHARGE
)
FOR_PEOPLE = Difference("amount_difference", SAGA, "501 here, 500 there")
CANCELLED = saga_of("OrderPlaced", "InventoryRejected")
QUIET = after(1000)


def emitted(
    found: Difference, saga: Saga, flow: Flow, before: datetime, through: datetime
) -> Emission:
    return correction_for(found, saga, flow, EVENT_TYPES, before, through)


def read_back(saga: Saga, event_id: Any, at: float) -> Saga:
    return fold(saga, Fact(str(event_id), ChargeFound.type, after(at)))


def test_a_charge_that_payment_can_correct_is_sent_to_payment() -> None:
    correction = emitted(FORCED, CANCELLED, FLOW, QUIET, QUIET)
    assert correction.event == ChargeFound(
        order_id=ORDER,
        charge_id="ch9",
        captured_minor=700,
        refunded_minor=0,
        currency="EUR",
        actor="saga_monitor",
        reason="unbooked_charge: our books never heard of it",
    )


def test_a_finding_is_one_event_for_each_state_of_the_ledger() -> None:
    once = emitted(FORCED, CANCELLED, FLOW, QUIET, QUIET)
    assert emitted(FORCED, CANCELLED, FLOW, after(5000), after(5000)).id == once.id
    half = replace(FORCED, refunded_minor=350)
    assert emitted(half, CANCELLED, FLOW, QUIET, QUIET).id != once.id


def test_a_correction_that_does_not_help_becomes_a_case_for_a_person() -> None:
    once = emitted(FORCED, CANCELLED, FLOW, QUIET, QUIET)
    saga = read_back(CANCELLED, once.id, 1100)
    soon = emitted(FORCED, saga, FLOW, after(1200), after(1100 + SETTLE_S))
    assert soon.id == once.id
    later = emitted(FORCED, saga, FLOW, after(1200), after(1101 + SETTLE_S))
    assert isinstance(later.event, InterventionOpened)
    assert (later.event.code, later.event.reason) == (FORCED.kind, FORCED.what)


def test_a_finding_that_no_participant_observes_becomes_a_case_for_a_person() -> None:
    deaf = replace(FLOW, observes={})
    assert isinstance(emitted(FORCED, CANCELLED, deaf, QUIET, QUIET).event, InterventionOpened)


@pytest.mark.parametrize("saga", [CANCELLED, Saga(SAGA)])
def test_a_finding_that_only_a_person_can_settle_becomes_one_case(saga: Saga) -> None:
    correction = emitted(FOR_PEOPLE, saga, FLOW, QUIET, QUIET)
    assert isinstance(correction.event, InterventionOpened)
    assert (correction.event.code, correction.event.reason) == (
        "amount_difference",
        FOR_PEOPLE.what,
    )
    assert emitted(FOR_PEOPLE, saga, FLOW, after(9000), after(9000)).id == correction.id


def test_an_order_that_has_moved_on_is_left_alone() -> None:
    moved = fold(CANCELLED, Fact("x", "PaymentCaptured", after(1001)))
    with pytest.raises(CommandRefused, match="reconcile again"):
        emitted(FORCED, moved, FLOW, QUIET, after(2000))


# --- the command ----------------------------------------------------------------------------------

REPORT: dict[str, Any] = {
    "fix": False,
    "before": "2026-01-02T03:00:00.123+00:00",
    "read_through": "2026-01-02T03:05:00.123+00:00",
    "judged": 7,
    "unsettled": 2,
    "findings": [],
}
FOUND = {
    **REPORT,
    "findings": [
        {
            "kind": "unbooked_charge",
            "subject": "o-[1]",
            "what": "never heard of",
            "remedy": "participant",
            "action": "none",
        }
    ],
}


def run(monkeypatch: pytest.MonkeyPatch, answer: Any, *options: str) -> tuple[int, str, list[Any]]:
    asked: list[Any] = []

    def ask(method: str, path: str, **request: Any) -> Any:
        asked.append((method, path, request["json"]))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(client, "ask", ask)
    result = CliRunner().invoke(command.reconcile, list(options))
    return result.exit_code, result.output, asked


def test_the_command_ends_with_status_0_when_nothing_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, output, asked = run(monkeypatch, REPORT)
    assert status == 0
    assert "nothing differs: 7 orders judged, 2 too early to judge" in output
    assert asked == [("POST", "/reconciliations", {"fix": False, "settle_s": 300.0})]


def test_the_command_ends_with_status_1_when_something_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, output, asked = run(monkeypatch, FOUND, "--settle", "1m", "--fix")
    assert status == 1
    assert all(word in output for word in ("unbooked_charge", "o-[1]", "payment", "never heard of"))
    assert asked == [("POST", "/reconciliations", {"fix": True, "settle_s": 60.0})]


def test_the_command_prints_its_report_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output, _ = run(monkeypatch, FOUND, "--json")
    assert (status, json.loads(output)) == (1, FOUND)


def test_the_command_ends_with_status_3_when_it_cannot_compare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, output, _ = run(monkeypatch, click.ClickException("payment does not answer"))
    assert (status, "payment does not answer" in output) == (3, True)


def test_the_command_refuses_a_malformed_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output, asked = run(monkeypatch, REPORT, "--settle", "soon")
    assert (status, asked) == (2, [])
    assert "'soon' is not a duration" in output
