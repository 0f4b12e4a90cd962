"""The monitor and two flows whose sagas have equal ids."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from saga_monitor.ingest.projection import Projection
from saga_monitor.saga.interventions import InterventionStatus
from saga_monitor.storage import lineage, queries, store
from saga_monitor.storage.tables import metadata
from sagakit.contract.platform import InterventionOpened
from sagakit.flow.loader import load
from sagakit.flow.model import Flows
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.store.postgres import engine_for
from sagakit.store.schema import KIT
from tests.toy_saga import (
    CONTRACT,
    FLOW,
    FLOWS,
    OWNERS,
    Asked,
    Counted,
    Started,
    Ticked,
    Wire,
    paused,
)

(TOY,) = FLOWS
OTHER = load(FLOW.replace('"toy"', '"other"').replace('"Started"', '"RightUndone"'), OWNERS)
BOTH = Flows(TOY, OTHER)
CODEC = Codec(replace(CONTRACT, declared=(TOY, OTHER), packages={"toys": ["toy", "other"]}))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_for(database_url)
    KIT.create_all(made)
    metadata.create_all(made)
    yield made
    made.dispose()


class Reading:
    """The projection, and the records that it is given."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.wire = engine, Wire(CODEC)
        self.projection = Projection(engine, CODEC, BOTH)

    def reads(self, event: Any, flow: str | None = None, **headers: bytes) -> Record:
        record = self.wire.record(event, flow=flow)
        kept = tuple(h for h in record.headers if h[0] not in headers)
        record = replace(record, headers=(*kept, *headers.items()))
        self.projection.apply([record])
        return record

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture
def monitor(engine: Engine) -> Reading:
    return Reading(engine)


def test_two_flows_with_equal_ids_are_two_sagas(monitor: Reading) -> None:
    """Given one id in two flows; when only one ends and only the other has an intervention; then
    each is listed, counted and found by its own events."""
    monitor.reads(Started("a"))
    monitor.reads(Ticked("a"), "other/1")
    monitor.reads(Counted("a"), "toy/1")
    monitor.reads(InterventionOpened(saga_id="a", code="manual", reason="look"), "other/1")
    assert monitor.rows("SELECT saga, status FROM saga ORDER BY 1") == [
        ("other/a", "intervention"),
        ("toy/a", "completed"),
    ]
    with monitor.engine.connect() as connection:
        (row,) = queries.sagas(connection, None, False, None, 10, flow="toy")
        assert (row["saga"], row["id"], row["flow"]) == ("toy/a", "a", "toy/1")
        found = queries.named(connection, "a", [flow.name for flow in BOTH])
        assert [row["saga"] for row in found] == ["other/a", "toy/a"]
        (one,) = queries.named(connection, "toy/a", [flow.name for flow in BOTH])
        assert one["saga"] == "toy/a"
        saga = queries.find(connection, "toy/a")
        assert saga is not None
        assert {fact.type for fact in saga.facts.values()} == {"Started", "Counted"}
        (case,) = queries.interventions(connection, [InterventionStatus.OPEN], 10)
        assert (case["saga"], case["saga_status"]) == ("other/a", "intervention")
        assert {row["type"] for row in queries.timeline(connection, "other/a")} == {
            "Ticked",
            "InterventionOpened",
        }
        assert lineage.of_saga(connection, "toy/a") == {
            "batch_id": None,
            "caused_by": None,
            "led_to": [],
        }


def test_an_event_that_either_flow_may_have_belongs_to_neither(monitor: Reading) -> None:
    monitor.reads(Asked("a"))
    assert monitor.rows("SELECT saga, code FROM monitor_unreadable") == [("/a", "unknown_flow")]
    assert monitor.rows("SELECT saga FROM saga") == []


def test_a_platform_event_of_another_application_is_no_saga_here(monitor: Reading) -> None:
    """Given pauses of a foreign flow, of an own unknown version and of no named contract; then the
    first is ignored, the second kept as unreadable, the third folded."""
    monitor.reads(paused("a"), "trip/1", contract=b"trips")
    monitor.reads(paused("b"), "toy/9", contract=b"toys")
    monitor.reads(paused("c"), "toy/1")
    assert monitor.rows("SELECT saga, code FROM monitor_unreadable") == [("toy/b", "unknown_flow")]
    assert monitor.rows("SELECT saga FROM saga") == [("toy/c",)]
    assert monitor.rows('SELECT "offset" FROM stream_offset') == [(4,)], "all are read"


def test_a_command_is_recorded_for_its_saga(monitor: Reading) -> None:
    event = paused("a")
    record = monitor.reads(event, "toy/1")
    with monitor.engine.begin() as connection:
        id_, now = CODEC.decode(record).id, datetime.now(UTC)
        assert store.record_command(connection, "toy/a", id_, event, now) is None
    assert monitor.rows("SELECT saga FROM recorded_command") == [("toy/a",)]
