"""What blocks an order: each cause by itself, and which of several is reported."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from saga_monitor.saga.blockers import (
    BROKER,
    Cause,
    CauseKind,
    KeptRows,
    Lag,
    ParkedRecord,
    PendingEffect,
    Unpublished,
    blocking_cause,
)
from saga_monitor.saga.facts import SOURCE, Saga
from tests.histories import SAGA, after, saga_of, seen

RESERVED = ("OrderPlaced", "InventoryReserved")
REVIEW = (*RESERVED, "PaymentReviewRequired")
SHIPPED = (*RESERVED, "PaymentCaptured", "ShipmentPickedUp")
SINCE = after(0.001)
"""When payment became due in RESERVED."""
DUE = after(300.001)
EFFECT = PendingEffect("charge:o-1", "charge", 0, None, after(1), after(1))
FAILED = replace(EFFECT, attempts=3, last_error="503 from the provider", due_at=after(40))
PARKED = ParkedRecord("decide", "ZeroDivisionError", "inventory.events", 2, 17, after(2))
QUEUED = replace(PARKED, code="queued", offset=18)
OUTBOX = Unpublished("payment.events", after(3))
LAG = Lag("inventory.events", 2, 40)


def cause(
    story: tuple[Any, ...],
    now: float | None = 10,
    *,
    lags: Mapping[str, Lag] | None = None,
    **holds: KeptRows,
) -> Cause | None:
    """Who is asked but keeps nothing of the order has to be named, too."""
    at = None if now is None else after(now)
    return blocking_cause(seen(saga_of(*story)), holds, lags or {}, at)


def test_a_step_that_is_not_overdue_is_reported_as_on_time() -> None:
    assert cause(RESERVED, payment=KeptRows()) == Cause(
        CauseKind.ON_TIME,
        "payment",
        "on time, payment awaits PaymentCaptured or PaymentDeclined",
        SINCE,
        DUE,
    )


def test_an_overdue_step_without_a_visible_cause_is_reported_as_overdue() -> None:
    found = cause(RESERVED, 301, payment=KeptRows())
    assert found is not None
    assert (found.kind, found.until) == (CauseKind.OVERDUE, DUE)
    assert found.description.endswith("it has read all its events, and nothing is pending there")


def test_an_overdue_step_of_a_participant_without_an_address_says_so() -> None:
    found = cause(RESERVED, 301)
    assert found is not None
    assert found.kind == CauseKind.OVERDUE
    assert "SAGA_PARTICIPANTS has no address of it" in found.description


def test_a_monitor_that_is_behind_is_reported() -> None:
    found = cause(RESERVED, None, payment=KeptRows())
    assert found is not None
    assert (found.kind, found.who, found.until) == (CauseKind.MONITOR, SOURCE, DUE)


def test_a_participant_that_is_behind_is_reported() -> None:
    assert cause(RESERVED, payment=KeptRows(), lags={"payment": LAG}) == Cause(
        CauseKind.LAG,
        "payment",
        "payment has not read inventory.events/2, 40 records behind",
        SINCE,
        DUE,
    )


def test_a_participant_that_does_not_answer_is_reported() -> None:
    found = cause(RESERVED, payment=KeptRows(silent="connection refused"))
    assert found == Cause(
        CauseKind.SILENT, "payment", "payment does not answer: connection refused", SINCE, DUE
    )


def test_a_silent_participant_that_is_behind_is_reported_as_both() -> None:
    found = cause(RESERVED, payment=KeptRows(silent="timeout"), lags={"payment": LAG})
    assert found is not None
    both_causes = "payment does not answer: timeout; it has not read inventory.events/2, 40 records"
    assert found.kind == CauseKind.SILENT
    assert found.description.startswith(both_causes)


def test_a_broker_that_does_not_answer_is_reported() -> None:
    found = cause(RESERVED, payment=KeptRows(), kafka=KeptRows(silent="timed out"))
    assert found is not None
    assert (found.kind, found.who) == (CauseKind.SILENT, BROKER)


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [(None, CauseKind.PERSON), ("approve", CauseKind.ON_TIME), ("maybe", CauseKind.PERSON)],
)
def test_a_person_is_asked_until_they_answer(verdict: str | None, kind: CauseKind) -> None:
    answer = ("VerdictGiven", {"step": "payment", "verdict": verdict}) if verdict else ()
    found = cause((*REVIEW, *answer), payment=KeptRows())
    assert found is not None
    assert found.kind == kind


def test_the_wait_for_a_person_says_who_and_until_when() -> None:
    found = cause(REVIEW, payment=KeptRows())
    assert found is not None
    assert found.description.startswith(
        "PaymentReviewRequired asks payments-reviewer; `saga approve`"
    )
    assert (found.who, found.until) == ("payments-reviewer", after(0.002 + 24 * 3600))


def test_a_failing_call_is_reported_with_its_last_error() -> None:
    assert cause(RESERVED, payment=KeptRows(effects=(EFFECT, FAILED))) == Cause(
        CauseKind.GATEWAY,
        "payment",
        "payment failed 3 times at charge, last error: 503 from the provider",
        after(1),
        after(40),
    )


def test_a_call_in_progress_is_reported() -> None:
    found = cause(RESERVED, payment=KeptRows(effects=(EFFECT,)))
    assert found is not None
    assert found.description == "payment makes its first attempt at charge"
    assert found.until is None


def test_an_unpublished_event_is_reported() -> None:
    assert cause(RESERVED, payment=KeptRows(outbox=(OUTBOX, OUTBOX))) == Cause(
        CauseKind.OUTBOX,
        "payment",
        "payment has not published 2 of its events to payment.events",
        after(3),
    )


def test_a_parked_record_is_reported_with_its_reason() -> None:
    found = cause(RESERVED, payment=KeptRows(parked=(PARKED, QUEUED)))
    words = (
        "payment parked inventory.events/2@17: decide: ZeroDivisionError; 1 more queue behind it"
    )
    assert found == Cause(CauseKind.PARKED, "payment", words, after(2))


def test_the_monitors_own_request_is_not_published() -> None:
    mine = KeptRows(outbox=(Unpublished("saga.events", after(4)),))
    found = cause(RESERVED, payment=KeptRows(), saga_monitor=mine)
    assert found is not None
    assert (found.kind, found.who) == (CauseKind.OUTBOX, SOURCE)


@pytest.mark.parametrize("when", [10, 9999, None])
def test_an_open_case_waits_for_a_person_at_any_time(when: float | None) -> None:
    found = cause(
        (*RESERVED, "InterventionOpened", {"code": "undo_stalled"}), when, payment=KeptRows()
    )
    assert found is not None
    assert found.kind == CauseKind.PERSON
    assert "undo_stalled" in found.description


def test_an_order_undone_past_its_pivot_waits_for_a_person() -> None:
    story = (*RESERVED, "PaymentCaptured", "CompensationRequested", "PaymentRefunded")
    found = cause((*story, "ShipmentPickedUp"))
    assert found is not None
    assert found.kind == CauseKind.PERSON
    assert "payment was undone although the saga is past its pivot" in found.description


def test_a_missing_start_event_is_looked_for_at_its_publisher() -> None:
    orphan = ("InventoryReserved",)
    found = cause(orphan, order=KeptRows())
    assert found is not None
    assert found.kind == CauseKind.OVERDUE
    assert "but not the start event of order/1" in found.description
    for holds, kind in (
        (KeptRows(outbox=(OUTBOX,)), CauseKind.OUTBOX),
        (KeptRows(silent="refused"), CauseKind.SILENT),
        (KeptRows(parked=(PARKED,)), CauseKind.PARKED),
    ):
        found = cause(orphan, order=holds)
        assert found is not None
        assert (found.kind, found.who) == (kind, "order")
    found = cause(orphan, None, order=KeptRows())
    assert found is not None
    assert found.kind == CauseKind.MONITOR


def test_a_start_event_that_the_monitor_cannot_read_is_reported() -> None:
    garbage = replace(PARKED, code="undecodable", error="begins with deadbeef")
    found = cause(
        ("InventoryReserved",), order=KeptRows(), saga_monitor=KeptRows(parked=(garbage,))
    )
    assert found is not None
    assert (found.kind, found.who) == (CauseKind.PARKED, SOURCE)
    assert "undecodable: begins with deadbeef" in found.description


def test_what_has_ended_is_blocked_by_nobody() -> None:
    everything = KeptRows((FAILED,), (OUTBOX,), (PARKED,))
    for story in ((*SHIPPED, "ShippedMailSent"), ("OrderPlaced", "InventoryRejected")):
        assert cause(story, payment=everything, inventory=everything) is None


def test_what_has_ended_with_an_open_case_waits_for_a_person() -> None:
    case = ("InterventionOpened", {"code": "conservation"})
    found = cause((*SHIPPED, "ShippedMailSent", *case))
    assert found is not None
    assert (found.kind, found.who) == (CauseKind.PERSON, "a person")
    assert "an intervention is open: conservation" in found.description


def test_only_the_participant_that_the_order_waits_for_is_reported() -> None:
    found = cause(SHIPPED, payment=KeptRows(parked=(PARKED,)), notification=KeptRows())
    assert found is not None
    assert (found.kind, found.who) == (CauseKind.ON_TIME, "notification")


LADDER: tuple[tuple[CauseKind, Mapping[str, Any]], ...] = (
    (CauseKind.PAUSED, {"story": (*RESERVED, "SagaPaused")}),
    (CauseKind.PARKED, {"parked": (PARKED,)}),
    (CauseKind.OUTBOX, {"outbox": (OUTBOX,)}),
    (CauseKind.GATEWAY, {"effects": (FAILED,)}),
    (CauseKind.PERSON, {"story": REVIEW}),
    (CauseKind.SILENT, {"silent": "refused"}),
    (CauseKind.LAG, {"lag": LAG}),
    (CauseKind.MONITOR, {"now": None}),
    (CauseKind.OVERDUE, {"now": 10**6}),
    (CauseKind.ON_TIME, {}),
)


@pytest.mark.parametrize("first", range(len(LADDER)), ids=lambda n: LADDER[n][0].value)
def test_the_first_of_several_causes_in_the_order_of_kinds_is_reported(first: int) -> None:
    """Everything from `first` down the ladder is so at once."""
    assert [kind for kind, _ in LADDER] == list(CauseKind)
    so: dict[str, Any] = {"story": RESERVED, "now": 10}
    for _, more in reversed(LADDER[first:]):
        so.update(more)
    holds = KeptRows(**{k: so[k] for k in ("effects", "outbox", "parked", "silent") if k in so})
    lags = {"payment": so["lag"]} if "lag" in so else {}
    found = cause(so["story"], so["now"], lags=lags, payment=holds)
    assert found is not None
    assert found.kind == LADDER[first][0]


def test_the_same_is_reported_whenever_it_is_asked() -> None:
    calm = [
        cause(RESERVED, now, payment=KeptRows(effects=(FAILED,))) for now in (1, 10, 1000, None)
    ]
    assert len({str(c) for c in calm}) == 1


def test_an_order_without_any_fact_of_its_flow_still_has_a_cause() -> None:
    found = blocking_cause(seen(Saga(SAGA)), {}, {}, after(1))
    assert found is not None
    assert found.kind == CauseKind.OVERDUE
