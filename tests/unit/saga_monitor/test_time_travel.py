"""A saga as the log knew it at a moment, and as the monitor had read it by then."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_monitor.saga.facts import Saga, fold
from saga_monitor.saga.time_travel import (
    Basis,
    MomentToCome,
    NotKnownThen,
    Point,
    saga_at,
)
from saga_monitor.saga.times import read_time
from tests.histories import SAGA, after, facts, money_of, saga_of, seen

LATE = (
    *("OrderPlaced", 10, "InventoryReserved", 300, "CompensationRequested"),
    {"step": "payment", "attempt": 1},
    *(5, "ShipmentCancelled", 5, "PaymentRefunded", {"amount_minor": 0}, 5, "InventoryReleased"),
    *(60, "PaymentCaptured", 60, "PaymentRefunded"),
)
NOW = after(10_000)


def at(
    saga: Saga,
    moment: datetime,
    basis: Basis = Basis.LOG,
    read_at: Mapping[str, datetime] | None = None,
    read_through: datetime | None = NOW,
) -> tuple[Saga, Point]:
    """The saga then; by default every event was read when it came."""
    read = {f.key: f.at for f in saga.facts.values()} if read_at is None else read_at
    return saga_at(saga, moment, basis, read, now=NOW, read_through=read_through)


def types(saga: Saga) -> list[str]:
    return [fact.type for fact in saga.timeline()]


def test_as_of_now_it_is_the_saga_of_today() -> None:
    # Given a saga with a whole life
    today = saga_of(*LATE)
    for basis in Basis:
        # When it is looked at as of now
        then, point = at(today, NOW, basis)
        # Then it is that of today, and nothing is left out
        assert then == today
        assert seen(then) == seen(today)
        assert (point.events, point.later, point.unread) == (len(today.facts), 0, 0)


@pytest.mark.parametrize("story", [LATE, LATE[:3], ("OrderPlaced",)])
def test_at_the_time_of_each_event_it_is_the_fold_of_the_events_up_to_it(story: Any) -> None:
    events = facts(*story)
    today = fold(Saga(SAGA), *events)
    for n, fact in enumerate(events, 1):
        then, point = at(today, fact.at)
        assert seen(then) == seen(fold(Saga(SAGA), *events[:n]))
        assert (point.events, point.later) == (n, len(events) - n)


@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=6))
def test_a_moment_between_two_events_is_that_of_the_event_before(offsets: list[int]) -> None:
    events = facts(*LATE)
    today = fold(Saga(SAGA), *events)
    for ms in offsets:
        moment = events[0].at + timedelta(milliseconds=ms)
        then, _ = at(today, moment)
        last = max(fact.at for fact in then.facts.values())
        assert seen(then) == seen(at(today, last)[0])
        assert not [fact for fact in events if last < fact.at <= moment]


def test_the_money_is_what_it_was_then() -> None:
    # Given a capture that came after the order was undone, and its refund
    today = saga_of(*LATE)
    captured = next(f for f in today.facts.values() if f.type == "PaymentCaptured")
    # When it is looked at between the two
    then, _ = at(today, captured.at + timedelta(seconds=1))
    # Then the money was held, and payment had to give it back
    assert money_of(seen(then)).held == 500
    assert [item.step for item in seen(then).awaited] == ["payment"]
    assert money_of(seen(today)).held == 0


def test_what_was_not_read_yet_is_in_the_log_and_not_in_what_was_known() -> None:
    # Given a monitor that stood still while stock was reserved, and read that a minute later
    today = saga_of("OrderPlaced", 10, "InventoryReserved")
    placed, reserved = today.timeline()
    read_at = {placed.key: placed.at, reserved.key: reserved.at + timedelta(minutes=1)}
    moment = reserved.at + timedelta(seconds=30)
    # When both are asked for a moment in between
    logged, as_of = at(today, moment, Basis.LOG, read_at)
    known, as_known = at(today, moment, Basis.READ, read_at)
    # Then only the log had the event, and both say that one was not read
    assert types(logged) == ["OrderPlaced", "InventoryReserved"]
    assert types(known) == ["OrderPlaced"]
    assert (as_of.unread, as_known.unread) == (1, 1)
    assert [item.step for item in seen(known).awaited] == ["inventory"]
    # And at the moment of reading it counts as read
    known, as_known = at(today, read_at[reserved.key], Basis.READ, read_at)
    assert (known, as_known.unread) == (today, 0)


def test_a_moment_behind_which_the_log_is_unread_is_not_complete() -> None:
    today = saga_of("OrderPlaced")
    assert at(today, after(50), read_through=after(60))[1].complete
    assert not at(today, after(70), read_through=after(60))[1].complete
    assert not at(today, after(70), read_through=None)[1].complete
    assert at(today, after(70), Basis.READ, read_through=None)[1].complete


@pytest.mark.parametrize(
    ("basis", "what"),
    [(Basis.LOG, "the log had no event"), (Basis.READ, "the monitor had read no event")],
)
def test_before_its_first_event_there_is_no_saga(basis: Basis, what: str) -> None:
    with pytest.raises(NotKnownThen) as refused:
        at(saga_of("OrderPlaced"), after(-1), basis)
    words = (what, "2026-01-02T02:59:59Z", "the first came at 2026-01-02T03:00:00Z", "from then on")
    assert all(word in str(refused.value) for word in words)


def test_the_future_is_not_known() -> None:
    with pytest.raises(MomentToCome) as refused:
        at(saga_of("OrderPlaced"), NOW + timedelta(seconds=1))
    words = ("2026-01-02T05:46:41Z is in the future", "it is 2026-01-02T05:46:40Z", "up to now")
    assert all(word in str(refused.value) for word in words)


def test_an_event_ahead_of_the_clock_here_is_no_future() -> None:
    # Given a broker whose clock is ahead of the monitor's
    today = saga_of("OrderPlaced", 20_000, "InventoryReserved")
    ahead = today.timeline()[-1].at
    # When the time of its event is asked for
    then, _ = at(today, ahead)
    # Then it is answered
    assert then == today


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-11-26T05:28:41Z", "2026-11-26T05:28:41+00:00"),
        ("2026-11-26T05:28:41.123+02:00", "2026-11-26T03:28:41.123000+00:00"),
        ("2026-11-26 05:28+00:00", "2026-11-26T05:28:00+00:00"),
    ],
)
def test_a_time_is_read_with_its_zone(written: str, utc: str) -> None:
    assert read_time(written).isoformat() == utc


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("2026-11-26T05:28:41", ("'2026-11-26T05:28:41'", "no time zone", "05:28:41Z")),
        ("2026-11-26", ("'2026-11-26'", "no time zone")),
        ("yesterday", ("'yesterday' is not a time", "date, time and zone")),
        ("0001-01-01T00:00:00+14:00", ("is not a time",)),
        ("\ud800" * 90, ("is not a time",)),
        ("", ("'' is not a time",)),
    ],
)
def test_what_is_no_time_says_what_to_write(written: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="write") as refused:
        read_time(written)
    assert all(word in str(refused.value) for word in words)
    assert str(refused.value).isascii()
