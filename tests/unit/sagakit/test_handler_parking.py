"""Parked records on the in-memory store: why they are parked, what passes them, how they go on."""

import math
from dataclasses import replace

import pytest

from sagakit.decider import Effect, Json, fold
from sagakit.errors import EffectKeyClash
from sagakit.handling.room import ROOM_BYTES
from sagakit.identity import flow_name, saga_key
from sagakit.messages.codec import MAX_EVENT_BYTES, record_size
from sagakit.store.effects import as_stored
from tests.toy_saga import NOW, Counter, Ticked, toy
from tests.unit.sagakit.handler_messages import HANDLED, PARKED, call, claimed, outcome, queue, tick


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
    assert [e.event.word for e in counter.published if e.key == toy("a")] == ["one"]


def test_redrive_goes_in_order_up_to_what_still_fails(counter: Counter) -> None:
    records = [tick(counter, w, n) for n, w in enumerate(("boom", "two", "boom", "four"), 1)]
    counter.reads(*records)
    mended = counter.parked("a")[0]
    good = tick(counter, "one", 1)
    place = replace(good, offset=mended.record.offset)
    counter.database.tables.parked[mended.id] = replace(mended, record=place)
    handled = counter.handler.redrive(toy("a"))
    assert [h.disposition for h in handled] == [HANDLED, HANDLED]
    assert counter.words("a") == ("one", "two")
    assert queue(counter) == [("decide", 3), ("queued", 4)], "the reason is now the one at its head"
    assert counter.inbox_row("a").parked == 2
    assert counter.reads(tick(counter, "five", 5)) == [PARKED]


def test_a_redrive_in_vain_changes_nothing(counter: Counter) -> None:
    counter.reads(tick(counter, "boom", 1), tick(counter, "two", 2))
    before, dead = counter.parked("a"), counter.dead
    assert counter.handler.redrive(toy("a")) == []
    assert counter.parked("a") == before
    assert counter.inbox_row("a").parked == 2
    assert counter.dead == dead, "no second dead-letter record for the same failure"


def test_redrive_of_an_order_without_parked_records_does_nothing(counter: Counter) -> None:
    assert counter.handler.redrive(toy("never heard of")) == []


def test_outcomes_and_people_get_through_to_a_parked_order(counter: Counter) -> None:
    counter.reads(tick(counter, "call", 1), tick(counter, "boom", 2))
    row = claimed(counter)
    assert counter.hears(outcome(row, row.lease), call("a", "paid")) == [HANDLED, HANDLED]
    assert counter.words("a") == ("called", "outcome ok", "paid")


@pytest.mark.parametrize("label", ["toy/9", "other/1", "toy", "toy/1x", "toy/\u0661"])
def test_an_unknown_flow_version_is_parked(counter: Counter, label: str) -> None:
    fates = counter.reads(tick(counter, "x", 1, flow=label), tick(counter, "b", 1, "b"))
    assert fates == [PARKED, HANDLED]
    (row,) = counter.parked()
    assert row.key == saga_key(flow_name(label) or "toy", "a")
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
    assert row.key.startswith("/bad-key:")
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


@pytest.mark.parametrize("name", ["ce_correlationid", "traceparent", "ce_source", "x"])
def test_headers_handed_on_are_bounded(counter: Counter, name: str) -> None:
    # Given a good record with one very long header, within the limit of a record
    good = tick(counter, "one", None)
    long = replace(good, headers=(*good.headers, (name, ("ü" * 250_000).encode())))
    # When it is handled
    assert counter.reads(long) == [HANDLED]
    # Then nothing of that header is in the own event
    assert len(counter.published) == 1
    assert all(record_size(row.headers, row.value) < 2000 for row in counter.outbox)


def test_a_record_that_leaves_no_room_for_the_outcome_is_parked_before_the_call(
    counter: Counter,
) -> None:
    # Given events that ask for a call: one leaves room for its outcome, one does not
    most = MAX_EVENT_BYTES - ROOM_BYTES
    small = counter.wire.record(Ticked("a", "call".ljust(most - 100)), 1)
    large = counter.wire.record(Ticked("b", "call".ljust(most + 1)), 1)
    # When they are handled
    assert counter.reads(small, large) == [HANDLED, PARKED]
    # Then only the first is called for
    (row,) = counter.parked("b")
    assert (row.code, row.key) == ("oversized", toy("b"))
    assert "need room" in row.error
    assert claimed(counter).saga == toy("a")


def test_an_own_event_over_the_limit_parks_its_cause(counter: Counter) -> None:
    assert counter.reads(tick(counter, "huge", 1)) == [PARKED]
    (row,) = counter.parked("a")
    assert row.code == "decide"
    assert "EventTooLarge" in row.error
    assert counter.published == []


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("foreign", "ForeignEvent: counter decided a Ticked, which is an event of left"),
        ("stray", "ForeignEvent: counter decided a Counted for saga 'elsewhere' while it handles"),
        ("pair", "EffectKeyClash: the effect key 'call' of 'toy/a' is taken"),
        (
            "odd",
            "ValueError: the payload of effect 'call': no JSON for the database: Type is not",
        ),
    ],
)
def test_a_decision_that_the_kit_refuses_parks_its_cause(
    counter: Counter, word: str, reason: str
) -> None:
    assert counter.reads(tick(counter, word, 1), tick(counter, "b", 1, "b")) == [PARKED, HANDLED]
    (row,) = counter.parked("a")
    assert row.code == "decide"
    assert row.error.startswith(reason)
    assert counter.words("a") == ()
    assert counter.database.tables.effects == {}


def test_the_same_effect_twice_in_a_decision_or_while_it_is_pending_is_one(
    counter: Counter,
) -> None:
    fates = counter.reads(tick(counter, "again", 1), tick(counter, "call", 2))
    assert fates + counter.reads(tick(counter, "call", 3)) == [HANDLED] * 3
    assert [row.effect.key for row in counter.added] == ["call"]
    assert claimed(counter).id == counter.added[0].id


def test_a_message_that_is_no_record_raises_the_clash(counter: Counter) -> None:
    counter.reads(tick(counter, "call", 1))
    with pytest.raises(EffectKeyClash, match="'call' of 'toy/a' is taken"):
        counter.hears(call("a", "other"))


def test_an_effect_is_added_as_it_is_read_back(counter: Counter) -> None:
    """The process that decided it and one that takes it over see the same payload."""
    effect = Effect("call", "k", {"at": NOW, "parts": (1, 2), "nothing": math.nan})  # type: ignore[dict-item]
    payload: dict[str, Json] = {"at": "2026-01-02T03:04:05+00:00", "parts": [1, 2], "nothing": None}
    assert as_stored(effect) == Effect("call", "k", payload)


@pytest.mark.parametrize(
    "effect",
    [
        Effect("call", "", {}),
        Effect("", "k", {}),
        Effect("call", "k", {"text": "a\0b"}),
        Effect("call", "k", {"text": "\ud800"}),
        Effect("call", "k", {"number": 2**70}),
        Effect("call", "k", {"set": {1}}),  # type: ignore[dict-item]
    ],
)
def test_an_effect_that_cannot_be_stored_is_refused(effect: Effect) -> None:
    with pytest.raises(ValueError, match="effect"):
        as_stored(effect)


def test_a_backslash_before_zeros_is_no_nul() -> None:
    effect = Effect("call", "k", {"text": "\\u0000"})
    assert as_stored(effect) == effect


def test_an_evolve_without_an_answer_says_so() -> None:
    with pytest.raises(TypeError, match="evolve returned None for Ticked; return the state"):
        fold(lambda state, event: None, "state", (Ticked("a"),))  # type: ignore[arg-type, return-value]
