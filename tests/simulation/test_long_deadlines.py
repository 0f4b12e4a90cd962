"""What takes days in life, in milliseconds: deadlines that pass, requests that nobody hears, people
who do not answer, money that comes late."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from saga_lab.simulation.invariants import violations
from saga_lab.simulation.world import START
from saga_monitor.saga.view import LONGEST_BACKOFF_S, OVERDUE, STALLED, SYSTEM_TIMEOUT, Status
from schemas import FLOWS
from shop.simulation import SIMULATION, OrderWorld
from shop.simulation.outside import Behaviour
from tests.simulation.fault_free import calm_world, events_of, run, stand_still, story

DAY, HOUR, SOON = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
DEAR_MINOR = 200_000
ASKED = "CompensationRequested"
CEILING = next(iter(FLOWS)).ceiling.attempts


@pytest.fixture(autouse=True)
def clock(request: pytest.FixtureRequest, tell: Callable[[str], None]) -> Iterator[None]:
    """Says what a test took."""
    began = time.perf_counter()
    yield
    tell(f"{request.node.name}: {1000 * (time.perf_counter() - began):.0f} ms")


def status(world: OrderWorld, saga: str) -> Status:
    seen = world.monitor.view(saga)
    assert seen is not None
    return seen.status


def test_a_review_nobody_answers_ends_after_a_day_without_a_charge() -> None:
    one = story(0, START, Behaviour(), DEAR_MINOR)
    world = calm_world([one])
    run(world)
    assert violations(SIMULATION, world, [one]) == []
    assert status(world, one.saga) == Status.CANCELLED
    [wait] = events_of(world, one.saga, "PaymentReviewRequired")
    [verdict] = events_of(world, one.saga, "VerdictGiven")
    assert (verdict.event.verdict, verdict.event.actor) == ("reject", SYSTEM_TIMEOUT)
    assert DAY < verdict.time - wait.time < DAY + SOON
    assert events_of(world, one.saga, ASKED) == []
    assert all(c.status != "captured" for c in world.outside.charges.values())


@pytest.mark.parametrize(("verdict", "end"), [("approve", "completed"), ("reject", "cancelled")])
def test_a_review_answered_in_the_last_hour_is_in_time(verdict: str, end: str) -> None:
    one = story(0, START, Behaviour(), DEAR_MINOR, verdict=verdict, verdict_after=DAY - HOUR)
    world = calm_world([one])
    run(world)
    assert violations(SIMULATION, world, [one]) == []
    assert status(world, one.saga) == end
    assert events_of(world, one.saga, ASKED) == []


def test_requests_nobody_hears_are_repeated_with_growing_pauses_to_the_ceiling_and_on() -> None:
    one = story(0, START, Behaviour(charge="action_never"))
    world = calm_world([one])
    stand_still(world, "shipping", DAY - HOUR, 2 * DAY)
    run(world)
    assert violations(SIMULATION, world, [one]) == []
    assert status(world, one.saga) == Status.CANCELLED
    asked = [e for e in events_of(world, one.saga, ASKED) if e.event.step == "shipping"]
    assert [e.event.attempt for e in asked] == list(range(1, len(asked) + 1))
    pauses = [(b.time - a.time).total_seconds() for a, b in pairwise(asked)]
    growing = [p for p in pauses if p < LONGEST_BACKOFF_S]
    assert all(b > 1.9 * a for a, b in pairwise(growing))
    assert len(pauses) > len(growing) + CEILING
    assert all(p < LONGEST_BACKOFF_S + 60 for p in pauses)
    [case] = events_of(world, one.saga, "InterventionOpened")
    assert case.event.code == STALLED
    assert sum(e.time > case.time for e in asked) > CEILING
    seen = world.monitor.view(one.saga)
    assert seen is not None
    assert seen.open_interventions == ()


def test_past_the_pivot_nothing_is_undone_and_one_case_is_opened() -> None:
    one = story(0, START, Behaviour())
    world = calm_world([one])
    stand_still(world, "notification", timedelta(), 2 * DAY)
    run(world)
    assert violations(SIMULATION, world, [one]) == []
    assert status(world, one.saga) == Status.COMPLETED
    assert events_of(world, one.saga, ASKED) == []
    [case] = events_of(world, one.saga, "InterventionOpened")
    assert case.event.code == OVERDUE
    assert HOUR < case.time - START < 2 * HOUR


def test_money_that_comes_after_the_undo_goes_back_once() -> None:
    one = story(0, START, Behaviour(charge="late", delay=4 * DAY))
    world = calm_world([one])
    run(world)
    assert violations(SIMULATION, world, [one]) == []
    assert status(world, one.saga) == Status.CANCELLED
    first, *_ = events_of(world, one.saga, ASKED)
    [captured] = events_of(world, one.saga, "PaymentCaptured")
    assert 3 * DAY < first.time - START < 4 * DAY < captured.time - START
    [charge] = world.outside.charges.values()
    assert (charge.status, charge.refunded_minor) == ("captured", charge.amount_minor)
    assert len(world.outside.refunds) == 1


def test_a_parcel_nobody_picks_up_is_given_up_after_a_week() -> None:
    one = story(0, START, Behaviour(pickup=None))
    world = calm_world([one])
    run(world)
    assert violations(SIMULATION, world, [one]) == []
    assert status(world, one.saga) == Status.CANCELLED
    first, *_ = events_of(world, one.saga, ASKED)
    assert 7 * DAY < first.time - START < 8 * DAY


def test_a_participant_that_does_nothing_within_its_deadline_is_undone_when_it_wakes() -> None:
    one = story(0, START + HOUR, Behaviour())
    world = calm_world([one])
    stand_still(world, "inventory", SOON, 3 * HOUR)
    run(world)
    assert violations(SIMULATION, world, [one]) == []
    assert status(world, one.saga) == Status.CANCELLED
    assert events_of(world, one.saga, ASKED)[0].event.step == "inventory"
    assert world.outside.charges == {}
