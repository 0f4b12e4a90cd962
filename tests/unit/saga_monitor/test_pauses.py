"""Pauses of an order: which there are, what time they add, what people say to begin and end one."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from saga_monitor.saga.commands import CommandRefused, PauseCommand, pause_saga, resume_saga
from saga_monitor.saga.deadlines import Emission, due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.pauses import Pause, due_after, pauses
from saga_monitor.saga.view import Status
from tests.histories import SAGA, after, saga_of, seen

RESERVED = ("OrderPlaced", "InventoryReserved")
DUE_S = 300.001
ADA = {"actor": "ada", "reason": "a question"}
BOB = {"actor": "bob", "reason": "answered"}
NEVER = after(10**7)


def pause(since: float, until: float | None) -> Pause:
    ended = None if until is None else after(until)
    return Pause("p", after(since), "ada", "a question", ended)


@pytest.mark.parametrize(
    ("known", "due_s"),
    [
        ([], 100.0),
        ([pause(10, 30)], 120.0),
        ([pause(10, 30), pause(50, 51)], 121.0),
        ([pause(10, 30), pause(110, 120)], 130.0),
        ([pause(-50, -20)], 100.0),
        ([pause(-50, 20)], 120.0),
        ([pause(100, 200)], 100.0),
        ([pause(10, 20), pause(30, None)], None),
    ],
)
def test_time_in_a_pause_does_not_count(known: list[Pause], due_s: float | None) -> None:
    assert due_after(after(0), 100, known) == (None if due_s is None else after(due_s))


def test_a_paused_order_is_not_undone_however_long_it_lasts() -> None:
    paused = saga_of(*RESERVED, 100, "SagaPaused", ADA)
    assert seen(paused).status == Status.PAUSED
    assert due_emissions(paused, seen(paused), NEVER) == ()
    resumed = saga_of(*RESERVED, 100, "SagaPaused", ADA, 5000, "SagaResumed", BOB)
    assert seen(resumed).status == Status.RUNNING
    (item,) = seen(resumed).awaited
    assert item.due == after(DUE_S + 5000.001)


def test_an_undo_does_not_wait_for_the_resume() -> None:
    story = (*RESERVED, "PaymentCaptured", "SagaPaused", ADA, "OrderCancelRequested")
    view = seen(saga_of(*story))
    assert (view.status, view.paused) == (Status.UNDOING, None)
    assert view.next is not None
    assert view.next.due is not None


def test_a_resume_without_a_pause_and_a_second_pause_change_nothing() -> None:
    view = seen(saga_of(*RESERVED, "SagaResumed", BOB, "SagaPaused", ADA, 9, "SagaPaused", BOB))
    assert view.paused is not None
    assert (view.paused.actor, view.paused.since) == ("ada", after(0.003))


def test_pauses_within_one_millisecond_are_ordered_by_their_causes() -> None:
    first = Fact("z", "SagaPaused", after(0), detail=ADA)
    end = Fact("y", "SagaResumed", after(0), causation="z")
    again = Fact("a", "SagaPaused", after(0), causation="y", detail=BOB)
    for several in permutations((first, again)):
        found = pauses(several, [end])
        assert [(p.id, p.until is None) for p in found] == [("z", False), ("a", True)]


# --- what people say ------------------------------------------------------------------------------


def body(who: dict[str, str]) -> PauseCommand:
    return PauseCommand(saga=SAGA, **who)


def with_event(saga: Saga, emission: Emission) -> Saga:
    words: dict[str, Any] = emission.event.to_dict()
    at = max(f.at for f in saga.facts.values()) + timedelta(milliseconds=1)
    fact = Fact(str(emission.id), emission.event.type, at, causation=str(emission.cause))
    return fold(saga, Fact(fact.id, fact.type, at, causation=fact.causation, detail=words))


def test_paused_and_resumed_and_paused_again_each_commanded_twice() -> None:
    saga = saga_of(*RESERVED)
    for decide, who, status in (
        (pause_saga, ADA, Status.PAUSED),
        (resume_saga, BOB, Status.RUNNING),
        (pause_saga, BOB, Status.PAUSED),
    ):
        emission = decide(body(who), saga, seen(saga))
        assert not emission.is_in(saga)
        saga = with_event(saga, emission)
        assert decide(body(who), saga, seen(saga)).id == emission.id
        assert seen(saga).status == status


def test_an_undone_order_that_was_paused_can_be_resumed_once() -> None:
    """Given an order that was paused and then failed; when somebody resumes it, since a participant
    still holds something of it; then that is said, once."""
    saga = saga_of(*RESERVED, "SagaPaused", ADA, "PaymentDeclined", "InventoryReleased")
    assert seen(saga).status == Status.CANCELLED
    emission = resume_saga(body(BOB), saga, seen(saga))
    saga = with_event(saga, emission)
    assert resume_saga(body(BOB), saga, seen(saga)).id == emission.id
    with pytest.raises(
        CommandRefused, match="is not paused, it is cancelled; bob gave the command resume"
    ):
        resume_saga(body(ADA), saga, seen(saga))


def test_two_simultaneous_pauses_are_one_event() -> None:
    saga = saga_of(*RESERVED)
    ids = {pause_saga(body(who), saga, seen(saga)).id for who in (ADA, BOB)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("decide", "story", "words"),
    [
        (pause_saga, (*RESERVED, "SagaPaused", ADA), "was paused at 2026-01-02T03:00:00Z"),
        (pause_saga, (*RESERVED, "SagaPaused", ADA), "by ada: a question"),
        (
            pause_saga,
            (*RESERVED, "PaymentDeclined"),
            "is being undone, so there is nothing to pause",
        ),
        (pause_saga, ("OrderPlaced", "InventoryRejected"), "is cancelled since"),
        (resume_saga, RESERVED, "is not paused, it is running"),
        (
            resume_saga,
            (*RESERVED, "SagaPaused", ADA, "SagaResumed", ADA),
            "not paused, it is running; ada gave the command resume at 2026-01-02T03:00:00Z",
        ),
    ],
)
def test_a_late_command_is_refused_with_what_has_happened(
    decide: Any, story: Any, words: str
) -> None:
    saga = saga_of(*story)
    with pytest.raises(CommandRefused) as refused:
        decide(body(BOB), saga, seen(saga))
    assert refused.value.status == 409
    assert words in refused.value.detail
