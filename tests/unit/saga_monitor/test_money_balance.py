"""Money that does not add up opens a case, once it has had the time to settle."""

from typing import Any

import pytest

from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.view import CONSERVATION, Status
from tests.histories import after, saga_of, seen

PAID = ("OrderPlaced", "InventoryReserved", "PaymentCaptured")
DONE = (*PAID, "ShipmentPickedUp", "ShippedMailSent")
UNDONE = (*PAID, "ShipmentFailed", "PaymentRefunded", "InventoryReleased")
SECOND = ("PaymentCaptured", {"charge_id": "ch-2", "late": True})
BACK = ("PaymentRefundProgressed", {"refund_id": "re-2", "amount_minor": 500})
REST_S = 300
"""The deadline of the step that moves money."""


def findings(saga: Saga, through_s: float) -> list[str]:
    """Reasons of the cases about money that are opened when the log is read through that far."""
    emitted = due_emissions(saga, seen(saga), after(through_s))
    return [e.event.reason for e in emitted if getattr(e.event, "code", "") == CONSERVATION]


@pytest.mark.parametrize(
    "story",
    [
        ("OrderPlaced",),
        PAID,
        DONE,
        UNDONE,
        (*DONE, *SECOND, *BACK),
        (*DONE, "PaymentCaptured"),
        (*PAID, {"amount_minor": 0}, "ShipmentPickedUp", "ShippedMailSent"),
        ("OrderPlaced", "InventoryRejected"),
    ],
)
def test_money_that_adds_up_is_no_finding(story: tuple[Any, ...]) -> None:
    assert seen(saga_of(*story)).imbalances == ()
    assert findings(saga_of(*story), 10**7) == []


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (
            (*DONE, *SECOND),
            "money: added 1000 EUR, removed nothing, held 1000 EUR: a completed saga must hold the",
        ),
        (
            (*DONE, "PaymentRefundProgressed", {"refund_id": "re-2", "amount_minor": 200}),
            "held 300 EUR: a completed saga must hold the amount of exactly one movement",
        ),
        ((*DONE, *BACK), "added 500 EUR, removed 500 EUR, held nothing: a completed saga"),
        (
            (*UNDONE, *BACK),
            "added 500 EUR, removed 1000 EUR, held -500 EUR: more was removed than added",
        ),
        (("OrderPlaced", *BACK), "added nothing, removed 500, held -500: more was removed"),
    ],
)
def test_money_that_does_not_add_up_is_found_once_the_order_is_quiet(
    story: tuple[Any, ...], words: str
) -> None:
    saga = saga_of(*story)
    (found,) = seen(saga).imbalances
    last = max(f.at for f in saga.facts.values())
    assert (found.due - last).total_seconds() == pytest.approx(REST_S)
    assert seen(saga).due is not None
    assert findings(saga, 299) == [], "it may still settle"
    (reason,) = findings(saga, 301)
    assert words in reason


def test_a_case_about_money_is_opened_again_only_about_other_amounts() -> None:
    saga = saga_of(*DONE, *SECOND)
    (emission,) = due_emissions(saga, seen(saga), after(301))
    opened = Fact(str(emission.id), "InterventionOpened", after(302), detail={"code": CONSERVATION})
    saga = fold(saga, opened)
    view = seen(saga)
    assert (view.status, view.open_interventions) == (Status.COMPLETED, (CONSERVATION,))
    assert (view.imbalances, view.due) == ((), None)
    third = Fact(
        "third",
        "PaymentCaptured",
        after(400),
        "payment",
        9,
        detail={"charge_id": "ch-3", "amount_minor": 500, "currency": "EUR"},
    )
    assert seen(fold(saga, third)).imbalances != ()


def test_a_late_capture_that_is_given_back_in_time_is_no_case() -> None:
    saga = saga_of(*DONE, 100, *SECOND, 200, *BACK)
    assert findings(saga, 10**7) == []


def test_money_that_went_before_the_end_counts_from_the_end() -> None:
    """Given money that was lost while the order was held up; when it completes all the same; then
    it is a case once a completed order without money has had its time."""
    saga = saga_of(*PAID, *BACK, 400, "ShipmentPickedUp", "ShippedMailSent")
    assert findings(saga, 699) == []
    assert len(findings(saga, 701)) == 1
