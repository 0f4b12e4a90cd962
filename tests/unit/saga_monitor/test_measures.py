"""What the monitor counts and times of an order, all in log time."""

from typing import Any

import pytest

from saga_monitor.saga.facts import Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.measures import (
    Change,
    DeadlineRequest,
    StepTime,
    deadline_requests,
    movements,
    status_changes,
    step_times,
)
from saga_monitor.saga.view import KindBalance
from schemas import FLOWS
from tests.histories import SAGA, facts, saga_of, seen

RESERVED = ("OrderPlaced", 10, "InventoryReserved")
PAID = (*RESERVED, 20, "PaymentCaptured")
WHOLE = (*PAID, 30, "ShipmentCreated", 40, "ShipmentPickedUp", 5, "ShippedMailSent")


def change(*story: Any, known: int = 0, flow: str = "order/1") -> Change:
    """All but the first `known` events are new."""
    every = facts(*story, flow=flow)
    before = fold(Saga(SAGA), *every[:known])
    after = fold(before, *every[known:])
    plan = Plan.of(*FLOWS.find(flow))
    return Change(before.facts, seen(before).status, after, seen(after), plan)


def timed(found: Change) -> list[tuple[str, str, int]]:
    return [(t.step, t.outcome, round(t.seconds)) for t in step_times(found)]


def of_money(found: Change) -> list[KindBalance]:
    return [moved for moved in movements(found) if moved.name == "money"]


@pytest.mark.parametrize(
    ("story", "known", "what"),
    [
        (("OrderPlaced",), 0, ["started"]),
        (("InventoryReserved",), 0, []),
        (RESERVED, 1, []),
        (WHOLE, 0, ["started", "completed"]),
        (WHOLE, 5, ["completed"]),
        (WHOLE, 6, []),
        (("OrderPlaced", "InventoryRejected"), 1, ["cancelled"]),
    ],
)
def test_a_change_of_status_is_reported_once(story: Any, known: int, what: list[str]) -> None:
    assert list(status_changes(change(*story, known=known))) == what


def test_steps_are_timed_from_what_made_them_due() -> None:
    assert timed(change(*WHOLE)) == [
        ("inventory", "done", 10),
        ("payment", "done", 20),
        ("shipping", "done", 70),
        ("notification", "done", 5),
    ]
    assert list(step_times(change(*WHOLE, known=6))) == []
    assert [t.step for t in step_times(change(*WHOLE, known=5))] == ["notification"]


def test_the_other_step_order_is_timed_as_it_runs() -> None:
    story = ("OrderPlaced", 3, "PaymentCaptured", 4, "InventoryRejected", 5, "PaymentRefunded")
    found = [
        (t.step, t.outcome, round(t.seconds)) for t in step_times(change(*story, flow="order/2"))
    ]
    assert found == [
        ("payment", "done", 3),
        ("inventory", "failed", 4),
        ("payment", "undone", 5),
    ]


def test_an_undo_is_timed_from_the_undo_of_the_step_after_it() -> None:
    story = (*PAID, 60, "OrderCancelRequested", 2, "ShipmentCancelled", 3, "PaymentRefunded")
    again = (*story, 100, "PaymentRefunded", 4, "InventoryReleased")
    assert timed(change(*again, known=4)) == [
        ("shipping", "undone", 2),
        ("payment", "undone", 3),
        ("inventory", "undone", 104),
    ]


def test_a_step_whose_beginning_is_not_known_is_not_timed() -> None:
    assert list(step_times(change("PaymentCaptured", 5, "ShipmentFailed"))) == [
        StepTime("shipping", "failed", 5.001)
    ]


def test_requests_tell_how_late_they_came() -> None:
    first, second = ({"step": "payment", "attempt": n} for n in (1, 2))
    story = (*PAID, "ShipmentFailed", 302, "CompensationRequested", first)
    (request,) = deadline_requests(change(*story))
    assert (request.step, request.attempt) == ("payment", 1)
    assert request.late_s == pytest.approx(2.001)
    later = (*story, 300, "CompensationRequested", second)
    (again,) = deadline_requests(change(*later, known=5))
    assert again.attempt == 2
    assert again.late_s == pytest.approx(0.001), "due since the first request"
    assert list(deadline_requests(change(*later, known=6))) == []


def test_a_persons_request_is_no_timeout() -> None:
    asked = (*RESERVED, "CompensationRequested", {"code": "operator", "actor": "ada"})
    assert list(deadline_requests(change(*asked))) == []
    assert saga_of(*asked).facts


def test_a_request_without_a_deadline_to_be_seen_is_on_time() -> None:
    alone = ("CompensationRequested", {"step": "payment", "attempt": 1})
    assert list(deadline_requests(change(*alone))) == [DeadlineRequest("payment", 1, 0.0)]


def test_money_is_counted_once_however_often_it_is_reported() -> None:
    refunded = (*PAID, "ShipmentFailed", "PaymentRefunded")
    assert of_money(change(*refunded)) == [KindBalance("money", "EUR", 500, 500)]
    again = change(*refunded, "PaymentRefunded", known=5)
    assert of_money(again) == [KindBalance("money", "EUR", 0, 0)]
    assert of_money(change(*RESERVED)) == []
    assert list(movements(change("OrderPlaced"))) == []
