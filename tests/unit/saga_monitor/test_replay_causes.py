"""The event that made a difference between two projections of a saga."""

from typing import Any, cast

from sqlalchemy import Engine

from saga_monitor.ingest.projection import Projection
from saga_monitor.replay.causes import RowKey, cause
from saga_monitor.saga.facts import Saga, fold
from saga_monitor.storage.store import WriteBatch
from sagakit.messages.codec import Codec
from schemas import CONTRACT, FLOWS
from tests.histories import SAGA, facts

PROJECTION = Projection(cast(Engine, None), Codec(CONTRACT), FLOWS)
STORY = facts("OrderPlaced", 10, "InventoryReserved", 20, "PaymentCaptured", 5, "ShipmentCreated")
WHOLE = fold(Saga(SAGA), *STORY)
ROW = RowKey("saga", SAGA, {})


def rows_of(saga: Saga) -> WriteBatch:
    return PROJECTION.rows(saga, 0)


def found(key: RowKey, field: str, one: Saga, other: Saga) -> str | None:
    fact = cause(key, field, one, other, rows_of)
    return fact.type if fact else None


def without(*types: str) -> Saga:
    return fold(Saga(SAGA), *(fact for fact in STORY if fact.type not in types))


def test_an_event_that_one_side_has_not_read_made_every_difference() -> None:
    behind = without("PaymentCaptured", "ShipmentCreated")
    for field in ("awaited", "updated_at", "facts"):
        assert found(ROW, field, WHOLE, behind) == "PaymentCaptured"
        assert found(ROW, field, behind, WHOLE) == "PaymentCaptured"


def test_a_saga_that_one_side_does_not_have_differs_from_its_first_event_on() -> None:
    assert found(ROW, "(row)", WHOLE, Saga(SAGA)) == "OrderPlaced"


def test_a_row_changed_by_hand_is_found_with_the_event_that_gives_the_value() -> None:
    expected = {
        "started_at": "OrderPlaced",
        "updated_at": "ShipmentCreated",
        "version": "OrderPlaced",
    }
    for field, event in expected.items():
        assert found(ROW, field, WHOLE, WHOLE) == event


def test_a_balance_is_made_by_the_event_that_moved_it() -> None:
    moved = rows_of(WHOLE).balances[SAGA]
    (kind,) = {row.kind for row in moved if row.name == "money"}
    key = RowKey("balance", SAGA, {"name": "money", "kind": kind})
    assert found(key, "added", WHOLE, WHOLE) == "PaymentCaptured"


def test_an_event_of_the_timeline_is_its_own_cause() -> None:
    key = RowKey("timeline", SAGA, {"event_id": STORY[1].id, "type": STORY[1].type})
    assert found(key, "offset", WHOLE, WHOLE) == "InventoryReserved"


def test_a_field_that_no_event_gives_a_value_has_no_cause() -> None:
    assert found(ROW, "ended_at", WHOLE, WHOLE) is None


def test_the_rows_of_a_saga_are_those_that_the_projection_writes() -> None:
    rows: Any = rows_of(WHOLE)
    (saga,) = rows.sagas
    assert (saga.flow, saga.version, saga.partition) == ("order", 1, 0)
    assert saga.facts.keys() == WHOLE.facts.keys()
