"""The monitor and a record that ends its process: counted before it is read, then given up."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped]
from sqlalchemy import Engine, text

from saga_monitor.ingest.faust_stream import Bundle, Fetched, StreamReader
from saga_monitor.ingest.projection import Projection
from saga_monitor.service import MIGRATIONS
from sagakit.faults import Crash
from sagakit.handling.attempts import KILLED, PARK_AFTER
from sagakit.kafka.inspector import LogEnds
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.service.settings import ServiceSettings
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from sagakit.store.skipped_records import skip_record
from schemas import CONTRACT, FLOWS

TOPIC = "order.events"
PLACE = TopicPartition(TOPIC, 0)


class Deadly(Codec):
    """Whatever looks at a record with these bytes ends the process."""

    deadly = b"kills"

    def is_foreign(self, record: Record) -> bool:
        if record.value == self.deadly:
            raise Crash("a look at its headers")
        return super().is_foreign(record)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    migrate(engine, MIGRATIONS)
    yield engine
    engine.dispose()


def started(engine: Engine) -> tuple[StreamReader, int]:
    """A process just started, and the offset from which it reads."""
    settings = ServiceSettings(
        bootstrap_servers="127.0.0.1:1", database_url="postgresql://h/d", contract="schemas"
    )
    inspector = create_autospec(LogEnds, instance=True)
    inspector.ids.return_value = {}
    projection = Projection(engine, Deadly(CONTRACT), FLOWS)
    reader = StreamReader(settings, [TOPIC], engine, projection, inspector)
    starts = asyncio.run(reader.start_offsets({PLACE: (0, 5)}))
    return reader, starts[PLACE]


def fetched(values: dict[int, bytes]) -> Bundle:
    records: list[Any] = [
        SimpleNamespace(
            topic=TOPIC,
            partition=0,
            offset=offset,
            timestamp=1_700_000_000_000,
            timestamp_type=1,
            key=b"o-1",
            value=value,
            headers=(),
        )
        for offset, value in values.items()
    ]
    return Bundle(PLACE, Fetched(records, max(values) + 1), 1)


def unreadable(engine: Engine) -> dict[int, str]:
    with engine.connect() as connection:
        rows = connection.execute(text('SELECT "offset", error FROM monitor_unreadable'))
        return {row.offset: row.error for row in rows}


VALUES = {0: b"garbage", 1: Deadly.deadly, 2: b"more garbage"}


def test_a_record_that_ends_the_monitor_is_given_up_and_its_neighbours_are_not(
    engine: Engine,
) -> None:
    # Given a record that ends the process, between others; when the process starts again each time
    starts = 0
    while starts < 2 * PARK_AFTER:
        starts += 1
        reader, start = started(engine)
        try:
            reader._project([fetched({o: v for o, v in VALUES.items() if o >= start})])
        except Crash:
            continue
        break
    # Then it is given up after a few starts, with its reason
    assert starts <= PARK_AFTER + 3
    found = unreadable(engine)
    assert found[1] == KILLED
    assert "neither Avro" in found[0]
    assert "neither Avro" in found[2]


def test_a_skipped_record_is_passed_over_unread(engine: Engine) -> None:
    # Given a note to skip the record that ends the process
    with engine.begin() as connection:
        skip_record(connection, (TOPIC, 0, 1), "order/o-1", "ops", "ticket 4711")
    # When the monitor starts
    reader, start = started(engine)
    reader._project([fetched(VALUES)])
    # Then nothing of it is read, and the reason is kept
    assert start == 0
    assert unreadable(engine)[1] == "skipped by ops: ticket 4711"


def test_reading_starts_behind_a_skipped_record(engine: Engine) -> None:
    with engine.begin() as connection:
        skip_record(connection, (TOPIC, 0, 0), "order/o-1", "ops", "the client dies on it")
        skip_record(connection, (TOPIC, 0, 1), "order/o-1", "ops", "the client dies on it")
    _, start = started(engine)
    assert start == 2
