"""What the monitor reads off the facts of an order."""

from dataclasses import replace

import pytest

from saga_monitor.saga.facts import Fact, Saga, emission_id, fold, log_time
from saga_monitor.saga.view import AwaitMode, KindBalance, Status
from tests.histories import SAGA, after, facts, money_of, saga_of, seen

RESERVED = ("OrderPlaced", "InventoryReserved")
PAID = (*RESERVED, "PaymentCaptured")
LABELLED = (*PAID, "ShipmentCreated")
SHIPPED = (*LABELLED, "ShipmentPickedUp")
MAILED = (*SHIPPED, "ShippedMailSent")
FENCE = {"refund_id": None, "amount_minor": 0}
UNDONE = ("ShipmentCancelled", "PaymentRefunded", "InventoryReleased")


@pytest.mark.parametrize(
    ("story", "status"),
    [
        (("InventoryReserved",), Status.UNPLACED),
        (("OrderPlaced",), Status.RUNNING),
        (RESERVED, Status.RUNNING),
        ((*RESERVED, "PaymentReviewRequired"), Status.WAITING),
        ((*RESERVED, "PaymentActionRequired"), Status.WAITING),
        ((*RESERVED, "PaymentPending"), Status.WAITING),
        (PAID, Status.RUNNING),
        (LABELLED, Status.WAITING),
        (SHIPPED, Status.RUNNING),
        (MAILED, Status.COMPLETED),
        (("OrderPlaced", "InventoryRejected"), Status.CANCELLED),
        ((*RESERVED, "PaymentDeclined"), Status.UNDOING),
        ((*RESERVED, "PaymentDeclined", "InventoryReleased"), Status.CANCELLED),
        ((*PAID, "ShipmentFailed"), Status.UNDOING),
        ((*PAID, "ShipmentFailed", "PaymentRefunded"), Status.UNDOING),
        ((*PAID, "ShipmentFailed", "PaymentRefunded", "InventoryReleased"), Status.CANCELLED),
        ((*PAID, "OrderCancelRequested"), Status.UNDOING),
        ((*PAID, "CompensationRequested", *UNDONE), Status.CANCELLED),
        (("OrderCancelRequested",), Status.UNPLACED),
        ((*LABELLED, "InterventionOpened"), Status.INTERVENTION),
        ((*LABELLED, "InterventionOpened", "InterventionResolved"), Status.WAITING),
        ((*MAILED, "InterventionOpened"), Status.COMPLETED),
    ],
)
def test_status(story: tuple[str, ...], status: Status) -> None:
    assert seen(saga_of(*story)).status == status


def test_both_step_orders_are_read_by_the_same_code() -> None:
    story = ("OrderPlaced", "PaymentCaptured", "InventoryRejected", "PaymentRefunded")
    assert seen(saga_of(*story, flow="order/2")).status == Status.CANCELLED
    assert seen(saga_of(*story[:3], flow="order/2")).status == Status.UNDOING


def test_an_undo_of_nothing_ends_as_cancelled() -> None:
    fenced = ("ShipmentCancelled", "PaymentRefunded", FENCE, "InventoryReleased")
    assert seen(saga_of("OrderPlaced", "CompensationRequested", *fenced)).status == Status.CANCELLED


def test_not_cancelled_before_every_step_behind_the_request_has_answered() -> None:
    view = seen(saga_of("OrderPlaced", "OrderCancelRequested", "InventoryReleased"))
    assert view.status == Status.UNDOING
    assert [a.step for a in view.awaited] == ["shipping"]


def test_a_late_capture_reopens_until_it_is_refunded() -> None:
    story = (
        *RESERVED,
        "CompensationRequested",
        "ShipmentCancelled",
        "PaymentRefunded",
        FENCE,
        "InventoryReleased",
        "PaymentCaptured",
        {"late": True},
    )
    late = seen(saga_of(*story))
    assert late.status == Status.UNDOING
    assert money_of(late).held == 500
    assert [(a.step, a.mode) for a in late.awaited] == [("payment", AwaitMode.UNDO)]
    refunded = seen(saga_of(*story, "PaymentRefunded"))
    assert refunded.status == Status.CANCELLED
    assert money_of(refunded).held == 0


def test_not_cancelled_while_money_is_held_whatever_the_events_say() -> None:
    half = {"refund_id": "re-1", "amount_minor": 250}
    undone = ("ShipmentCancelled", "PaymentRefunded", half, "InventoryReleased")
    view = seen(saga_of(*PAID, "CompensationRequested", *undone))
    assert view.status == Status.UNDOING
    assert [a.step for a in view.awaited] == ["payment"]


def test_movements_reported_twice_count_once_and_parts_add_up() -> None:
    view = seen(
        saga_of(
            *PAID,
            "PaymentCaptured",
            "ShipmentFailed",
            "PaymentRefundProgressed",
            {"refund_id": "re-1", "amount_minor": 250, "remaining_minor": 250},
            "PaymentRefunded",
            {"refund_id": "re-2", "amount_minor": 250},
            "PaymentRefunded",
            {"refund_id": "re-2", "amount_minor": 250},
        )
    )
    assert money_of(view) == KindBalance("money", "EUR", added=500, removed=500)


def test_past_the_pivot_a_request_to_undo_changes_nothing() -> None:
    refused = (*SHIPPED, "CompensationRequested", "ShipmentCancelRefused")
    view = seen(saga_of(*refused))
    assert view.status == Status.RUNNING
    assert [(a.step, a.mode) for a in view.awaited] == [("notification", AwaitMode.FORWARD)]
    assert seen(saga_of(*refused, "ShippedMailSent")).status == Status.COMPLETED


def test_picked_up_after_it_was_undone_is_a_case_for_a_person() -> None:
    view = seen(saga_of(*PAID, "CompensationRequested", *UNDONE, "ShipmentPickedUp"))
    codes = {(a.step, a.code) for a in view.awaited if a.code == "undone_past_pivot"}
    assert codes == {("payment", "undone_past_pivot"), ("inventory", "undone_past_pivot")}


def test_deadline_of_a_step_runs_from_what_made_it_due() -> None:
    view = seen(saga_of("OrderPlaced", 10, "InventoryReserved"))
    assert view.next is not None
    assert view.next.step == "payment"
    assert view.next.since == after(10.001)
    assert view.next.due == after(10.001 + 300)
    assert view.next.events == ("PaymentCaptured", "PaymentDeclined")


def test_a_wait_extends_the_deadline_and_an_answer_ends_it() -> None:
    waiting = seen(saga_of(*RESERVED, 5, "PaymentReviewRequired"))
    assert waiting.next is not None
    assert waiting.next.mode == AwaitMode.WAIT
    assert waiting.next.approval is not None
    assert waiting.next.approval.until == after(5.002 + 24 * 3600)
    answer = ("VerdictGiven", {"step": "payment", "verdict": "approve"})
    answered = seen(saga_of(*RESERVED, 5, "PaymentReviewRequired", 60, *answer))
    assert answered.status == Status.RUNNING
    assert answered.next is not None
    assert answered.next.due == after(65.003 + 300)


def test_an_answer_to_another_step_or_in_other_words_is_none() -> None:
    waiting = (*RESERVED, "PaymentReviewRequired")
    for detail in (
        {"step": "shipping", "verdict": "approve"},
        {"step": "payment", "verdict": "maybe"},
    ):
        assert seen(saga_of(*waiting, "VerdictGiven", detail)).status == Status.WAITING
    approved = ("VerdictGiven", {"step": "payment", "verdict": "approve"})
    assert seen(saga_of(*RESERVED, "PaymentPending", *approved)).status == Status.WAITING


def test_a_republished_event_stands_where_its_count_says() -> None:
    *before, captured = facts(*PAID)
    refunded = facts(*PAID, "PaymentRefunded")[-1]
    republished = replace(captured, at=after(9999))
    view = seen(fold(Saga(SAGA), *before, republished, refunded))
    assert next(s for s in view.steps if s.name == "payment").status == "undone"
    assert [(a.step, a.mode) for a in view.awaited] == [("inventory", AwaitMode.UNDO)]


def test_of_one_event_seen_twice_the_earlier_sighting_stays() -> None:
    [first] = facts("OrderPlaced")
    again = replace(first, at=after(100))
    assert fold(Saga(SAGA), again, first).facts == fold(Saga(SAGA), first, again).facts
    assert fold(Saga(SAGA), again, first).facts[first.key].at == first.at


def test_the_flow_is_the_earliest_label_and_unlabelled_events_do_not_matter() -> None:
    unlabelled = replace(facts("OrderCancelRequested")[0], flow=None, at=after(-60))
    assert fold(saga_of("OrderPlaced", flow="order/2"), unlabelled).flow == "order/2"
    assert fold(Saga(SAGA), unlabelled).flow is None


def test_started_and_ended() -> None:
    view = seen(saga_of("OrderPlaced", 1, "InventoryRejected"))
    assert (view.started_at, view.ended_at) == (after(0), after(1.001))
    assert seen(saga_of("OrderPlaced")).ended_at is None


def test_a_second_placing_is_not_the_start() -> None:
    view = seen(saga_of("OrderPlaced", 30, "OrderPlaced", "OrderRejected"))
    assert view.started_at == after(0)
    assert view.next is not None
    assert view.next.due == after(60)


def test_ids_of_emissions_are_the_same_everywhere() -> None:
    assert emission_id("order/o", "deadline", "payment", 1) == emission_id(
        "order/o", "deadline", "payment"
    )
    assert emission_id("order/o", "deadline", "payment", 2) != emission_id(
        "order/o", "deadline", "payment"
    )


@pytest.mark.parametrize("ids", ["abc", "cba", "bac"])
def test_within_one_millisecond_causes_are_shown_first(ids: str) -> None:
    first, second, third = list(ids)
    facts = [
        Fact(third, "ShipmentCreated", log_time(5), "shipping", 1, second),
        Fact(second, "InventoryReserved", log_time(5), "inventory", 1, first),
        Fact(first, "OrderPlaced", log_time(5), "order", 1, "asked-for-elsewhere"),
    ]
    timeline = fold(Saga("order/o-1"), *facts).timeline()
    assert [f.type for f in timeline] == ["OrderPlaced", "InventoryReserved", "ShipmentCreated"]
