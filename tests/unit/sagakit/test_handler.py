"""The handler on the in-memory store: repeats, what own events carry, effects, crashes."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from sagakit.decider import Do, Effect
from sagakit.faults import POINTS, Crash, CrashAt
from sagakit.handling.inbox import MAX_IDS
from sagakit.messages.envelope import Lease, Record, derive_id
from tests.toy_saga import (
    Count,
    Counter,
    LeftDone,
    RightDone,
    Started,
    as_record,
    event_id,
    words_of,
)
from tests.unit.sagakit.handler_messages import HANDLED, REPEAT, STALE, call, claimed, outcome, tick

# --- repeats ------------------------------------------------------------------------------------


def test_an_event_that_comes_twice_is_handled_once(counter: Counter) -> None:
    one, two = tick(counter, "one", 1), tick(counter, "two", 2)
    assert counter.reads(one, one, two) == [HANDLED, REPEAT, HANDLED]
    assert counter.reads(two, one) == [REPEAT, REPEAT]
    assert counter.words("a") == ("one", "two")
    assert words_of([e.event for e in counter.published]) == ["one", "two"]


def test_without_a_sequence_the_id_tells_repeats(counter: Counter) -> None:
    one = tick(counter, "one", None)
    assert counter.reads(one, one, tick(counter, "two", None)) == [HANDLED, REPEAT, HANDLED]
    assert counter.reads(one) == [REPEAT]
    assert counter.words("a") == ("one", "two")


def test_a_webhook_that_comes_twice_is_handled_once_and_given_the_state(counter: Counter) -> None:
    message, paid = call("a", "paid"), Count(("paid",))
    first, second = counter.handler.handle([message, message])
    assert (first.disposition, words_of(first.events), first.state) == (HANDLED, ["paid"], paid)
    assert (second.disposition, second.events, second.state) == (REPEAT, (), paid)


def test_the_memory_for_ids_is_bounded_by_order(counter: Counter) -> None:
    counter.hears(*[call("a", "x") for _ in range(MAX_IDS + 5)])
    assert len(counter.inbox_row("a").ids) == MAX_IDS


# --- what own events carry ----------------------------------------------------------------------


def test_own_events_have_ids_derived_from_their_cause_and_count_up(counter: Counter) -> None:
    counter.reads(tick(counter, "twice", 1), tick(counter, "three", 2), tick(counter, "b", 1, "b"))
    first, second = event_id("left", "a", 1), event_id("left", "a", 2)
    assert [(e.id, e.key, e.seq, e.causation) for e in counter.published] == [
        (derive_id(first, "Counted", 0), "toy/a", 1, first),
        (derive_id(first, "Counted", 1), "toy/a", 2, first),
        (derive_id(second, "Counted", 0), "toy/a", 3, second),
        (derive_id(event_id("left", "b", 1), "Counted", 0), "toy/b", 1, event_id("left", "b", 1)),
    ]


def test_correlation_and_flow_are_handed_on(counter: Counter) -> None:
    counter.reads(tick(counter, "call", 1, flow="toy/2", correlation="c-7"))
    (own,) = counter.published
    assert (own.trace.flow, own.trace.correlation) == ("toy/2", "c-7")
    (effect,) = counter.added
    assert (effect.trace.flow, effect.trace.correlation) == ("toy/2", "c-7")


@pytest.mark.parametrize(
    "parent",
    [
        *(None, "", "garbage", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{'x' * 32}-1-01"),
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ],
)
def test_an_order_has_one_trace_whatever_its_publisher_says(
    counter: Counter, parent: str | None
) -> None:
    counter.reads(tick(counter, "one", 1, traceparent=parent), tick(counter, "b", 1, "b"))
    counter.hears(call("a", "paid"))
    traces = [str(e.trace.traceparent).split("-") for e in counter.published]
    first, other, webhook = (trace for _, trace, _, _ in traces)
    assert first == webhook != other
    assert all(len(trace) == 32 for _, trace, _, _ in traces)
    assert [span for _, _, span, _ in traces] == [e.id.hex[16:] for e in counter.published]


def test_what_has_no_correlation_is_correlated_by_its_order(counter: Counter) -> None:
    counter.reads(tick(counter, "one", 1))
    counter.hears(call("a", "paid"))
    assert [e.trace.correlation for e in counter.published] == ["toy/a", "toy/a"]


def test_an_order_stays_on_the_flow_it_began_with(counter: Counter) -> None:
    """Also for what comes without a `flow` header: webhooks, and publishers that know no flows."""
    began = counter.wire.record(Started("a"), 1, flow="toy/2")
    done = counter.wire.record(LeftDone("a"), 1)
    assert counter.reads(began, done) == [HANDLED, HANDLED]
    assert counter.words("a") == ("do",), "in toy/1, Started alone had been our turn"
    counter.hears(call("a", "paid"))
    assert {e.trace.flow for e in counter.published} == {"toy/2"}


def test_steps_side_by_side_are_joined_across_batches(counter: Counter) -> None:
    left = counter.wire.record(LeftDone("a"), 1, flow="toy/3")
    right = counter.wire.record(RightDone("a"), 1, flow="toy/3")
    counter.reads(left)
    assert counter.words("a") == ()
    counter.reads(right)
    assert counter.words("a") == ("do",)


def test_steps_side_by_side_are_joined_within_a_batch(counter: Counter) -> None:
    left = counter.wire.record(LeftDone("a"), 1, flow="toy/3")
    right = counter.wire.record(RightDone("a"), 1, flow="toy/3")
    counter.reads(left, right)
    assert counter.words("a") == ("do",)


# --- effects ------------------------------------------------------------------------------------


def test_an_effect_that_is_pending_is_not_added_again(counter: Counter) -> None:
    counter.reads(tick(counter, "call", 1), tick(counter, "call", 2))
    counter.reads(tick(counter, "call", 3))
    assert [e.effect.key for e in counter.added] == ["call"]
    assert counter.inbox_row("a").in_flight == ["call"]
    (pending,) = counter.database.tables.effects.values()
    assert pending.row.effect == Effect("call", "call", {"n": 1}, "toy/a")


def test_an_outcome_ends_the_effect_which_may_then_be_added_again(counter: Counter) -> None:
    counter.reads(tick(counter, "call", 1))
    row = claimed(counter)
    assert counter.hears(outcome(row, row.lease)) == [HANDLED]
    assert counter.words("a") == ("called", "outcome ok")
    assert counter.inbox_row("a").in_flight == []
    assert counter.database.tables.effects == {}
    counter.reads(tick(counter, "call", 2))
    first, second = counter.added
    assert (first.effect.key, first.id) != (second.effect.key, second.id)
    assert first.effect.key == second.effect.key


def test_the_outcome_of_a_stale_lease_is_dropped(counter: Counter) -> None:
    counter.reads(tick(counter, "call", 1))
    row = claimed(counter)
    stale = Lease(row.id, uuid4())
    assert counter.hears(outcome(row, stale, "late"), call("a", "paid")) == [STALE, HANDLED]
    assert counter.words("a") == ("called", "paid")
    assert counter.inbox_row("a").in_flight == ["call"]
    assert counter.hears(outcome(row, row.lease), outcome(row, row.lease)) == [HANDLED, STALE]
    assert counter.hears(outcome(row, row.lease)) == [STALE]
    assert counter.words("a") == ("called", "paid", "outcome ok")


# --- messages that are no records ---------------------------------------------------------------


def test_an_error_for_a_webhook_is_its_callers_and_nothing_has_happened(counter: Counter) -> None:
    with pytest.raises(ZeroDivisionError, match="boom"):
        counter.hears(call("b", "paid"), call("a", "boom"))
    assert counter.store.states == {}
    assert counter.outbox == []
    assert counter.database.tables.inbox_rows == {}
    assert counter.added == []


def test_what_a_failed_decision_left_behind_is_dropped(counter: Counter) -> None:
    """Two triggers of one message, the second fails: the first has not happened either."""
    broken = counter.wire.record(Started("a"), 1)
    first = counter.handler.participant.decide
    calls: list[Any] = []

    def decide(state: Count, trigger: Any, now: Any) -> Any:
        calls.append(trigger)
        decision = first(state, trigger, now)
        if isinstance(trigger, Do):
            raise ZeroDivisionError
        return decision

    counter.handler.participant = replace(counter.handler.participant, decide=decide)
    counter.reads(tick(counter, "one", 1), broken)
    assert any(isinstance(trigger, Do) for trigger in calls)
    assert counter.words("a") == ("one",)
    assert [e.event.word for e in counter.published] == ["one"]
    assert counter.inbox_row("a").sent == 1
    assert "front" not in counter.inbox_row("a").seen


# --- crashes ------------------------------------------------------------------------------------


def story(counter: Counter) -> list[Record]:
    return [
        tick(counter, "one", 1),
        tick(counter, "call", 2),
        tick(counter, "b", 1, "b"),
        tick(counter, "twice", 3),
        tick(counter, "boom", 4),
        tick(counter, "c3", 3, "c"),
        tick(counter, "c1", 1, "c"),
        tick(counter, "c2", 2, "c"),
    ]


def rows(counter: Counter) -> Any:
    tables = counter.database.tables
    return (
        counter.store.states,
        {key: replace(row, sent_by=None, version=0) for key, row in tables.inbox_rows.items()},
        [replace(r, id=0) for r in counter.outbox],
        [p.row for p in tables.effects.values()],
        [replace(p, id=0) for p in tables.parked.values()],
    )


HANDLER_POINTS = [p for p in POINTS if p in ("after-inbox", "before-commit", "after-commit")]


@pytest.mark.parametrize("point", HANDLER_POINTS)
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_crash_anywhere_and_reading_again_ends_in_the_same(point: str, nth: int) -> None:
    calm = Counter()
    records = story(calm)
    batches = [records[:2], records[2:5], records[5:7], records[7:]]
    for batch in batches:
        calm.reads(*batch)
    shaken = Counter(CrashAt(point, nth))
    crashed = 0
    for batch in batches:
        try:
            shaken.reads(*batch)
        except Crash:
            crashed += 1
            shaken.reads(*batch)
    assert crashed == 1
    assert rows(shaken) == rows(calm)
    own = [(e.key, e.seq, e.id) for e in shaken.published]
    assert len(own) == len(set(own))
    assert len({e.id for e in shaken.published}) == len(own)


def test_a_replay_repeats_ids_instead_of_inventing_them() -> None:
    ids: list[list[UUID]] = []
    for _ in range(2):
        counter = Counter()
        counter.reads(*story(counter))
        ids.append([e.id for e in counter.published] + [e.id for e in counter.added])
    assert ids[0] == ids[1]


def test_own_events_can_be_read_back(counter: Counter) -> None:
    counter.reads(*story(counter))
    for row in counter.outbox:
        if row.topic == "counter.events":
            assert counter.wire.codec.decode(as_record(row)).source == "counter"
