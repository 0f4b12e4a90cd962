"""Sequences on the in-memory store: a gap parks an order until what fills it has come."""

from uuid import uuid4

import pytest

from sagakit.faults import Crash, CrashAt
from tests.toy_saga import Counter, Started, Ticked, toy
from tests.unit.sagakit.handler_messages import HANDLED, PARKED, REPEAT, queue, tick


def test_a_gap_parks_and_what_fills_it_redrives_by_itself(counter: Counter) -> None:
    one, two, three = (tick(counter, w, n) for n, w in enumerate(("one", "two", "three"), 1))
    assert counter.reads(one, three) == [HANDLED, PARKED]
    assert queue(counter) == [("gap", 3)]
    assert "2 is missing" in counter.parked("a")[0].error
    assert counter.reads(two) == [HANDLED]
    assert counter.words("a") == ("one", "two", "three")
    assert (queue(counter), counter.inbox_row("a").parked, counter.inbox_row("a").gap) == (
        [],
        0,
        None,
    )
    assert [e.seq for e in counter.published] == [1, 2, 3]
    assert counter.dead == [], "a gap makes no dead-letter record: it fills itself"


@pytest.mark.parametrize("batched", [True, False])
def test_a_wide_gap_fills_from_its_beginning(counter: Counter, batched: bool) -> None:
    records = [tick(counter, str(n), n) for n in (4, 2, 5, 1, 3, 6)]
    if batched:
        counter.reads(*records)
    else:
        for record in records:
            counter.reads(record)
    assert counter.words("a") == ("1", "2", "3", "4", "5", "6")
    assert queue(counter) == []


def test_only_the_order_with_the_gap_waits(counter: Counter) -> None:
    fates = counter.reads(tick(counter, "x", 2), tick(counter, "b", 1, "b"))
    assert fates == [PARKED, HANDLED]
    assert counter.words("b") == ("b",)


def test_other_producers_queue_behind_a_gap_but_do_not_fill_it(counter: Counter) -> None:
    ahead, other = tick(counter, "two", 2), counter.wire.record(Started("a"), 1)
    assert counter.reads(ahead, other) == [PARKED, PARKED]
    assert queue(counter) == [("gap", 2), ("queued", 1)]
    counter.reads(tick(counter, "one", 1))
    assert counter.words("a") == ("one", "two", "do")


def test_gaps_of_two_producers_at_once(counter: Counter) -> None:
    left2, front2 = tick(counter, "two", 2), counter.wire.record(Started("a"), 2)
    counter.begins_with(counter.wire.record(Started("a"), 1))
    assert counter.reads(left2, front2) == [PARKED, PARKED]
    counter.reads(tick(counter, "one", 1))
    assert counter.words("a") == ("one", "two")
    assert (queue(counter), counter.inbox_row("a").gap) == ([("gap", 2)], "front")
    counter.reads(counter.wire.record(Started("a"), 1))
    assert counter.words("a") == ("one", "two", "do"), "the second start event is refused"
    assert queue(counter) == []


def test_what_fills_a_gap_may_stand_behind_it_in_the_queue(counter: Counter) -> None:
    """Both queued behind something else, so the gap was not seen when its filling came."""
    bad = counter.wire.raw("front.events", b"a", b"garbage")
    counter.reads(bad, tick(counter, "two", 2), tick(counter, "one", 1))
    assert [code for code, _ in queue(counter)] == ["undecodable", "queued", "queued"]
    discard(counter, 0)
    counter.handler.redrive(toy("a"))
    assert counter.words("a") == ("one", "two")
    assert queue(counter) == []


def discard(counter: Counter, n: int) -> None:
    """What the operator's DELETE does."""
    row = counter.parked("a")[n]
    del counter.database.tables.parked[row.id]


def test_a_filled_gap_redrives_also_when_the_process_died_in_between(counter: Counter) -> None:
    """The offset of what filled it is not stored by then, so it comes again, as a repeat."""
    one, two = tick(counter, "one", 1), tick(counter, "two", 2)
    counter.reads(two)
    counter.handler = counter.with_faults(CrashAt("after-commit"))
    with pytest.raises(Crash):
        counter.reads(one)
    assert counter.words("a") == ("one",)
    counter.handler = counter.with_faults(lambda point: None)
    assert counter.reads(one) == [REPEAT]
    assert counter.words("a") == ("one", "two")


def test_a_long_queue_is_redriven_to_its_end(counter: Counter) -> None:
    counter.reads(*[tick(counter, str(n), n) for n in range(2, 1204)])
    counter.reads(tick(counter, "1", 1))
    assert counter.words("a") == tuple(str(n) for n in range(1, 1204))
    assert queue(counter) == []


def test_another_event_at_a_known_place_is_a_conflict(counter: Counter) -> None:
    counter.reads(tick(counter, "one", 1))
    other = counter.wire.record(Ticked("a", "usurper"), 1, id_=uuid4())
    assert counter.reads(other, tick(counter, "two", 2)) == [PARKED, PARKED]
    assert queue(counter) == [("sequence_conflict", 1), ("queued", 2)]
    assert "stop it and rebuild it (`saga rebuild`" in counter.parked("a")[0].error
    assert counter.words("a") == ("one",)
