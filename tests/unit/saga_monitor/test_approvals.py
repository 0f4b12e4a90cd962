"""A wait for a person, from the asking to the verdict that nobody gave."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from saga_monitor.saga.blockers import KeptRows, blocking_cause
from saga_monitor.saga.commands import CommandRefused, VerdictCommand, give_verdict
from saga_monitor.saga.deadlines import Emission, due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.measures import Change, deadline_requests
from saga_monitor.saga.view import Status
from sagakit.contract.platform import VerdictGiven, VerdictRequested
from sagakit.flow.model import with_deadlines
from schemas import FLOWS
from tests.histories import FLOW, SAGA, after, facts, saga_of, seen

REVIEW = ("OrderPlaced", "InventoryReserved", "PaymentReviewRequired")
ASKED_S = 0.002
HOUR_S = 3600.0
NEVER = after(10**7)


def with_event(saga: Saga, emission: Emission, at: datetime) -> Saga:
    """The saga once the event of the monitor is in the log."""
    detail = {k: v for k, v in emission.event.to_dict().items() if k != "order_id"}
    fact = Fact(str(emission.id), emission.event.type, at, causation=str(emission.cause))
    return fold(saga, replace(fact, detail=detail))


def emitted_until(saga: Saga, hours: float) -> tuple[Saga, list[Emission]]:
    """What the monitor says by then, each read back at once."""
    found: list[Emission] = []
    while True:
        item = seen(saga).next
        if item is None or item.due is None or item.due > after(hours * HOUR_S):
            return saga, found
        now = item.due + timedelta(milliseconds=1)
        (emission,) = due_emissions(saga, seen(saga), now)
        assert due_emissions(saga, seen(saga), item.due) == ()
        found.append(emission)
        saga = with_event(saga, emission, now)


def words(emissions: Sequence[Emission]) -> list[tuple[str, str]]:
    events = [e.event for e in emissions]
    return [
        (e.code, e.role) if isinstance(e, VerdictRequested) else (e.actor, e.verdict)
        for e in events
    ]


@pytest.mark.parametrize(
    ("hours", "emitted"),
    [
        (7.9, []),
        (8.1, [("reminder", "payments-reviewer")]),
        (16.1, [("reminder", "payments-reviewer"), ("escalation", "payments-lead")]),
        (
            24.01,
            [
                ("reminder", "payments-reviewer"),
                ("escalation", "payments-lead"),
                ("system_timeout", "reject"),
            ],
        ),
    ],
)
def test_an_unanswered_review_is_reminded_escalated_and_at_last_rejected(
    hours: float, emitted: list[tuple[str, str]]
) -> None:
    assert words(emitted_until(saga_of(*REVIEW), hours)[1]) == emitted


def test_every_monitor_emits_the_same_reminders_once() -> None:
    saga, emitted = emitted_until(saga_of(*REVIEW), 16.1)
    again, same = emitted_until(saga_of(*REVIEW), 16.1)
    assert (saga, emitted) == (again, same)
    assert due_emissions(saga, seen(saga), after(23 * HOUR_S)) == ()
    assert len({e.id for e in emitted}) == 2


def test_the_verdict_nobody_gave_is_the_participants_to_carry_out() -> None:
    saga, emitted = emitted_until(saga_of(*REVIEW), 24.01)
    verdict = emitted[-1].event
    assert isinstance(verdict, VerdictGiven)
    assert (verdict.step, verdict.verdict) == ("payment", "reject")
    assert verdict.reason.endswith("no person answered in time")
    now = seen(saga)
    assert now.status == Status.RUNNING
    (item,) = now.awaited
    assert (item.step, item.approval) == ("payment", None)
    declined = replace(facts("PaymentDeclined")[0], id="declined", seq=2, at=after(25 * HOUR_S))
    assert seen(fold(saga, declined)).undoing


def test_a_verdict_in_time_ends_the_reminders() -> None:
    saga, _ = emitted_until(saga_of(*REVIEW), 8.1)
    body = VerdictCommand(saga=SAGA, step="payment", verdict="approve", actor="ada", reason="fine")
    saga = with_event(saga, give_verdict(body, saga, seen(saga)), after(9 * HOUR_S))
    (item,) = seen(saga).awaited
    assert item.approval is None
    assert [e.event.type for e in due_emissions(saga, seen(saga), NEVER)] == [
        "CompensationRequested"
    ]


def test_a_verdict_needs_no_step_if_only_one_waits() -> None:
    """Given one step that waits; when a person approves; then it is that step's verdict."""
    body = VerdictCommand(saga=SAGA, verdict="approve", actor="ada", reason="fine")
    saga = saga_of(*REVIEW)
    assert give_verdict(body, saga, seen(saga)).event.step == "payment"


def test_a_verdict_that_no_step_waits_for_is_refused() -> None:
    body = VerdictCommand(saga=SAGA, verdict="approve", actor="ada", reason="fine")
    saga = saga_of(*REVIEW[:1])
    with pytest.raises(CommandRefused, match="no step of saga order/o-1 waits for a verdict"):
        give_verdict(body, saga, seen(saga))


def test_a_late_verdict_is_refused_with_what_has_happened() -> None:
    saga, _ = emitted_until(saga_of(*REVIEW), 24.01)
    body = VerdictCommand(saga=SAGA, step="payment", verdict="approve", actor="ada", reason="fine")
    with pytest.raises(CommandRefused) as refused:
        give_verdict(body, saga, seen(saga))
    assert refused.value.status == 409
    assert "system_timeout gave the command reject at 2026-01-03T03:00:00Z" in refused.value.detail


def test_the_first_verdict_in_the_log_counts_whether_a_person_or_the_timeout_gave_it() -> None:
    """Both have the id of the one verdict there can be on this wait."""
    saga, _ = emitted_until(saga_of(*REVIEW), 23)
    body = VerdictCommand(saga=SAGA, step="payment", verdict="approve", actor="ada", reason="fine")
    person = give_verdict(body, saga, seen(saga))
    (timeout,) = due_emissions(saga, seen(saga), NEVER)
    assert person.id == timeout.id
    first = with_event(saga, person, after(1))
    assert (
        with_event(first, timeout, after(2))
        == first
        == with_event(with_event(saga, timeout, after(2)), person, after(1))
    )


def test_blocked_by_names_who_is_asked() -> None:
    def cause(hours: float) -> Any:
        saga, _ = emitted_until(saga_of(*REVIEW), hours)
        return blocking_cause(seen(saga), {"payment": KeptRows()}, {}, after(hours * HOUR_S))

    asked, reminded, escalated = cause(1), cause(9), cause(17)
    until = after(ASKED_S + 24 * HOUR_S)
    assert {asked.until, reminded.until, escalated.until} == {until}
    assert [c.who for c in (asked, reminded, escalated)] == [
        "payments-reviewer",
        "payments-reviewer",
        "payments-lead",
    ]
    assert reminded.description.startswith(
        "PaymentReviewRequired asks payments-reviewer, reminded at 2026-01-02T11:00:00Z; "
    )
    assert "escalated to payments-lead at 2026-01-02T19:00:00Z; `saga app" in escalated.description


def test_a_shorter_wait_is_shorter_throughout() -> None:
    quick = with_deadlines(FLOW, {"payment.PaymentReviewRequired": "24s"})
    (item,) = interpret(saga_of(*REVIEW), Plan.of(quick, 1)).awaited
    assert item.due == after(ASKED_S + 8)
    assert item.approval is not None
    assert item.approval.until == after(ASKED_S + 24)


def test_an_unanswered_review_is_measured_as_a_late_request() -> None:
    before, _ = emitted_until(saga_of(*REVIEW), 16.1)
    (verdict,) = due_emissions(before, seen(before), NEVER)
    now = with_event(before, verdict, after(ASKED_S + 24 * HOUR_S + 5))
    change = Change(before.facts, Status.WAITING, now, seen(now), Plan.of(*FLOWS.find("order/1")))
    (request,) = deadline_requests(change)
    assert (request.step, request.attempt, request.late_s) == ("payment", 1, 5)
