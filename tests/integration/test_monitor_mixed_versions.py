"""Old and new monitors on one database: what the old did not understand, the new reads again."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple
from unittest.mock import create_autospec

import pytest
from sqlalchemy import Engine

from saga_monitor.ingest.faust_stream import StreamReader
from saga_monitor.ingest.projection import Projection
from saga_monitor.service import MIGRATIONS
from saga_monitor.storage import queries, store
from sagakit.flow.model import Flows
from sagakit.kafka.inspector import LogEnds
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.service.settings import ServiceSettings
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from schemas import CONTRACT, FLOWS
from tests.monitor import EventPublisher, placed, reserved
from tests.stack import TestInfra

(FLOW,) = FLOWS
OLD_FLOWS = Flows(replace(FLOW, versions={1: FLOW.versions[1]}))
PLACED, RESERVED = ("order.events", 3), ("inventory.events", 3)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    migrate(engine, MIGRATIONS)
    yield engine
    engine.dispose()


@pytest.fixture
def records(infra: TestInfra) -> Iterator[list[Record]]:
    """An order on version 1, then one on version 2, each with two events."""
    publisher = EventPublisher(infra)
    found: list[Record] = []
    for n, flow in enumerate(("order/1", "order/2")):
        order = f"{flow[-1]}-{uuid.uuid4().hex[:8]}"
        found += [
            Record(
                row.topic, 3, 10 + n, 1_700_000_000_000 + n, order.encode(), row.value, row.headers
            )
            for row in publisher.rows(placed(order), reserved(order), flow=flow)
        ]
    yield found
    publisher.close()


class Place(NamedTuple):
    """As Faust names a partition."""

    topic: str
    partition: int


def projection(engine: Engine, flows: Flows) -> Projection:
    return Projection(engine, Codec(CONTRACT), flows)


def starts(engine: Engine, flows: Flows, *places: tuple[str, int]) -> dict[tuple[str, int], int]:
    """Where a monitor that knows these flows begins to read the partitions it is assigned."""
    settings = ServiceSettings(
        bootstrap_servers="127.0.0.1:1", database_url="postgresql://h/d", contract="schemas"
    )
    broker = create_autospec(LogEnds, instance=True)
    broker.ids.return_value = {}
    reader = StreamReader(settings, ["order.events"], engine, projection(engine, flows), broker)
    asked = {Place(topic, partition): (0, 100) for topic, partition in places}
    return {
        (p.topic, p.partition): at for p, at in asyncio.run(reader.start_offsets(asked)).items()
    }


def unreadable(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [row["topic"] for row in queries.unreadable(connection, 10)]


def test_what_an_old_monitor_did_not_understand_is_read_again(
    engine: Engine, records: list[Record]
) -> None:
    (order,) = {record.key.decode() for record in records[2:] if record.key}
    old, new = projection(engine, OLD_FLOWS), projection(engine, FLOWS)
    old.apply(records)
    assert sorted(unreadable(engine)) == ["inventory.events", "order.events"]
    assert starts(engine, OLD_FLOWS, PLACED) == {PLACED: 12}, (
        "it would not understand it now either"
    )

    assert starts(engine, FLOWS, PLACED) == {PLACED: 11}
    assert unreadable(engine) == ["inventory.events"], "that partition is not its own yet"
    with engine.connect() as connection:
        assert store.offsets(connection)[PLACED] == 11, "until then nothing of it is judged"
    assert starts(engine, FLOWS, RESERVED) == {RESERVED: 11}
    assert unreadable(engine) == []

    new.apply(records[2:])
    with engine.connect() as connection:
        saga = queries.find(connection, f"order/{order}")
    assert saga is not None
    assert [fact.type for fact in saga.timeline()] == ["OrderPlaced", "InventoryReserved"]
    assert starts(engine, FLOWS, PLACED, RESERVED) == {PLACED: 12, RESERVED: 12}


def test_garbage_is_not_read_again(engine: Engine, records: list[Record]) -> None:
    garbage = replace(records[0], value=b"\xc3\x01" + bytes(20), offset=12)
    projection(engine, FLOWS).apply([*records, garbage])
    assert starts(engine, FLOWS, PLACED) == {PLACED: 13}
    assert unreadable(engine) == ["order.events"]
