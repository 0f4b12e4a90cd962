"""An event with another label than the start event moves nothing, and makes a case."""

from dataclasses import replace

from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import STARTS, Fact, Saga, fold
from saga_monitor.saga.view import CONFLICT, Status
from tests.histories import SAGA, after, facts, seen

PLACED, RESERVED = facts("OrderPlaced", "InventoryReserved")
PLACED = replace(PLACED, detail={STARTS: 7})
FORGED = replace(RESERVED, type="InventoryRejected", id="forged", flow="order/2", at=after(9))


def saga(*given: Fact) -> Saga:
    return fold(Saga(SAGA), *given)


def test_an_event_with_another_label_is_a_case_once() -> None:
    """Given an order on order/1; when a rejection says order/2; then the order is not undone, and
    one case names the event."""
    forged = replace(FORGED, id="00000000-0000-0000-0000-000000000001")
    found = saga(PLACED, RESERVED, forged)
    assert (found.flow, seen(found).status) == ("order/1", Status.RUNNING)
    assert [f.id for f in seen(found).conflicts] == [forged.id]
    assert seen(found).due == after(9)
    (case,) = due_emissions(found, seen(found), after(10))
    assert (case.event.code, "InventoryRejected" in case.event.reason) == (CONFLICT, True)
    opened = replace(
        forged,
        id=str(case.id),
        type="InterventionOpened",
        flow="order/1",
        detail={"code": CONFLICT},
    )
    again = fold(found, opened)
    assert seen(again).conflicts == ()
    assert seen(again).open_interventions == (CONFLICT,)


def test_the_start_event_labels_a_saga_and_not_the_earliest_event() -> None:
    early = replace(FORGED, at=after(-1))
    assert saga(early).flow == "order/2", "until the start event is read"
    assert saga(early, PLACED).flow == "order/1"


def test_the_start_event_that_the_log_has_first_labels_it() -> None:
    """Within one millisecond the offset decides, as for the participants."""
    later = replace(PLACED, id="0", flow="order/2", detail={STARTS: 8})
    found = saga(later, PLACED)
    assert found.flow == "order/1"
    assert seen(found).conflicts == (), "a start event that comes later is no case"
