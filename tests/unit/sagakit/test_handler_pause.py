"""A paused order in the kit: what would carry it forward is held, all else passes."""

from itertools import permutations
from typing import Any

import pytest

from sagakit.decider import Undo
from sagakit.faults import Crash, CrashAt
from sagakit.handling.pause import UNDONE, join_marks, marks_after
from sagakit.messages.envelope import Record
from sagakit.store.ports import InboxRow
from tests.toy_saga import (
    Counter,
    LeftDone,
    RightDone,
    Started,
    Ticked,
    paused,
    resumed,
    toy,
)
from tests.unit.sagakit.handler_messages import HANDLED, HELD, PARKED, REPEAT

PAUSE, UNDO = ((), True), ((Undo(Started("a"), "so"),), False)
"""Triggers, and whether it pauses the order (see `routing.RoutingResult`)."""


def started(counter: Counter, seq: int = 1, flow: str = "toy/1") -> Record:
    return counter.wire.record(Started("a"), seq, flow=flow)


def say(counter: Counter, event: Any, flow: str = "toy/1") -> Record:
    """The monitor keeps no count."""
    return counter.wire.record(event, None, flow=flow)


def test_an_event_that_would_start_work_waits_for_the_resume(counter: Counter) -> None:
    assert counter.reads(say(counter, paused("a")), started(counter)) == [HANDLED, HELD]
    assert counter.words("a") == ()
    assert counter.inbox_row("a").parked == 0, "nothing queues behind it"
    assert counter.reads(say(counter, resumed("a"))) == [HANDLED]
    assert counter.words("a") == ("do",)
    assert counter.parked() == []
    assert counter.inbox_row("a").marks == []
    assert counter.dead == []


def test_an_event_decided_after_a_pause_has_the_same_id_as_without_it(counter: Counter) -> None:
    plain = Counter()
    plain.reads(started(plain))
    counter.reads(say(counter, paused("a")), started(counter), say(counter, resumed("a")))
    assert [e.id for e in counter.published] == [e.id for e in plain.published]


def test_later_events_pass_a_paused_one_even_from_the_same_source(counter: Counter) -> None:
    tick = counter.wire.record(Ticked("a", "tick"), 1)
    later = counter.wire.record(Started("a"), 2, flow="toy/2")  # tells the counter nothing there
    batch = (say(counter, paused("a")), started(counter), tick, later)
    assert counter.reads(*batch) == [HANDLED, HELD, HANDLED, HANDLED]
    assert counter.words("a") == ("tick",)


def test_other_orders_go_on(counter: Counter) -> None:
    other = counter.wire.record(Started("b"), 1)
    assert counter.reads(say(counter, paused("a")), started(counter), other)[-1] == HANDLED
    assert counter.words("b") == ("do",)


def test_read_again_it_is_paused_once(counter: Counter) -> None:
    pause, start = say(counter, paused("a")), started(counter)
    assert counter.reads(pause, start) == [HANDLED, HELD]
    assert counter.reads(pause, start) == [REPEAT, REPEAT]
    assert len(counter.parked()) == 1
    assert counter.handler.redrive(toy("a")) == []
    assert len(counter.parked()) == 1
    counter.reads(say(counter, resumed("a")))
    assert counter.words("a") == ("do",)


def test_a_crash_between_the_resume_and_the_paused_event_loses_nothing(counter: Counter) -> None:
    counter.reads(say(counter, paused("a")), started(counter))
    resume = say(counter, resumed("a"))
    counter.handler = counter.with_faults(CrashAt("after-commit", 1))
    with pytest.raises(Crash):
        counter.reads(resume)
    assert counter.words("a") == ()
    counter.handler = counter.with_faults(lambda point: None)
    assert counter.reads(resume) == [REPEAT]
    assert counter.words("a") == ("do",)


def test_a_step_after_parallel_steps_is_paused_when_all_of_them_are_done(counter: Counter) -> None:
    left = counter.wire.record(LeftDone("a"), 1, flow="toy/3")
    right = counter.wire.record(RightDone("a"), 1, flow="toy/3")
    assert counter.reads(say(counter, paused("a"), "toy/3"), left, right) == [
        HANDLED,
        HANDLED,
        HELD,
    ]
    counter.reads(say(counter, resumed("a"), "toy/3"))
    assert counter.words("a") == ("do",)


def test_a_paused_event_behind_a_parked_record_waits_for_the_redrive_and_the_resume(
    counter: Counter,
) -> None:
    boom = counter.wire.record(Ticked("a", "boom"), 1)
    batch = (say(counter, paused("a")), boom, started(counter))
    assert counter.reads(*batch) == [HANDLED, PARKED, PARKED]
    number = next(row.id for row in counter.parked() if row.code == "decide")
    del counter.database.tables.parked[number]
    assert counter.handler.redrive(toy("a")) == []
    assert [row.code for row in counter.parked()] == ["paused"]
    counter.reads(say(counter, resumed("a")))
    assert counter.words("a") == ("do",)


def test_a_paused_record_fills_the_gap_before_it(counter: Counter) -> None:
    """Given a paused order with a gap; when what fills the gap is held; then nothing queues any
    more, and the resuming is heard."""
    late = counter.wire.record(Started("a"), 2, flow="toy/2")  # tells the counter nothing there
    counter.begins_with(started(counter))
    assert counter.reads(say(counter, paused("a")), late) == [HANDLED, PARKED]
    assert counter.reads(started(counter)) == [HELD]
    assert [row.code for row in counter.parked()] == ["paused"]
    assert (counter.inbox_row("a").parked, counter.inbox_row("a").gap) == (0, None)
    assert counter.reads(say(counter, resumed("a"))) == [HANDLED]
    assert counter.words("a") == ("do",)
    assert counter.parked() == []


def test_a_paused_record_fills_the_gap_before_it_in_the_queue(counter: Counter) -> None:
    """Given a paused order, and behind a bad record what leaves a gap, what fills it and the
    resuming; when the bad one is discarded; then one redrive handles the others."""
    bad = counter.wire.raw("left.events", b"a", b"garbage")
    late = counter.wire.record(Started("a"), 2, flow="toy/2")
    pause, resume = say(counter, paused("a")), say(counter, resumed("a"))
    counter.begins_with(started(counter))
    counter.reads(pause, bad, late, started(counter), resume)
    assert [row.code for row in counter.parked()] == ["undecodable", *["queued"] * 3]
    del counter.database.tables.parked[counter.parked()[0].id]
    counter.handler.redrive(toy("a"))
    assert counter.words("a") == ("do",)
    assert counter.parked() == []


@pytest.mark.parametrize("turns", [*permutations([PAUSE, UNDO])])
def test_an_undone_order_is_not_paused_whichever_event_comes_first(turns: Any) -> None:
    """Given an undo and a pause from two topics; when they are read in either order; then the order
    is not paused, and what comes late is decided on."""
    marks: list[str] = []
    for triggers, pauses in turns:
        marks = marks_after(set(marks), triggers, pauses)
    assert marks == [UNDONE]
    assert join_marks(InboxRow("a", marks=marks)) == frozenset(), "it is no mark of routing's"
