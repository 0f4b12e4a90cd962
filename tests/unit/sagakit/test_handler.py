"""The handler on the in-memory store: what becomes of messages, however they come."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from sagakit.decider import Callback, Effect, EffectResult
from sagakit.faults import POINTS, Crash, CrashAt
from sagakit.handling.handler import Disposition
from sagakit.handling.inbox import MAX_IDS
from sagakit.messages.codec import MAX_EVENT_BYTES
from sagakit.messages.envelope import EffectRow, Lease, Message, Record, derive_id
from tests.toy_saga import (
    NOW,
    Count,
    Counter,
    LeftDone,
    RightDone,
    Started,
    Ticked,
    as_record,
    event_id,
    words_of,
)

HANDLED, REPEAT, PARKED, STALE = (
    Disposition.HANDLED,
    Disposition.REPEAT,
    Disposition.PARKED,
    Disposition.STALE,
)


@pytest.fixture
def counter() -> Counter:
    return Counter()


def tick(counter: Counter, word: str, seq: int | None, key: str = "a", **trace: Any) -> Record:
    return counter.wire.record(Ticked(key, word), seq, **trace)


def call(key: str, word: str, **changes: Any) -> Message:
    """A webhook."""
    return replace(Message(uuid4(), key, trigger=Callback((key, word))), **changes)


def queue(counter: Counter, key: str = "a") -> list[tuple[str, int | None]]:
    return [(row.code, row.seq) for row in counter.parked(key)]


# --- repeats ------------------------------------------------------------------------------------


def test_an_event_that_comes_twice_is_handled_once(counter: Counter) -> None:
    one, two = tick(counter, "one", 1), tick(counter, "two", 2)
    assert counter.reads(one, one, two) == [HANDLED, REPEAT, HANDLED]
    assert counter.reads(two, one) == [REPEAT, REPEAT]
    assert counter.words("a") == ("one", "two")
    assert words_of([e.event for e in counter.published]) == ["one", "two"]


def test_without_a_sequence_the_id_tells_repeats(counter: Counter) -> None:
    one = tick(counter, "one", None)
    assert counter.reads(one, one, tick(counter, "other", None)) == [HANDLED, REPEAT, HANDLED]
    assert counter.reads(one) == [REPEAT]
    assert counter.words("a") == ("one", "other")


def test_a_webhook_that_comes_twice_is_handled_once_and_given_the_state(counter: Counter) -> None:
    message, paid = call("a", "paid"), Count(("paid",))
    first, second = counter.handler.handle([message, message])
    assert (first.fate, words_of(first.events), first.state) == (HANDLED, ["paid"], paid)
    assert (second.fate, second.events, second.state) == (REPEAT, (), paid)


def test_the_memory_for_ids_is_bounded_by_order(counter: Counter) -> None:
    counter.hears(*[call("a", "x") for _ in range(MAX_IDS + 5)])
    assert len(counter.inbox_row("a").ids) == MAX_IDS


# --- what own events carry ----------------------------------------------------------------------


def test_own_events_have_ids_derived_from_their_cause_and_count_up(counter: Counter) -> None:
    counter.reads(tick(counter, "twice", 1), tick(counter, "three", 2), tick(counter, "b", 1, "b"))
    first, second = event_id("left", "a", 1), event_id("left", "a", 2)
    assert [(e.id, e.key, e.seq, e.causation) for e in counter.published] == [
        (derive_id(first, "Counted", 0), "a", 1, first),
        (derive_id(first, "Counted", 1), "a", 2, first),
        (derive_id(second, "Counted", 0), "a", 3, second),
        (derive_id(event_id("left", "b", 1), "Counted", 0), "b", 1, event_id("left", "b", 1)),
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
    assert [e.trace.correlation for e in counter.published] == ["a", "a"]


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
    assert [e.effect.key for e in counter.added] == ["call:a"]
    assert counter.inbox_row("a").in_flight == ["call:a"]
    (pending,) = counter.database.tables.effects.values()
    assert pending.row.effect == Effect("call", "call:a", {"n": 1})


def claimed(counter: Counter) -> EffectRow:
    (row,) = counter.database.claim(10, timedelta(seconds=15), NOW)
    return row


def outcome(row: EffectRow, lease: Lease | None, result: str = "ok") -> Message:
    trigger = EffectResult(row.effect, result)
    return Message(uuid4(), row.order_key, trace=row.trace, trigger=trigger, lease=lease)


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
    assert counter.inbox_row("a").in_flight == ["call:a"]
    assert counter.hears(outcome(row, row.lease), outcome(row, row.lease)) == [HANDLED, STALE]
    assert counter.hears(outcome(row, row.lease)) == [STALE]
    assert counter.words("a") == ("called", "paid", "outcome ok")


# --- sequences ----------------------------------------------------------------------------------


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
    assert counter.reads(left2, front2) == [PARKED, PARKED]
    counter.reads(tick(counter, "one", 1))
    assert counter.words("a") == ("one", "two")
    assert (queue(counter), counter.inbox_row("a").gap) == ([("gap", 2)], "front")
    counter.reads(counter.wire.record(Started("a"), 1))
    assert counter.words("a") == ("one", "two", "do", "do")
    assert queue(counter) == []


def test_what_fills_a_gap_may_stand_behind_it_in_the_queue(counter: Counter) -> None:
    """Both queued behind something else, so the gap was not seen when its filling came."""
    bad = counter.wire.raw("front.events", b"a", b"garbage")
    counter.reads(bad, tick(counter, "two", 2), tick(counter, "one", 1))
    assert [code for code, _ in queue(counter)] == ["undecodable", "queued", "queued"]
    discard(counter, 0)
    counter.handler.redrive("a")
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
    assert "rebuild it from the topics" in counter.parked("a")[0].error
    assert counter.words("a") == ("one",)


# --- parking ------------------------------------------------------------------------------------


def test_an_error_in_decide_parks_the_order_and_nothing_else(counter: Counter) -> None:
    fates = counter.reads(
        tick(counter, "b1", 1, "b"),
        tick(counter, "one", 1),
        tick(counter, "boom", 2),
        tick(counter, "three", 3),
        tick(counter, "c1", 1, "c"),
        tick(counter, "b2", 2, "b"),
    )
    assert fates == [HANDLED, HANDLED, PARKED, PARKED, HANDLED, HANDLED]
    assert counter.words("a") == ("one",)
    assert (counter.words("b"), counter.words("c")) == (("b1", "b2"), ("c1",))
    assert queue(counter) == [("decide", 2), ("queued", 3)]
    assert counter.parked("a")[0].error == "ZeroDivisionError: boom"
    assert counter.reads(tick(counter, "four", 4)) == [PARKED]
    assert [e.event.word for e in counter.published if e.key == "a"] == ["one"]


def test_redrive_goes_in_order_up_to_what_still_fails(counter: Counter) -> None:
    records = [tick(counter, w, n) for n, w in enumerate(("boom", "two", "boom", "four"), 1)]
    counter.reads(*records)
    mended = counter.parked("a")[0]
    good = tick(counter, "one", 1)
    place = replace(good, offset=mended.record.offset)
    counter.database.tables.parked[mended.id] = replace(mended, record=place)
    handled = counter.handler.redrive("a")
    assert [h.fate for h in handled] == [HANDLED, HANDLED]
    assert counter.words("a") == ("one", "two")
    assert queue(counter) == [("decide", 3), ("queued", 4)], "the reason is now the one at its head"
    assert counter.inbox_row("a").parked == 2
    assert counter.reads(tick(counter, "five", 5)) == [PARKED]


def test_a_redrive_in_vain_changes_nothing(counter: Counter) -> None:
    counter.reads(tick(counter, "boom", 1), tick(counter, "two", 2))
    before, dead = counter.parked("a"), counter.dead
    assert counter.handler.redrive("a") == []
    assert counter.parked("a") == before
    assert counter.inbox_row("a").parked == 2
    assert counter.dead == dead, "no second dead-letter record for the same failure"


def test_redrive_of_an_order_without_parked_records_does_nothing(counter: Counter) -> None:
    assert counter.handler.redrive("never heard of") == []


def test_outcomes_and_people_get_through_to_a_parked_order(counter: Counter) -> None:
    counter.reads(tick(counter, "call", 1), tick(counter, "boom", 2))
    row = claimed(counter)
    assert counter.hears(outcome(row, row.lease), call("a", "paid")) == [HANDLED, HANDLED]
    assert counter.words("a") == ("called", "outcome ok", "paid")


@pytest.mark.parametrize("label", ["toy/9", "other/1", "toy", "toy/1x", "toy/\u0661"])
def test_an_unknown_flow_version_is_parked(counter: Counter, label: str) -> None:
    fates = counter.reads(tick(counter, "x", 1, flow=label), tick(counter, "b", 1, "b"))
    assert fates == [PARKED, HANDLED]
    (row,) = counter.parked("a")
    assert row.code == "unknown_flow"
    assert "toy/1, toy/2" in row.error


def test_what_cannot_be_read_is_parked_and_gets_a_dead_letter_record(counter: Counter) -> None:
    bad = counter.wire.raw("left.events", b"a", b"garbage", (("n", b"\xff"),))
    assert counter.reads(bad, tick(counter, "b", 1, "b")) == [PARKED, HANDLED]
    (dead_letter,) = counter.dead
    assert (dead_letter.topic, dead_letter.key, dead_letter.value) == (
        "counter.dlt",
        "a",
        b"garbage",
    )
    headers = dict(dead_letter.headers)
    assert headers["n"] == b"\xff"
    assert headers["dlt-topic"] == b"left.events"
    assert headers["dlt-offset"] == str(bad.offset).encode()
    assert headers["dlt-code"] == b"undecodable"
    assert "single-object" in headers["dlt-error"].decode()
    assert counter.reads(tick(counter, "two", 1)) == [PARKED], "queues behind it"


@pytest.mark.parametrize("raw", [None, b"", b"x" * 10_000, b"\xff\xfe", b"a\nb", b"a\0"])
def test_a_key_that_is_none_is_parked_under_a_name_of_its_own(
    counter: Counter, raw: bytes | None
) -> None:
    good = tick(counter, "x", 1, "b")
    bad = replace(good, key=raw, offset=good.offset + 1000)
    assert counter.reads(bad, good) == [PARKED, HANDLED]
    (row,) = counter.parked()
    assert row.code == "bad_key"
    assert row.key.startswith("bad-key:")
    assert len(row.key) < 30


def test_dead_letter_records_never_exceed_what_the_broker_takes(counter: Counter) -> None:
    """What compresses well can be far larger than a topic's limit: it would jam our relay."""
    bad = counter.wire.raw("left.events", b"a", bytes(3_000_000), (("big", bytes(700_000)),))
    counter.reads(bad)
    (dead_letter,) = counter.dead
    size = len(dead_letter.value) + sum(len(k) + len(v) for k, v in dead_letter.headers)
    assert size < MAX_EVENT_BYTES
    assert b"3700003 bytes" in dict(dead_letter.headers)["dlt-omitted"]
    assert counter.parked("a")[0].record == bad, "whole, where it is parked"


@pytest.mark.parametrize(
    "trace", [{"correlation": "c" * 600_000}, {"traceparent": "t" * 600_000, "correlation": "ü"}]
)
def test_what_is_handed_on_cannot_make_own_events_too_large(
    counter: Counter, trace: dict[str, str]
) -> None:
    good = tick(counter, "one", 1)
    names = {"correlation": "ce_correlationid"}
    extra = tuple((names.get(k, k), v.encode()) for k, v in trace.items())
    counter.reads(replace(good, headers=good.headers + extra))
    for row in counter.outbox:
        assert len(row.value) + sum(len(k) + len(v) for k, v in row.headers) <= MAX_EVENT_BYTES


def test_an_own_event_over_the_limit_parks_its_cause(counter: Counter) -> None:
    assert counter.reads(tick(counter, "huge", 1)) == [PARKED]
    (row,) = counter.parked("a")
    assert row.code == "decide"
    assert "EventTooLarge" in row.error
    assert counter.published == []


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
        if len(calls) == 2:
            raise ZeroDivisionError
        return decision

    counter.handler.participant = replace(counter.handler.participant, decide=decide)
    counter.reads(tick(counter, "one", 1), broken)
    assert len(calls) == 2
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
        tables.inbox_rows,
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
