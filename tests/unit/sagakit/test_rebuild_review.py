"""What a rebuilt participant decides again, and what it leaves out."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import pytest

from sagakit.flow.facts import digest
from sagakit.flow.routing import Router
from sagakit.handling.handler import Handler
from sagakit.messages.envelope import LOGGED_AT, Record, derive_id
from sagakit.recovery.answered import OwnEvent, StepEnds, step_ends
from sagakit.recovery.lost import NO_START, LostSagas, logged_ms
from sagakit.recovery.own_topic import BEGAN_BEFORE, MISSING, OwnTopic
from sagakit.recovery.plan import RebuildPlan
from sagakit.recovery.review import ASKED_BEFORE, Review
from tests.toy_saga import (
    FLOWS,
    Count,
    Counted,
    Counter,
    Started,
    event_id,
    handler_on,
    toy,
    words_of,
)
from tests.unit.sagakit.handler_messages import HANDLED, REPEAT, tick

LOGGED_MS = 1_767_323_045_000
"""Log time of the records that a toy's wire makes."""

NO_STEP = StepEnds(frozenset(), frozenset())


@dataclass
class Log:
    """The own events in the log, by saga; what is not recovered."""

    own: dict[str, list[OwnEvent]] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)

    def events_of(self, sagas: Sequence[str]) -> Mapping[str, Sequence[OwnEvent]]:
        return {saga: self.own.get(saga, []) for saga in sagas}

    def lost_among(self, sagas: Sequence[str]) -> Set[str]:
        return self.lost.keys() & set(sagas)

    def note_lost(self, lost: Mapping[str, str]) -> None:
        self.lost = {**lost, **self.lost}


def counted(cause: int, *, after_ms: int = 5) -> OwnEvent:
    """A `Counted` of saga a that the n-th event of `left` caused."""
    return OwnEvent("Counted", event_id("left", "a", cause), LOGGED_MS + after_ms)


def rebuilding(log: Log, step: StepEnds = NO_STEP, since_ms: int = 0) -> Counter:
    """A counter that reads what it consumed again, its inbox empty."""
    counter = Counter()
    review = Review(log, step, {0: since_ms})
    counter.handler = handler_on(counter.database, counter.store, review=review)
    return counter


def calls(counter: Counter) -> list[str]:
    """The idempotency keys of the effects that are asked for."""
    return [p.row.effect.idempotency_key for p in counter.database.tables.effects.values()]


def test_what_an_own_event_answers_is_not_said_again() -> None:
    counter = rebuilding(Log({toy("a"): [counted(1)]}))
    assert counter.reads(tick(counter, "one", 1)) == [HANDLED]
    assert (counter.published, counter.words("a")) == ([], ())


def test_what_was_lost_in_flight_is_decided_again_under_the_same_id_and_key() -> None:
    counter = rebuilding(Log({toy("a"): [counted(1)]}))
    counter.reads(tick(counter, "one", 1), tick(counter, "call", 2))
    (event,) = counter.published
    assert event.id == derive_id(event_id("left", "a", 2), "Counted", 0)
    assert calls(counter) == ["toy/a:call"]


def test_of_two_events_of_one_cause_the_second_alone_may_be_lost() -> None:
    counter = rebuilding(Log({toy("a"): [counted(1)]}))
    counter.reads(tick(counter, "twice", 1))
    assert words_of([e.event for e in counter.published]) == ["two"]


def test_a_call_in_flight_is_asked_again_although_an_event_tells_of_it() -> None:
    counter = rebuilding(Log({toy("a"): [counted(1)]}))
    counter.reads(tick(counter, "call", 1))
    assert (counter.published, calls(counter)) == ([], ["toy/a:call"])


@pytest.mark.parametrize(("after_ms", "expected"), [(5, []), (0, []), (-1, ["again"])])
def test_the_end_of_a_step_answers_whoever_asked_before_it(
    after_ms: int, expected: list[str]
) -> None:
    """An undo that is asked for twice is answered once."""
    log = Log({toy("a"): [counted(7, after_ms=after_ms)]})
    counter = rebuilding(log, step=StepEnds({"Counted"}, set()))
    counter.reads(tick(counter, "again", 1))
    assert len(counter.published) == len(expected)


@pytest.mark.parametrize("end", ["ended by it", "undone later"])
def test_no_other_event_answers_a_question_that_is_over(end: str) -> None:
    """The parcel that could not be called back was picked up after its label was cancelled."""
    cause = event_id("left", "a", 1 if end == "ended by it" else 9)
    log = Log({toy("a"): [OwnEvent("Gone", cause, LOGGED_MS + 1)]})
    undone = {"Gone"} if end == "undone later" else set[str]()
    counter = rebuilding(log, step=StepEnds({"Gone"}, undone))
    counter.reads(tick(counter, "one", 1))
    assert counter.published == []


@pytest.mark.parametrize(("word", "expected"), [("one", 0), ("two", 1)])
def test_what_was_said_after_the_question_is_not_said_again(word: str, expected: int) -> None:
    later = OwnEvent("Counted", None, LOGGED_MS + 1, digest(Counted("a", "one")))
    counter = rebuilding(Log({toy("a"): [later]}))
    counter.reads(tick(counter, word, 1))
    assert len(counter.published) == expected


# --- the own topic --------------------------------------------------------------------------------


def own_topic() -> tuple[Counter, OwnTopic[Count]]:
    counter = Counter(kind=Handler)
    router = Router(FLOWS, "counter")
    return counter, OwnTopic(counter.handler.participant, router, counter.wire.codec)


def test_an_event_that_comes_before_its_predecessor_waits_for_it() -> None:
    """The broker had refused the first one, and a person sent it later."""
    counter, own = own_topic()
    one, two, three = (counter.wire.record(Counted("a", w), n) for n, w in enumerate("xyz", 1))
    for record, folded in ((two, 0), (one, 2), (two, 0), (three, 1)):
        with counter.database.transaction() as tx:
            assert len(own.fold(tx, [record], set()).events) == folded
    assert counter.words("a") == ("x", "y", "z")
    assert (counter.inbox_row("a").sent, counter.parked()) == (3, [])


def test_what_waits_for_an_event_that_the_log_lacks_is_folded_and_named() -> None:
    counter, own = own_topic()
    records = [counter.wire.record(Counted("a", str(n)), n) for n in (1, 3, 4)]
    with counter.database.transaction() as tx:
        own.fold(tx, records, set())
    with counter.database.transaction() as tx:
        assert own.give_up(tx, toy("a")).lost == {toy("a"): MISSING}
    assert counter.words("a") == ("1", "3", "4")
    assert (counter.inbox_row("a").sent, counter.parked()) == (4, [])


def test_a_saga_that_began_before_the_log_keeps_its_numbers_and_is_named() -> None:
    counter, own = own_topic()
    with counter.database.transaction() as tx:
        folded = own.fold(tx, [counter.wire.record(Counted("a", "x"), 7)], {0})
    assert (folded.lost, counter.inbox_row("a").sent) == ({toy("a"): BEGAN_BEFORE}, 7)


# --- the review -----------------------------------------------------------------------------------


def test_what_was_asked_before_the_own_topic_begins_is_not_asked_again() -> None:
    log = Log()
    counter = rebuilding(log, since_ms=LOGGED_MS + 1)
    record = tick(counter, "call", 1)
    assert counter.reads(record, record) == [HANDLED, REPEAT]
    assert (counter.published, calls(counter)) == ([], [])
    assert log.lost == {toy("a"): ASKED_BEFORE}


def test_a_question_without_an_answer_loses_nothing_where_the_own_topic_is_cut() -> None:
    log = Log({toy("a"): [counted(1)]})
    counter = rebuilding(log, since_ms=LOGGED_MS + 1)
    counter.reads(tick(counter, "one", 1))
    assert log.lost == {}


def test_nothing_is_decided_for_a_saga_that_is_not_recovered() -> None:
    counter = rebuilding(Log(lost={toy("a"): "why"}))
    counter.reads(tick(counter, "call", 1), tick(counter, "one", 1, "b"))
    assert [e.key for e in counter.published] == [toy("b")]
    assert calls(counter) == []


def test_the_ends_of_a_step_are_those_of_every_flow() -> None:
    assert step_ends(FLOWS, "counter") == StepEnds({"Counted"}, set())
    assert step_ends(FLOWS, "left") == StepEnds({"LeftDone", "LeftUndone"}, {"LeftUndone"})


# --- sagas without their start event --------------------------------------------------------------


def behind_a_cut(log: Log, *cut: tuple[str, int]) -> Counter:
    """A counter in front of whose handler stands what passes over lost sagas."""
    counter = Counter(kind=Handler)
    plan = RebuildPlan({}, {}, {}, cut)
    passing = LostSagas(counter.handler, counter.database, FLOWS, plan, log.note_lost)
    counter.handler = passing  # type: ignore[assignment]
    return counter


def test_a_saga_without_its_start_event_counts_as_handled_and_is_not_decided() -> None:
    log = Log()
    counter = behind_a_cut(log, ("front.events", 0))
    counter.reads(tick(counter, "one", 3), tick(counter, "two", 4))
    assert counter.inbox_row("a").seen["left"] == [4, str(event_id("left", "a", 4))]
    assert (counter.published, counter.parked()) == ([], [])
    assert log.lost == {toy("a"): NO_START}


def test_a_repeat_does_not_lower_what_is_handled() -> None:
    counter = behind_a_cut(Log(), ("front.events", 0))
    counter.reads(tick(counter, "four", 4))
    counter.reads(tick(counter, "three", 3))
    assert counter.inbox_row("a").seen["left"][0] == 4


def test_a_saga_whose_start_the_log_holds_is_decided_behind_a_cut() -> None:
    log = Log()
    counter = behind_a_cut(log, ("front.events", 0))
    start = counter.wire.record(Started("a"), 1, flow="toy/1")
    counter.reads(start, tick(counter, "one", 1))
    counter.reads(tick(counter, "two", 2))
    assert words_of([e.event for e in counter.published]) == ["do", "one", "two"]
    assert log.lost == {}


def test_where_the_starts_are_whole_a_saga_waits_for_its_start() -> None:
    log = Log()
    counter = behind_a_cut(log, ("front.events", 1), ("left.events", 0))
    counter.reads(tick(counter, "one", 1))
    assert (len(counter.parked()), log.lost) == (1, {})


@pytest.mark.parametrize(("header", "at_ms"), [(b"17", 17), (b"x", 20), (b"9" * 30, 20)])
def test_log_time_is_that_of_the_first_publication(header: bytes, at_ms: int) -> None:
    assert logged_ms(Record("t", 0, 1, 20, None, None, ((LOGGED_AT, header),))) == at_ms
