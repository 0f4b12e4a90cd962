"""Clocks of brokers that differ are noticed, and no deadline is judged too early by them."""

from datetime import UTC, datetime, timedelta

from saga_monitor.ingest.broker_clocks import BOUND, KEPT, NONE, BrokerClocks
from saga_monitor.ingest.watermark import Tick
from saga_monitor.saga.facts import unix_ms

START = datetime(2026, 1, 2, 12, tzinfo=UTC)
PLACE = ("a.events", 0)


def tick(second: float, end: int) -> Tick:
    return Tick(START + timedelta(seconds=second), {PLACE: end})


def stamp_ms(second: float) -> int:
    return unix_ms(START + timedelta(seconds=second))


def clocks_after(tick: Tick, offset: int, second: float) -> BrokerClocks:
    clocks = BrokerClocks()
    clocks.note_tick(tick)
    clocks.note_records(PLACE, offset, stamp_ms(second), stamp_ms(second))
    return clocks


def test_a_record_appended_after_a_tick_with_an_earlier_stamp_shows_a_clock_behind() -> None:
    clocks = clocks_after(tick(100, end=7), offset=7, second=10)
    assert clocks.behind() == timedelta(seconds=90)
    assert clocks.differences() == {PLACE: timedelta(seconds=-90)}


def test_an_old_record_read_late_shows_nothing() -> None:
    clocks = clocks_after(tick(100, end=7), offset=6, second=10)
    assert (clocks.behind(), clocks.differences()) == (NONE, {})


def test_a_record_read_before_a_tick_with_a_later_stamp_shows_a_clock_ahead() -> None:
    clocks = clocks_after(tick(0, end=7), offset=7, second=95)
    clocks.note_tick(tick(5, end=8))
    assert clocks.differences() == {PLACE: timedelta(seconds=90)}
    assert clocks.behind() == NONE, "deadlines are judged late already"


def test_what_requests_take_is_no_difference() -> None:
    within = BOUND.total_seconds()
    clocks = clocks_after(tick(100, end=7), offset=7, second=100 - within)
    clocks.note_records(PLACE, 8, stamp_ms(101 + within), stamp_ms(101 + within))
    clocks.note_tick(tick(101, end=9))
    assert clocks.differences() == {}


def test_a_difference_is_forgotten_when_it_is_not_seen_any_more() -> None:
    clocks = clocks_after(tick(100, end=7), offset=7, second=10)
    kept = KEPT.total_seconds()
    clocks.note_tick(tick(100 + kept, end=8))
    assert clocks.behind() == timedelta(seconds=90)
    clocks.note_tick(tick(101 + kept, end=8))
    assert clocks.behind() == NONE
