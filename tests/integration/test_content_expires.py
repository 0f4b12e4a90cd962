"""What is kept for people has a term: contents of unreadable records, rows of the audit."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Engine, text

import saga_monitor.storage
from saga_monitor.storage.archiver import Archiver
from sagakit.handling.parking import decode_message
from sagakit.messages.codec import Codec
from sagakit.outbox.relay import OutboxPublisher, Relay
from sagakit.store.expiry import KEEP_AUDIT, KEEP_CONTENT
from sagakit.store.migrate import migrate
from sagakit.store.postgres import PostgresDatabase, engine_for
from tests.toy_saga import CONTRACT, NOW, Wire, create_tables, handler_on, table_store

DAY = timedelta(days=1)
UNREADABLE = text(
    "INSERT INTO monitor_unreadable VALUES "
    "('front.events', 0, 1, :at, 'undecodable', 'no event', '/a', 'a', 'ada', '[[\"x\", \"y\"]]')"
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_for(database_url)
    yield made
    made.dispose()


def test_a_parked_record_keeps_its_place_and_loses_its_content(engine: Engine) -> None:
    # Given a parked record, and a row of the audit
    create_tables(engine)
    store, wire = table_store(), Wire(Codec(CONTRACT))
    handler = handler_on(PostgresDatabase(engine, store, lambda: NOW), store)
    handler.handle([decode_message(wire.codec, wire.raw("front.events", b"a", b"ada's order"))])
    with engine.begin() as connection:
        add = "INSERT INTO audit (action, actor, address, subjects) VALUES ('open', 'a', '', '{}')"
        connection.execute(text(add))
        began = connection.execute(text("SELECT max(parked_at) FROM parked")).scalar_one()
    for age, content, audit in (
        (KEEP_CONTENT - DAY, True, 1),
        (KEEP_CONTENT + DAY, False, 1),
        (KEEP_AUDIT + DAY, False, 0),
    ):
        # When the relay makes the partitions of a later day
        relay = Relay(engine, cast(OutboxPublisher, None), lambda: NOW)
        with engine.begin() as connection:
            relay._make_days(connection, began + age)
            query = "SELECT value IS NOT NULL, code, (SELECT count(*) FROM audit) FROM parked"
            (row,) = connection.execute(text(query)).all()
        # Then the content and the old audit are gone, and the record is still parked
        assert tuple(row) == (content, "undecodable", audit)
    handler.redrive("toy/a")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM parked")).scalar_one() == 1


def test_the_monitor_keeps_no_content_of_what_it_could_not_read(engine: Engine) -> None:
    # Given a record that the monitor could not read
    migrate(engine, Path(next(iter(saga_monitor.storage.__path__))) / "migrations")
    with engine.begin() as connection:
        connection.execute(UNREADABLE, {"at": NOW})
    archiver = Archiver(engine, lambda: NOW, timedelta(days=30))
    for age, content in (
        (KEEP_CONTENT - DAY, (b"ada", '[["x", "y"]]')),
        (KEEP_CONTENT + DAY, (None, "[]")),
    ):
        # When log time has passed
        archiver.archive_due(NOW + age, threading.Event())
        # Then its content is there until the term is over, the row stays
        with engine.connect() as connection:
            (row,) = connection.execute(text("SELECT value, headers FROM monitor_unreadable")).all()
        assert tuple(row) == content
