"""An evidence bundle says again what it said: of stories, and of every bundle in tests/evidence.

`saga evidence ORDER > tests/evidence/NAME.json` makes a test of an order: whatever is changed
later, its events must still mean the same.
"""

from pathlib import Path
from typing import Any

import orjson
import pytest

from saga_monitor.saga.evidence import bundle, replay, to_json
from sagakit.flow.model import with_deadlines
from schemas import FLOWS
from tests.histories import facts, saga_of, seen

KEPT = sorted((Path(__file__).parents[2] / "evidence").glob("*.json"))
LATE = (
    *("OrderPlaced", "InventoryReserved", 300, "CompensationRequested"),
    {"step": "payment", "attempt": 1},
    *("ShipmentCancelled", "PaymentRefunded", {"amount_minor": 0}, "InventoryReleased"),
    *("InterventionOpened", {"code": "manual", "actor": "ada", "reason": "strange"}),
    *(60, "PaymentCaptured", {"late": True}),
)


def exported(*story: Any, flow: str = "order/1") -> dict[str, Any]:
    saga = saga_of(*story, flow=flow)
    found, _ = FLOWS.find(flow)
    document = bundle(saga, seen(saga), found, {fact.id: (1, 17) for fact in facts(*story)})
    parsed: dict[str, Any] = orjson.loads(to_json(document))
    return parsed


@pytest.mark.parametrize("flow", ["order/1", "order/2"])
@pytest.mark.parametrize("length", range(1, len(LATE) + 1))
def test_a_bundle_folds_to_the_view_it_holds(flow: str, length: int) -> None:
    document = exported(*LATE[:length], flow=flow)
    assert document["view"]["flow"] == flow
    assert replay(document, FLOWS) == document["view"]


def test_a_bundle_is_replayed_with_the_deadlines_of_its_export() -> None:
    saga = saga_of("OrderPlaced", "InventoryReserved")
    flow, _ = FLOWS.find("order/1")
    document = orjson.loads(
        to_json(bundle(saga, seen(saga), with_deadlines(flow, {"payment": "7s"}), {}))
    )
    due = replay(document, FLOWS)["awaited"][0]["due"]
    assert due == "2026-01-02T03:00:07.001000+00:00"


def test_a_missing_event_is_seen() -> None:
    document = exported(*LATE)
    document["timeline"].pop()
    assert replay(document, FLOWS) != document["view"]


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="this version reads 1"):
        replay({"format": 2}, FLOWS)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_bundle_of_an_earlier_export_folds_to_the_view_it_holds(path: Path) -> None:
    document = orjson.loads(path.read_bytes())
    assert replay(document, FLOWS) == document["view"]


def test_there_are_bundles() -> None:
    assert KEPT
