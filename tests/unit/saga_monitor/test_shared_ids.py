"""An event under the id of another one hides it neither from the monitor nor from a person."""

from dataclasses import replace
from itertools import permutations
from uuid import UUID

import pytest

from saga_monitor.saga.commands import CancelCommand, VerdictCommand, cancel_saga, give_verdict
from saga_monitor.saga.deadlines import Emission, due_emissions
from saga_monitor.saga.facts import STARTS, Fact, Saga, emission_id, fold
from saga_monitor.saga.view import CONFLICT, DEADLINE, VERDICT, Status
from tests.histories import SAGA, after, facts, saga_of, seen

ADA = {"actor": "ada", "reason": "customer rang"}
PLACED, RESERVED = facts("OrderPlaced", "InventoryReserved")
PLACED = replace(PLACED, detail={STARTS: 0})
CANCEL = emission_id(SAGA, "operator", "")


def foreign(id_: UUID, type_: str = "OrderRejected", at: float = 5) -> Fact:
    """An event that an outside publisher put on its own topic under an id of somebody else."""
    return Fact(str(id_), type_, after(at), "somebody", flow="order/1", detail={"order_id": "o-1"})


def read_back(emission: Emission, at: float) -> Fact:
    detail = {name: v for name, v in emission.event.to_dict().items() if v is not None}
    type_ = emission.event.type
    return Fact(str(emission.id), type_, after(at), "saga_monitor", flow="order/1", detail=detail)


def cancelled(saga: Saga) -> Emission:
    return cancel_saga(CancelCommand(saga=SAGA, **ADA), saga, seen(saga))


def conflicts_of(saga: Saga) -> list[str]:
    due = due_emissions(saga, seen(saga), after(3000))
    return [e.event.reason for e in due if getattr(e.event, "code", "") == CONFLICT]


def test_a_cancellation_is_given_although_its_id_was_used_by_somebody_else() -> None:
    # Given an event of the topic of orders under the id of the operator's request
    saga = fold(Saga(SAGA), PLACED, RESERVED, foreign(CANCEL))
    # When the operator cancels
    request = cancelled(saga)
    # Then the request is no repeat, and counts once it was read back
    assert not request.is_in(saga)
    after_it = fold(saga, read_back(request, 10))
    assert request.is_in(after_it)
    assert seen(after_it).status == Status.UNDOING
    # And the other event is a case
    (reason,) = conflicts_of(after_it)
    assert reason.startswith("OrderRejected at ")
    assert f"has the id {CANCEL} of CompensationRequested" in reason


def test_a_deadline_is_judged_although_its_id_was_used_by_somebody_else() -> None:
    # Given an event under the id of the request that follows a passed deadline
    id_ = emission_id(SAGA, DEADLINE, "payment", 1)
    saga = fold(Saga(SAGA), PLACED, RESERVED, foreign(id_))
    # When the deadline passes
    due = due_emissions(saga, seen(saga), after(10**6))
    # Then the request is emitted, and emitted as the first
    (request,) = [e for e in due if e.event.type == "CompensationRequested"]
    assert (request.id, request.event.attempt) == (id_, 1)
    # And it counts once it was read back
    later = fold(saga, read_back(request, 1000))
    assert seen(later).status == Status.UNDOING
    again = due_emissions(later, seen(later), after(10**6))
    assert request.id not in {emission.id for emission in again}


def test_the_same_is_made_of_it_in_whatever_order_the_events_are_read() -> None:
    whole = fold(Saga(SAGA), PLACED, RESERVED, foreign(CANCEL))
    request = read_back(cancelled(whole), 10)
    every = (PLACED, RESERVED, foreign(CANCEL), request)
    for order in permutations(every):
        saga = fold(Saga(SAGA), *order)
        assert saga.timeline() == list(every)
        assert [f.type for f in seen(saga).conflicts] == ["OrderRejected"]


def test_an_event_of_another_topic_counts_under_an_id_that_is_known() -> None:
    """Participants know ids per topic: whoever places an order under the id of a request to undo
    it has placed it."""
    placed = replace(PLACED, id=str(CANCEL), seq=None, source="somebody")
    saga = fold(Saga(SAGA), placed, RESERVED)
    assert seen(saga).status == Status.RUNNING
    undoing = fold(saga, read_back(cancelled(saga), 10))
    assert (seen(undoing).status, seen(undoing).started_at) == (Status.UNDOING, placed.at)
    assert len(conflicts_of(undoing)) == 1


@pytest.mark.parametrize("at", [-1, 5])
def test_of_two_events_of_one_topic_only_one_counts(at: float) -> None:
    # Given a start event of an outside publisher
    placed = replace(PLACED, seq=None, source="shop")
    # When a request to cancel has its id, whether it is read before or after it
    forged = foreign(UUID(PLACED.id), "OrderCancelRequested", at)
    saga = fold(Saga(SAGA), placed, RESERVED, forged)
    # Then it undoes nothing, as participants set it aside, and it is a case
    assert seen(saga).status == Status.RUNNING
    assert [reason.split()[0] for reason in conflicts_of(saga)] == ["OrderCancelRequested"]


def test_a_case_is_opened_once() -> None:
    saga = fold(Saga(SAGA), PLACED, RESERVED, foreign(UUID(RESERVED.id)))
    (opened,) = (e for e in due_emissions(saga, seen(saga), after(8)) if e.event.code == CONFLICT)
    again = fold(saga, read_back(opened, 9))
    assert seen(again).conflicts == ()
    assert seen(again).open_interventions == (CONFLICT,)


def test_a_verdict_under_a_chosen_id_takes_no_id_of_another_event() -> None:
    # Given an order that waits for a verdict
    saga = saga_of("OrderPlaced", "InventoryReserved", "PaymentReviewRequired")
    words: dict[str, str] = {"saga": SAGA, "step": "payment", **ADA}
    # When a person gives one under the id that the operator's request will have
    body = VerdictCommand(verdict="approve", id=CANCEL, **words)
    given = give_verdict(body, saga, seen(saga))
    # Then the verdict has an id of its own, which is the same when it is given again
    assert given.id not in (CANCEL, emission_id(SAGA, VERDICT, ""))
    judged = fold(saga, read_back(given, 10))
    assert give_verdict(body, judged, seen(judged)).id == given.id
    assert give_verdict(body, judged, seen(judged)).is_in(judged)
    # And an id of another event of the saga is not taken for a verdict that was given
    other = body.model_copy(update={"id": UUID(next(iter(saga.facts.values())).id)})
    assert not give_verdict(other, saga, seen(saga)).is_in(saga)
