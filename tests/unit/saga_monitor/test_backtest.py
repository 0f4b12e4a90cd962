"""Recorded orders under an edited flow: what the monitor would have done, and would not have."""

import json
import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_monitor.saga.backtest import (
    Act,
    Deviation,
    JudgedSaga,
    Shift,
    judge,
    play,
)
from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import SOURCE, Fact, Saga, emission_id, fold
from saga_monitor.saga.flow_changes import edited_plan, flow_changes
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.view import Status
from sagakit.errors import UnknownFlow
from sagakit.flow.loader import load
from sagakit.flow.model import Ceiling, Flow, with_deadlines
from tests.histories import FLOW, SAGA, START, after, facts, saga_of, seen

TRIPS = Path(__file__).parents[3] / "examples" / "trip" / "trips"
LATER = after(10**6)
WHOLE = ("OrderPlaced", "InventoryReserved", 180, "PaymentCaptured", "ShipmentCreated")
END = ("ShipmentPickedUp", "ShippedMailSent")


def plan(version: int = 1, **deadlines: str) -> Plan:
    """A plan of the order flow, with other deadlines: `payment="2m"`."""
    return Plan.of(with_deadlines(FLOW, deadlines), version)


def judged(saga: Saga, edited: Plan, present: Plan | None = None) -> JudgedSaga:
    return judge(saga, present or plan(), edited, LATER)


def kinds(found: JudgedSaga) -> list[tuple[Act, str, Shift]]:
    return [(one.act, one.subject, one.change) for one in found.differences]


def only(found: JudgedSaga) -> Deviation:
    (difference,) = found.differences
    return difference


def timed_out(*more: Any) -> Saga:
    """An order that the monitor asked to undo, payment being late, and what came of it."""
    return saga_of(
        *("OrderPlaced", "InventoryReserved", 301, "CompensationRequested"),
        {"step": "payment", "attempt": 1, "actor": SOURCE},
        *("ShipmentCancelled", "PaymentRefunded", {"amount_minor": 0}, "InventoryReleased"),
        *more,
    )


# --- compensations --------------------------------------------------------------------------------


def test_a_shorter_deadline_would_have_undone_an_order_that_completed_by_itself() -> None:
    # Given an order whose payment took 3 of its 5 minutes, and which completed
    saga = saga_of(*WHOLE, *END)
    # When payment has 2 minutes
    found = judged(saga, plan(payment="2m"))
    # Then it would have been undone two minutes after the stock was reserved
    difference = only(found)
    assert kinds(found) == [(Act.COMPENSATED, "payment", Shift.NEW)]
    assert difference.at == saga.timeline()[1].at + timedelta(minutes=2)
    assert difference.was_at is None
    assert found.status == Status.COMPLETED


def test_the_money_is_what_was_held_then_and_in_the_end() -> None:
    # Given an order that was paid, and whose parcel took 9 of its 10 minutes
    saga = saga_of("OrderPlaced", "InventoryReserved", "PaymentCaptured", 540, *END)
    # When shipping has one minute
    (money,) = only(judged(saga, plan(shipping="1m"))).balances
    # Then what was paid would have been given back
    assert (money.name, money.kind, money.held, money.held_at_end) == ("money", "EUR", 500, 500)


def test_money_that_came_later_is_held_in_the_end_only() -> None:
    # Given an order that was paid after 3 minutes
    saga = saga_of(*WHOLE, *END)
    # When it would have been undone before
    (money,) = only(judged(saga, plan(payment="2m"))).balances
    # Then it held nothing yet, and what it holds in the end would have been given back
    assert (money.name, money.held, money.held_at_end) == ("money", 0, 500)


def test_a_longer_deadline_would_not_have_undone_it_then() -> None:
    # Given an order that was undone when its payment was 5 minutes late
    # When payment has 10
    found = judged(timed_out(), plan(payment="10m"))
    # Then it would not have been undone then; what would have come of it is in no log
    assert kinds(found) == [(Act.COMPENSATED, "payment", Shift.GONE)]
    assert found.status == Status.CANCELLED
    spared = play(timed_out(), plan(payment="10m"), LATER)
    assert (spared.actions, spared.ended) == ({}, timed_out().timeline()[2].at)


def test_what_would_have_been_undone_in_any_case_is_earlier_or_later() -> None:
    shorter = judged(timed_out(), plan(payment="1m"))
    assert kinds(shorter) == [(Act.COMPENSATED, "payment", Shift.EARLIER)]
    longer = judged(timed_out(), plan(payment="5m"), plan(payment="1m"))
    assert kinds(longer) == [(Act.COMPENSATED, "payment", Shift.LATER)]


def test_an_order_is_undone_once_whichever_step_it_is_for() -> None:
    # Given an order of which stock was late, then payment, so that it was undone for payment
    slow = ("OrderPlaced", 50, "InventoryReserved", 301, "CompensationRequested")
    saga = saga_of(*slow, {"step": "payment", "attempt": 1, "actor": SOURCE})
    # When stock has half a minute
    found = judged(saga, plan(inventory="30s"))
    # Then it is undone earlier, not once more
    assert kinds(found) == [(Act.COMPENSATED, "inventory", Shift.EARLIER)]


def test_what_follows_an_undo_that_only_one_flow_asks_for_is_no_deviation() -> None:
    # Given an order whose payment took 3 minutes and whose mail took two hours
    saga = saga_of(*WHOLE, "ShipmentPickedUp", 7200, "ShippedMailSent")
    short = plan(payment="2m")
    # When one flow undoes it for the payment, and the other calls a person for the mail
    # Then only the undo differs: behind it nothing is known
    assert kinds(judged(saga, short)) == [(Act.COMPENSATED, "payment", Shift.NEW)]
    assert kinds(judged(saga, plan(), short)) == [(Act.COMPENSATED, "payment", Shift.GONE)]


def test_an_order_that_was_undone_for_another_reason_is_no_difference() -> None:
    # Given orders that were declined, or cancelled by a person, in good time
    undone = ("ShipmentCancelled", "PaymentRefunded", {"amount_minor": 0}, "InventoryReleased")
    asked = ("CompensationRequested", {"code": "operator", "actor": "ada"})
    for why in (("PaymentDeclined", "InventoryReleased"), (*asked, *undone)):
        saga = saga_of("OrderPlaced", "InventoryReserved", 30, *why)
        # When payment has 1 minute
        # Then nothing differs
        assert judged(saga, plan(payment="1m")).differences == ()


def stalled_undo() -> Saga:
    """An order that was declined, and released after the monitor had asked three times more."""
    asked: list[Any] = []
    for attempt, pause in enumerate((61, 60, 120), 1):
        detail = {"step": "inventory", "attempt": attempt, "actor": SOURCE}
        asked += [pause, "CompensationRequested", detail]
    return saga_of(
        *("OrderPlaced", "InventoryReserved", "PaymentDeclined", *asked, 500),
        *("ShipmentCancelled", "PaymentRefunded", {"amount_minor": 0}, "InventoryReleased"),
    )


def test_undos_that_are_asked_for_again_are_no_difference() -> None:
    # Given an undo that takes long, so that it is asked for again at each deadline
    # When the deadline is another one
    # Then it is the same undo
    assert judged(stalled_undo(), plan(inventory="30s")).differences == ()
    assert judged(stalled_undo(), plan(inventory="10m")).differences == ()


def test_a_lower_ceiling_calls_a_person() -> None:
    # Given the same undo
    # When a person is to be called after two requests without a sign of life
    edited = Plan.of(replace(FLOW, ceiling=Ceiling(2)), 1)
    # Then one would have been
    assert kinds(judged(stalled_undo(), edited)) == [(Act.INTERVENTION, "undo_stalled", Shift.NEW)]


def test_one_in_flight_is_judged_up_to_now() -> None:
    # Given an order whose payment is due since 3 minutes
    saga = saga_of("OrderPlaced", "InventoryReserved")
    now = saga.timeline()[-1].at + timedelta(minutes=3)
    # When payment has 2 minutes, and 4
    for deadline, differs in (("2m", True), ("4m", False)):
        found = judge(saga, plan(), plan(payment=deadline), now)
        # Then only the deadline that has passed makes a difference
        assert bool(found.differences) is differs
        assert found.status == Status.RUNNING


def test_what_came_after_the_moment_is_not_judged() -> None:
    saga = saga_of(*WHOLE, *END)
    found = judge(saga, plan(), plan(payment="2m"), saga.timeline()[1].at + timedelta(minutes=1))
    assert (found.differences, found.status) == ((), Status.RUNNING)


def test_deadlines_stand_still_while_an_order_is_paused() -> None:
    paused = ("SagaPaused", {"actor": "ada"}, 200, "SagaResumed", {"actor": "ada"})
    saga = saga_of("OrderPlaced", "InventoryReserved", *paused, 60, "PaymentCaptured", *END)
    assert judged(saga, plan(payment="2m")).differences == ()


# --- waits, reminders, escalations ----------------------------------------------------------------

REVIEW = ("OrderPlaced", "InventoryReserved", "PaymentReviewRequired")
DAY = 86_400


def asking(remind_s: float, escalate_s: float) -> Plan:
    """The flow with another reminder and escalation of a review."""
    payment = FLOW.steps["payment"]
    rule = payment.asks["PaymentReviewRequired"]
    rule = replace(rule, remind_s=remind_s, escalate_s=escalate_s)
    step = replace(payment, asks={"PaymentReviewRequired": rule})
    return Plan.of(replace(FLOW, steps={**FLOW.steps, "payment": step}), 1)


def test_an_earlier_reminder_would_have_reminded() -> None:
    # Given a review that a person answered after 3 hours
    answer = ("VerdictGiven", {"step": "payment", "verdict": "approve", "actor": "ada"})
    saga = saga_of(*REVIEW, 3 * 3600, *answer, "PaymentCaptured", *END)
    # When the reminder comes after one hour, the escalation after two
    found = judged(saga, asking(3600, 7200))
    # Then both would have come, and the order completes all the same
    assert kinds(found) == [
        (Act.REMINDED, "payment", Shift.NEW),
        (Act.ESCALATED, "payment", Shift.NEW),
    ]
    assert [one.at for one in found.differences] == [
        saga.timeline()[2].at + timedelta(hours=n) for n in (1, 2)
    ]


def test_a_later_reminder_is_gone_and_the_recorded_one_counts_for_nothing() -> None:
    # Given a review of which the monitor reminded after 8 hours, and which was answered after 17
    answer = ("VerdictGiven", {"step": "payment", "verdict": "approve", "actor": "ada"})
    reminder = ("VerdictRequested", {"step": "payment", "code": "reminder"})
    story = facts(*REVIEW, 8 * 3600 + 1, *reminder, 9 * 3600, *answer, "PaymentCaptured", *END)
    story[3] = replace(story[3], id=str(emission_id(SAGA, "reminder", story[2].id)))
    saga = fold(Saga(SAGA), *story)
    # When the reminder comes after 20 hours
    found = judged(saga, asking(20 * 3600, 22 * 3600))
    # Then nobody is reminded, and so nobody asks the senior role after 16 either
    assert kinds(found) == [
        (Act.REMINDED, "payment", Shift.GONE),
        (Act.ESCALATED, "payment", Shift.GONE),
    ]
    # And after 10 hours it would come later, whatever is recorded
    assert kinds(judged(saga, asking(10 * 3600, 12 * 3600))) == [
        (Act.REMINDED, "payment", Shift.LATER),
        (Act.ESCALATED, "payment", Shift.EARLIER),
    ]


def test_a_shorter_wait_gives_the_timeout_verdict() -> None:
    # Given a review that a person answered after 3 hours
    answer = ("VerdictGiven", {"step": "payment", "verdict": "approve", "actor": "ada"})
    saga = saga_of(*REVIEW, 3 * 3600, *answer, "PaymentCaptured", *END)
    # When a review may take 2 hours
    found = judged(saga, Plan.of(with_deadlines(FLOW, {"payment.PaymentReviewRequired": "2h"}), 1))
    # Then the order is rejected, after the reminder and the escalation that scale with the wait
    assert kinds(found) == [
        (Act.REMINDED, "payment", Shift.NEW),
        (Act.ESCALATED, "payment", Shift.NEW),
        (Act.COMPENSATED, "payment", Shift.NEW),
    ]


def test_a_longer_wait_does_not_reject() -> None:
    # Given a review that nobody answered within a day
    verdict = ("VerdictGiven", {"step": "payment", "verdict": "reject", "actor": "system_timeout"})
    saga = saga_of(*REVIEW, DAY + 1, *verdict, "PaymentDeclined", "InventoryReleased")
    # When it has two days, and the people are asked as before
    step = replace(FLOW.steps["payment"], waits={"PaymentReviewRequired": 2.0 * DAY})
    edited = Plan.of(replace(FLOW, steps={**FLOW.steps, "payment": step}), 1)
    # Then it would not have been rejected then
    assert kinds(judged(saga, edited)) == [(Act.COMPENSATED, "payment", Shift.GONE)]


def test_past_the_pivot_a_person_is_called() -> None:
    # Given a mail that took 30 minutes
    saga = saga_of(*WHOLE, "ShipmentPickedUp", 1800, "ShippedMailSent")
    # When it may take 10
    found = judged(saga, plan(notification="10m"))
    # Then nothing is undone
    assert kinds(found) == [(Act.INTERVENTION, "overdue_past_pivot", Shift.NEW)]


# --- versions and flows ---------------------------------------------------------------------------


def test_another_order_of_the_steps_counts_the_deadlines_from_other_events() -> None:
    # Given an order in which stock took 50 s, and payment 280 s after it
    saga = saga_of("OrderPlaced", 50, "InventoryReserved", 280, "PaymentCaptured", *END)
    # When it is judged by the version that charges first
    found = judged(saga, edited_plan("order/1", FLOW, FLOW, 2))
    # Then payment was due since the start, 330 s
    assert kinds(found) == [(Act.COMPENSATED, "payment", Shift.NEW)]


@pytest.mark.parametrize(
    ("version", "reason"), [(3, "same steps .fraud."), (9, "version 9 is not in the edited flow")]
)
def test_a_version_that_cannot_judge_is_refused(version: int, reason: str) -> None:
    with pytest.raises(UnknownFlow, match=reason):
        edited_plan("order/1", FLOW, FLOW, version)


def test_what_was_edited_is_listed() -> None:
    edited = with_deadlines(FLOW, {"payment": "2m", "payment.PaymentReviewRequired": "12h"})
    edited = replace(edited, default_version=2)
    assert [(c.path, c.was, c.now) for c in flow_changes(FLOW, edited)] == [
        ("default_version", "1", "2"),
        (
            "steps.payment.asks.PaymentReviewRequired",
            "payments-reviewer after 28800s, payments-lead after 57600s",
            "payments-reviewer after 14400s, payments-lead after 28800s",
        ),
        ("steps.payment.deadline", "300s", "120s"),
        ("steps.payment.waits.PaymentReviewRequired", "86400s", "43200s"),
    ]
    assert flow_changes(FLOW, FLOW) == []


# --- a recorded log -------------------------------------------------------------------------------


def recorded(rng: random.Random, slow: bool) -> tuple[list[Fact], str]:
    """An order of a log, and the step that was slow: it took longer than half of its deadline."""
    half = {"inventory": 30.0, "payment": 150.0, "shipping": 300.0}
    step = rng.choice(list(half))
    story: list[Any] = ["OrderPlaced"]
    events = zip(half, ("InventoryReserved", "PaymentCaptured", "ShipmentPickedUp"), strict=True)
    for name, event in events:
        at_most = half[name]
        takes = rng.uniform(0.01, at_most - 1)
        if slow and name == step:
            takes = rng.uniform(at_most + 1, 2 * at_most - 1)
        story += [round(takes, 3), event]
    return facts(*story, "ShippedMailSent"), step


@pytest.mark.parametrize("seed", range(5))
def test_exactly_the_orders_that_were_made_slow_are_found(seed: int) -> None:
    # Given a log of 100 orders that all completed, some of them slow in one step
    rng = random.Random(seed)
    made_slow: dict[str, str] = {}
    log: list[Saga] = []
    for n in range(100):
        key, slow = f"order/o-{n}", rng.random() < 0.2
        found, step = recorded(rng, slow)
        log.append(fold(Saga(key), *found))
        if slow:
            made_slow[key] = step
    # When every step has half of its time
    edited = plan(inventory="30s", payment="150s", shipping="5m")
    results = [judge(saga, plan(), edited, LATER) for saga in log]
    # Then exactly the slow ones would have been undone, each for its slow step
    found_slow = {one.saga: one.differences[0].subject for one in results if one.differences}
    assert found_slow == made_slow
    assert all(len(one.differences) <= 1 for one in results)
    assert {one.status for one in results} == {Status.COMPLETED}


# --- properties -----------------------------------------------------------------------------------

STORY = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("InventoryReserved", "PaymentReviewRequired", "PaymentCaptured"),
                *("PaymentDeclined", "ShipmentCreated", "ShipmentPickedUp", "ShippedMailSent"),
                *("PaymentRefunded", "InventoryReleased", "ShipmentCancelled"),
            ]
        ),
        st.sampled_from([0, 20, 61, 299, 301, 4000, 90_000]),
    ),
    max_size=8,
)


def story(words: list[tuple[str, int]]) -> Saga:
    return saga_of("OrderPlaced", *(one for event, s in words for one in (s, event)))


@given(STORY)
def test_the_present_flow_differs_from_itself_in_nothing(words: list[tuple[str, int]]) -> None:
    assert judged(story(words), plan()).differences == ()


@given(STORY)
def test_longer_deadlines_undo_no_order_that_the_present_ones_do_not(
    words: list[tuple[str, int]],
) -> None:
    longer = plan(inventory="10m", payment="50m", shipping="100m", notification="10h")
    found = judged(story(words), longer)
    assert (Act.COMPENSATED, Shift.NEW) not in {(d.act, d.change) for d in found.differences}


@given(STORY)
def test_the_first_action_is_what_the_monitor_emits_first(words: list[tuple[str, int]]) -> None:
    # Given any order, without events of the monitor
    saga = story(words)
    until = saga.timeline()[-1].at
    actions = play(saga, plan(), until).actions
    # When the monitor itself is asked at each event, with what it had read before, and at the end
    timeline = saga.timeline()
    moments = [*(fact.at for fact in timeline[1:]), until]
    first: datetime | None = None
    for n, moment in enumerate(moments, 1):
        before = fold(Saga(SAGA), *timeline[:n])
        view = seen(before)
        emitted = due_emissions(before, view, moment)
        if any(e.event.type != "CompensationRequested" or not view.undoing for e in emitted):
            first = moment
            break
    # Then both act for the first time before the same event, or neither does
    assert (first is None) == (not actions)
    if first is not None:
        assert START <= min(actions.values()) < first


@pytest.fixture
def trip() -> Flow:
    """The flow of the example, from its files."""
    schemas = [json.loads(path.read_text()) for path in TRIPS.glob("*.avsc")]
    owners = {schema["name"]: schema["owner"] for schema in schemas if "owner" in schema}
    return load((TRIPS / "flows" / "trip.toml").read_text(), owners)


def test_the_trip_flow_is_judged_by_the_same_code(trip: Flow) -> None:
    # Given a trip whose hotel held the stay for a day, and which completed
    held = ("HotelHeld", 24 * 3600, "StayChangesClosed", 60, "HotelCaptured")
    words = ("TripPlaced", "CarReserved", *held, "FlightBooked", "ItinerarySent")
    saga = trip_saga(trip, *words)
    # When a hold may last 12 hours
    edited = with_deadlines(trip, {"hotel.HotelHeld": "12h"})
    found = judge(saga, Plan.of(trip, 1), Plan.of(edited, 1), LATER)
    # Then the trip would have been undone for the hotel
    assert kinds(found) == [(Act.COMPENSATED, "hotel", Shift.NEW)]
    assert found.status == Status.COMPLETED


def trip_saga(trip: Flow, *described: str | float) -> Saga:
    now, found = START, list[Fact]()
    for n, one in enumerate(described):
        if isinstance(one, str):
            id_ = f"00000000-0000-0000-0000-{n:012}"
            found.append(Fact(id_, one, now, source=trip.owners[one], seq=n + 1, flow="trip/1"))
        else:
            now += timedelta(seconds=one)
    return fold(Saga("trip/t-1"), *found)
