"""The start event that the log has first says what a saga is; what contradicts it is set aside."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from saga_lab.simulation.rollout import without_newer_versions
from sagakit.flow.facts import differing_fact, facts_of
from sagakit.flow.routing import Router
from sagakit.handling.handler import Handler
from sagakit.messages.envelope import Record
from tests.toy_saga import (
    FLOWS,
    Asked,
    Counter,
    LeftDone,
    Started,
    Ticked,
    event_id,
    paused,
    resumed,
    toy,
)
from tests.unit.sagakit.handler_messages import HANDLED, PARKED, REPEAT, queue, tick

OLD_FLOWS = without_newer_versions(FLOWS, 1)


@pytest.fixture
def counter() -> Counter:
    """A counter that has read no start event."""
    return Counter(kind=Handler)


def start(counter: Counter, flow: str = "toy/2", **given: Any) -> Record:
    return counter.wire.record(Started("a"), 1, flow=flow, **given)


def done(counter: Counter, flow: str | None = "toy/2", seq: int | None = 1) -> Record:
    """The counter's turn in toy/2, and in no other version."""
    return counter.wire.record(LeftDone("a"), seq, flow=flow)


def with_headers(record: Record, **headers: bytes) -> Record:
    kept = tuple(h for h in record.headers if h[0] not in headers)
    return replace(record, headers=(*kept, *headers.items()))


# --- the label ------------------------------------------------------------------------------------


def test_an_event_with_another_label_is_set_aside_and_holds_up_nothing(counter: Counter) -> None:
    """Given a saga on toy/1; when an event says toy/2, on which it would be our turn; then nobody
    acts on it, a person sees it, and later events of its publisher pass."""
    forged = done(counter)
    assert counter.reads(start(counter, "toy/1"), forged) == [HANDLED, PARKED]
    assert counter.words("a") == ("do",), "toy/1 begins with the counter"
    ((code, _),) = queue(counter)
    assert (code, counter.inbox_row("a").parked, len(counter.dead)) == ("conflict", 0, 1)
    assert counter.reads(forged) == [REPEAT], "read again it is the same conflict"
    assert counter.reads(counter.wire.record(Ticked("a", "tick"), 2, flow="toy/1")) == [HANDLED]
    assert counter.words("a") == ("do", "tick")
    assert counter.handler.redrive(toy("a")) == []
    assert [code for code, _ in queue(counter)] == ["conflict"]


@pytest.mark.parametrize("label", ["toy/9", "toy/x", "", "pizza"])
def test_a_label_that_nobody_knows_does_not_block_a_saga(counter: Counter, label: str) -> None:
    counter.reads(start(counter))
    forged = with_headers(done(counter), flow=label.encode())
    counter.reads(forged)
    assert counter.reads(done(counter, seq=2)) in ([HANDLED], [PARKED])
    assert counter.inbox_row("a").flow == "toy/2"


def test_an_event_without_a_label_belongs_to_the_flow_of_the_start_event(counter: Counter) -> None:
    assert counter.reads(start(counter), done(counter, flow=None)) == [HANDLED, HANDLED]
    assert counter.words("a") == ("do",)


# --- before the start event -----------------------------------------------------------------------


def test_nothing_is_acted_on_before_the_start_event_was_read(counter: Counter) -> None:
    """Given the topics are read at different speeds; when our turn is read before the start event;
    then it waits, without a dead letter, and is decided once the start event was read."""
    assert counter.reads(done(counter)) == [PARKED]
    assert (queue(counter), counter.dead, counter.words("a")) == ([("unstarted", 1)], [], ())
    counter.reads(start(counter))
    assert (counter.words("a"), queue(counter)) == (("do",), [])
    assert counter.inbox_row("a").parked == 0


@pytest.mark.parametrize("begins_at", [1, 2])
def test_the_start_event_frees_what_was_read_out_of_order_before_it(
    counter: Counter, begins_at: int
) -> None:
    """Given the second event of a source is read before its first; when the start event is read
    behind both, or between them; then all are handled, and nothing waits for a person."""
    records = [tick(counter, "later", 2, flow="toy/1"), tick(counter, "early", 1, flow="toy/1")]
    records.insert(begins_at, start(counter, "toy/1"))
    for record in records:
        counter.reads(record)
    assert sorted(counter.words("a")) == ["do", "early", "later"]
    assert (queue(counter), counter.inbox_row("a").parked) == ([], 0)


def test_what_waits_for_the_start_event_contradicts_it(counter: Counter) -> None:
    """Given an event on toy/2 of an order that nobody has placed yet; when the order is placed on
    toy/1; then the counter acts on toy/1 alone."""
    counter.reads(done(counter), done(counter, seq=2))
    counter.reads(start(counter, "toy/1"))
    assert counter.words("a") == ("do",)
    assert [code for code, _ in queue(counter)] == ["conflict", "conflict"]
    assert counter.inbox_row("a").parked == 0


def test_all_are_handled_in_the_order_in_which_they_were_read(counter: Counter) -> None:
    counter.reads(tick(counter, "early", 1, flow="toy/1"), tick(counter, "later", 2, flow="toy/1"))
    counter.reads(start(counter, "toy/1"), tick(counter, "last", 3, flow="toy/1"))
    assert counter.words("a") == ("early", "later", "do", "last")
    assert queue(counter) == []


def test_the_start_event_read_again_after_a_crash_frees_the_queue(counter: Counter) -> None:
    begun = start(counter)
    counter.reads(done(counter))
    counter.handler.redrive = lambda key: []  # type: ignore[method-assign]
    counter.reads(begun)
    counter.handler = counter.with_faults(counter.faults)
    counter.reads(begun)
    assert (counter.words("a"), queue(counter)) == (("do",), [])


def test_it_frees_a_queue_with_a_gap_after_a_crash_as_well(counter: Counter) -> None:
    begun = start(counter, "toy/1")
    counter.reads(tick(counter, "later", 2, flow="toy/1"))
    counter.reads(tick(counter, "early", 1, flow="toy/1"))
    counter.handler.redrive = lambda key: []  # type: ignore[method-assign]
    counter.reads(begun)
    counter.handler = counter.with_faults(counter.faults)
    counter.reads(begun)
    assert sorted(counter.words("a")) == ["do", "early", "later"]
    assert queue(counter) == []


@pytest.mark.parametrize("early", [False, True], ids=["alone", "behind-an-early-event"])
def test_a_start_event_that_the_old_release_cannot_read_is_the_first_all_the_same(
    counter: Counter, early: bool
) -> None:
    """Given an old process and a start event on a version that it does not know; when the saga is
    started once more; then after the update the saga is what the first start event says, as it is
    for the participants that were updated before."""
    released, counter.handler.router = counter.handler.router, Router(OLD_FLOWS, "counter")
    if early:
        counter.reads(tick(counter, "early", 1, flow="toy/1"))
    again = counter.wire.record(Started("a", "other"), None, id_=uuid4(), flow="toy/1")
    counter.reads(start(counter, "toy/2"), again)
    counter.handler.redrive(toy("a"))
    assert counter.inbox_row("a").facts is None
    counter.handler.router = released
    counter.handler.redrive(toy("a"))
    assert (counter.inbox_row("a").flow, counter.inbox_row("a").parked) == ("toy/2", 0)
    assert "do" not in counter.words("a"), "toy/2 does not begin with the counter"


def test_a_start_event_that_waits_for_an_earlier_event_is_the_first(counter: Counter) -> None:
    """Given a start event whose topic's earlier event was not read yet; when the saga is started
    once more; then the first one counts."""
    waiting = counter.wire.record(Started("a"), 2, flow="toy/2")
    again = counter.wire.record(Started("a", "other"), None, id_=uuid4(), flow="toy/1")
    assert counter.reads(waiting, again) == [PARKED, PARKED]
    assert counter.inbox_row("a").flow == "toy/2"


def test_what_has_no_rule_only_counts(counter: Counter) -> None:
    elsewhere = counter.wire.record(LeftDone("a"), 1, flow="toy/1")
    assert counter.reads(elsewhere) == [HANDLED]
    assert counter.inbox_row("a").flow is None, "it labels nothing"


# --- the first in the log -------------------------------------------------------------------------


def test_a_later_start_event_changes_nothing(counter: Counter) -> None:
    """Given a saga; when its id is started once more, on another flow and under another id; then
    nobody acts on that, and nothing is parked: its owner answers it."""
    counter.reads(start(counter, "toy/2"))
    again = counter.wire.record(Started("a", "other"), None, flow="toy/1")
    assert counter.reads(again) == [HANDLED]
    assert (counter.words("a"), queue(counter)) == ((), [])
    assert counter.inbox_row("a").flow == "toy/2"


def test_a_paused_start_event_is_the_one_when_it_is_released(counter: Counter) -> None:
    pause = counter.wire.record(paused("a"), None, flow="toy/1")
    counter.reads(pause, start(counter, "toy/1"))
    counter.reads(counter.wire.record(resumed("a"), None, flow="toy/1"))
    assert counter.words("a") == ("do",)


# --- sources, sequences, ids ----------------------------------------------------------------------


def test_a_sequence_is_believed_from_the_owner_of_the_topic_only(counter: Counter) -> None:
    """Given harmless events on an allowed topic that claim to be of another source; when the true
    ones come; then none of them is taken for a repeat."""
    counter.reads(start(counter))
    forged = [
        with_headers(
            counter.wire.record(Asked("a"), None, id_=uuid4(), flow="toy/2"),
            ce_source=b"left",
            ce_sequence=str(n).encode(),
        )
        for n in (1, 2, 3)
    ]
    assert counter.reads(*forged) == [HANDLED] * 3
    assert counter.reads(done(counter)) == [HANDLED]
    assert counter.words("a") == ("do",)


def test_an_id_is_used_up_on_its_own_topic_only(counter: Counter) -> None:
    """Given an event under the id that another owner's event will have; when that one comes; then
    it is handled."""
    taken = event_id("somebody", "a", 1)
    counter.reads(start(counter), counter.wire.record(Asked("a"), None, id_=taken, flow="toy/2"))
    genuine = counter.wire.record(LeftDone("a"), None, id_=taken, flow="toy/2")
    assert counter.reads(genuine, genuine) == [HANDLED, REPEAT]
    assert counter.words("a") == ("do",)


def test_an_id_that_another_type_of_its_topic_had_is_a_conflict(counter: Counter) -> None:
    same = event_id("left", "a", 1)
    counter.reads(start(counter), counter.wire.record(Ticked("a", "x"), None, id_=same))
    assert counter.reads(counter.wire.record(LeftDone("a"), None, id_=same)) == [PARKED]
    assert [code for code, _ in queue(counter)] == ["conflict"]


def test_ids_of_one_topic_push_out_no_id_of_another(counter: Counter) -> None:
    genuine = counter.wire.record(Ticked("a", "once"), None, flow="toy/2")
    counter.reads(start(counter), genuine)
    flood = [counter.wire.record(Asked("a"), None, id_=uuid4(), flow="toy/2") for _ in range(300)]
    counter.reads(*flood)
    assert counter.reads(genuine) == [REPEAT]
    assert len(counter.inbox_row("a").ids) < 200, "bounded"


# --- facts ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    sku: str
    note: str | None = None


@dataclass(frozen=True)
class Facts:
    amount: int
    lines: tuple[Line, ...] = ()
    score: float = 0.0


@dataclass(frozen=True)
class Begun:
    order: Facts
    id: str = "a"


@dataclass(frozen=True)
class Carries:
    order: Facts | None = None


FACTS = Facts(100, (Line("tea"),))


@pytest.mark.parametrize(
    ("carried", "differs"),
    [
        (FACTS, None),
        (None, None),
        (Facts(100, (Line("tea", None),), 0.0), None),
        (replace(FACTS, amount=101), "order"),
        (replace(FACTS, lines=(Line("tea"), Line("tea"))), "order"),
        (replace(FACTS, lines=(Line("tea", "x"),)), "order"),
        (replace(FACTS, score=0.1), "order"),
    ],
)
def test_a_fact_is_compared_with_that_of_the_start_event(
    carried: Facts | None, differs: str | None
) -> None:
    known = f"{UUID(int=1)} {facts_of(Begun(FACTS))}"
    assert differing_fact(Carries(carried), known) == differs


def test_a_field_that_is_added_with_a_default_changes_no_digest() -> None:
    @dataclass(frozen=True)
    class Older:
        amount: int
        lines: tuple[Line, ...] = ()

    assert facts_of(Begun(FACTS)) == facts_of(Begun(Older(100, (Line("tea"),))))  # type: ignore[arg-type]


def test_an_event_has_no_facts_if_its_records_are_none() -> None:
    assert facts_of(Started("a")) == ""
    assert differing_fact(Carries(FACTS), str(UUID(int=1))) is None
