"""The commands that a page offers: each by the decision that takes it."""

from saga_monitor.saga.offered_commands import OfferedCommand, offered_commands, offered_on
from tests.histories import saga_of, seen


def offered(*story: str) -> dict[str, OfferedCommand]:
    saga = saga_of(*story)
    return {one.name: one for one in offered_commands(saga, seen(saga))}


def given(found: dict[str, OfferedCommand]) -> set[str]:
    return {name for name, one in found.items() if not one.refused}


def test_a_running_saga_can_be_cancelled_and_paused_but_not_resumed() -> None:
    found = offered("OrderPlaced", "InventoryReserved")
    assert given(found) == {"cancel", "pause", "pin", "open_intervention"}
    assert "is not paused" in (found["resume"].refused or "")


def test_a_wait_for_a_person_offers_both_verdicts_for_its_step() -> None:
    found = offered("OrderPlaced", "InventoryReserved", "PaymentReviewRequired")
    assert {"approve-payment", "reject-payment"} <= given(found)
    assert found["approve-payment"].fields == {"step": "payment"}


def test_past_the_pivot_the_reason_says_why_it_cannot_be_cancelled() -> None:
    story = ("OrderPlaced", "InventoryReserved", "PaymentCaptured", "ShipmentPickedUp")
    assert "past its pivot" in (offered(*story)["cancel"].refused or "")


def test_an_open_intervention_offers_what_can_be_done_with_it() -> None:
    saga = saga_of("OrderPlaced", "InterventionOpened", {"code": "manual", "reason": "look"})
    view = seen(saga)
    names = [one.name for one in offered_on(view.interventions[0], saga, view)]
    assert names == [
        "claim_intervention-manual",
        "note_intervention-manual",
        "resolve_intervention-manual",
    ]
