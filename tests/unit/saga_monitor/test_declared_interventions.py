"""Events for which the flow declares an intervention call a person, whatever state the saga has."""

from dataclasses import replace

import pytest

from saga_monitor.saga.deadlines import Emission, due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import SagaView, Status
from tests.histories import FLOW, SAGA, after, facts

CODE = "card_refused"
PLAN = Plan.of(replace(FLOW, interventions={"PaymentDeclined": CODE}), 1)
RUNNING = ("OrderPlaced", "InventoryReserved")
REFUSED = ("PaymentDeclined", {"reason": "the bank keeps the card"})
ENDED = (*RUNNING, *REFUSED, "InventoryReleased")


def view_of(saga: Saga) -> SagaView:
    return interpret(saga, PLAN)


def opened_by(saga: Saga, through_s: float = 60) -> list[Emission]:
    found = due_emissions(saga, view_of(saga), after(through_s))
    return [one for one in found if one.event.type == "InterventionOpened"]


def read_back(saga: Saga, emission: Emission, at_s: float) -> Saga:
    detail = {"code": emission.event.code, "reason": emission.event.reason}
    return fold(saga, Fact(str(emission.id), emission.event.type, after(at_s), detail=detail))


@pytest.mark.parametrize("story", [(*RUNNING, *REFUSED), ENDED])
def test_the_event_opens_its_intervention_at_once_also_after_the_end(story: tuple[str]) -> None:
    saga = fold(Saga(SAGA), *facts(*story))
    (emission,) = opened_by(saga)
    assert (emission.event.code, emission.event.reason) == (CODE, "the bank keeps the card")
    assert view_of(saga).due == min(f.at for f in saga.facts.values() if f.type == REFUSED[0])
    assert opened_by(saga, through_s=0) == [], "what else was said by then is not known yet"
    assert due_emissions(saga, view_of(saga), None) == ()


def test_it_is_opened_once_for_each_event_and_stays_open_after_the_end() -> None:
    saga = fold(Saga(SAGA), *facts(*ENDED))
    opened = read_back(saga, opened_by(saga)[0], 10)
    assert opened_by(opened) == []
    view = view_of(opened)
    assert (view.status, view.open_interventions) == (Status.CANCELLED, (CODE,))
    again = replace(facts(*ENDED, *REFUSED)[-1], at=after(20))
    assert len(opened_by(fold(opened, again))) == 1


def test_an_event_without_a_reason_is_named() -> None:
    (emission,) = opened_by(fold(Saga(SAGA), *facts(*RUNNING, "PaymentDeclined")))
    assert emission.event.reason == "payment reports PaymentDeclined"
