"""A schema registry in trouble while a new schema id is met: no record is lost to that."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, text

from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.unknown_records import UnknownRecords
from saga_monitor.service import MIGRATIONS
from saga_monitor.storage import queries, store
from sagakit.contract.model import Contract
from sagakit.flow.routing import Router
from sagakit.handling.auto_redrive import AutoRedrive
from sagakit.handling.consumer_loop import ConsumerLoop
from sagakit.handling.handler import Handler
from sagakit.messages import schema_registry
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.messages.schema_registry import ConfluentRegistry
from sagakit.retry import retry_transaction
from sagakit.store.migrate import migrate
from sagakit.store.postgres import PostgresDatabase, engine_for
from tests.registry_double import RegistryDouble, registry_double
from tests.stack import until
from tests.toy_saga import (
    CONTRACT,
    FLOWS,
    NOW,
    Count,
    Ticked,
    Wire,
    create_tables,
    mark_started,
    participant,
    schema_of,
    table_store,
    toy,
)

NOTE = {"name": "note", "type": ["null", "string"], "default": None}
EVOLVED = schema_of("Ticked", fields=[*schema_of("Ticked")["fields"], NOTE])
NEWER = Contract(CONTRACT.event_types, {**CONTRACT.schemas, "Ticked": EVOLVED})
WAITING = ("unavailable", "page")
CLIENTS: list[ConfluentRegistry] = []
"""Those of the running test."""


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryDouble]:
    quick = {**schema_registry.CLIENT, "max.retries": 1, "retries.wait.ms": 1}
    monkeypatch.setattr(schema_registry, "CLIENT", quick)
    with registry_double() as running:
        yield running
        for client in CLIENTS:
            client.close()
        CLIENTS.clear()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    yield engine
    engine.dispose()


def codec(double: RegistryDouble, contract: Contract = CONTRACT) -> Codec:
    CLIENTS.append(ConfluentRegistry(double.url))
    return Codec(contract, CLIENTS[-1])


@contextmanager
def trouble(double: RegistryDouble, kind: str) -> Iterator[None]:
    double.trouble = kind
    yield
    double.trouble = ""


class ListedRecords:
    """A bus that yields these records, and says what was stored."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._waiting = [list(records)]
        self.stored: list[Record] = []

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        if self._waiting:
            return self._waiting.pop()
        threading.Event().wait(0.01)
        return []

    def store(self, records: Sequence[Record]) -> None:
        self.stored += records

    def commit(self) -> None:
        """Nothing to do."""


class Reader:
    """The counter, with a registry."""

    def __init__(self, engine: Engine, double: RegistryDouble) -> None:
        create_tables(engine)
        self._engine, self._codec = engine, codec(double)
        router = Router(FLOWS, "counter")
        database: PostgresDatabase[Count] = PostgresDatabase(engine, table_store(), lambda: NOW)
        mark_started(database, [toy("a")])
        self.handler: Handler[Count] = Handler(
            participant(table_store()), database, router, self._codec, lambda: NOW
        )
        self.auto_redrive = AutoRedrive(engine, self._codec, router, self.handler.redrive)

    @contextmanager
    def reading(self, records: Sequence[Record]) -> Iterator[ListedRecords]:
        bus, stop = ListedRecords(records), threading.Event()
        loop = ConsumerLoop(bus, self._codec, self.handler, self._engine, stop)
        thread = threading.Thread(target=loop.run, daemon=True)
        thread.start()
        try:
            yield bus
        finally:
            stop.set()
            thread.join()

    def column(self, query: str) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(query)).scalars())


@pytest.fixture
def records(double: RegistryDouble) -> list[Record]:
    """Two events of one saga: the first with a schema that nobody here knows yet."""
    newer, known = Wire(codec(double, NEWER)), Wire(codec(double))
    known._offset = 10
    return [newer.record(Ticked("a", "one"), 1), known.record(Ticked("a", "two"), 2)]


@pytest.mark.parametrize("kind", WAITING)
def test_a_participant_waits_for_the_registry(
    engine: Engine, double: RegistryDouble, records: list[Record], kind: str
) -> None:
    reader = Reader(engine, double)
    with trouble(double, kind), reader.reading(records) as bus:
        until(lambda: double.asked > 4, "the registry is asked again and again")
        assert (bus.stored, reader.column("SELECT code FROM parked")) == ([], [])
        double.trouble = ""
        until(lambda: bus.stored == records, "the records are handled")
    assert reader.column("SELECT code FROM parked") == []
    assert reader.column("SELECT unnest(words) FROM counts") == ["one", "two"]


def test_a_participant_reads_again_what_was_not_registered_yet(
    engine: Engine, double: RegistryDouble, records: list[Record]
) -> None:
    reader = Reader(engine, double)
    with trouble(double, "unknown"), reader.reading(records) as bus:
        until(lambda: bus.stored == records, "the records are parked")
        assert reader.column("SELECT code FROM parked ORDER BY id") == ["unknown_schema", "queued"]
        assert reader.auto_redrive.redrive_known() == []
    until(lambda: bool(reader.auto_redrive.redrive_known()), "it is asked again")
    assert reader.column("SELECT unnest(words) FROM counts") == ["one", "two"]
    assert reader.column("SELECT code FROM parked") == []


def test_a_schema_that_is_never_registered_is_asked_for_less_and_less_often(
    engine: Engine, double: RegistryDouble, records: list[Record]
) -> None:
    reader = Reader(engine, double)
    with trouble(double, "unknown"), reader.reading(records) as bus:
        until(lambda: bus.stored == records, "the records are parked")
        before = double.asked
        for _ in range(100):
            reader.auto_redrive.redrive_known()
    assert 6 <= double.asked - before <= 9


class Watching:
    """The monitor's projection, with a registry."""

    def __init__(self, engine: Engine, double: RegistryDouble) -> None:
        migrate(engine, MIGRATIONS)
        self._engine = engine
        self.projection = Projection(engine, codec(double), FLOWS)
        self.again = UnknownRecords(engine, self.projection)

    @contextmanager
    def reading(self, records: Sequence[Record]) -> Iterator[threading.Thread]:
        stop = threading.Event()

        def read() -> None:
            retry_transaction(lambda: self.projection.apply(records), stop)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield thread
        thread.join()

    def unreadable(self) -> list[str]:
        with self._engine.connect() as connection:
            return [row["code"] for row in queries.unreadable(connection, 10)]

    def timeline(self) -> list[str]:
        with self._engine.connect() as connection:
            found = queries.find(connection, "toy/a")
        return [fact.type for fact in found.timeline()] if found else []

    def offsets(self) -> dict[tuple[str, int], int]:
        with self._engine.connect() as connection:
            return store.offsets(connection)


@pytest.mark.parametrize("kind", WAITING)
def test_the_monitor_waits_for_the_registry(
    engine: Engine, double: RegistryDouble, records: list[Record], kind: str
) -> None:
    watching = Watching(engine, double)
    with trouble(double, kind), watching.reading(records) as thread:
        until(lambda: double.asked > 4, "the registry is asked again and again")
        assert thread.is_alive()
        assert (watching.unreadable(), watching.offsets()) == ([], {})
        double.trouble = ""
    assert watching.unreadable() == []
    assert watching.timeline() == ["Ticked", "Ticked"]


def test_the_monitor_reads_again_what_was_not_registered_yet(
    engine: Engine, double: RegistryDouble, records: list[Record]
) -> None:
    watching = Watching(engine, double)
    with trouble(double, "unknown"):
        watching.projection.apply(records)
        assert watching.unreadable() == ["unknown_schema"]
        assert watching.again.read_known() == 0
    before = watching.offsets()
    until(lambda: watching.again.read_known() == 1, "it is read again")
    assert watching.unreadable() == []
    assert watching.timeline() == ["Ticked", "Ticked"]
    assert watching.offsets() == before
    assert watching.again.read_known() == 0


def test_a_monitor_that_starts_asks_no_registry_where_to_begin(
    engine: Engine, double: RegistryDouble, records: list[Record]
) -> None:
    """The wait for its answer ended the process, and the next one, for as long as it was away."""
    before = Watching(engine, double)
    with trouble(double, "unknown"):
        before.projection.apply(records)
    restarted = Watching(engine, double)
    with trouble(double, "unavailable"):
        asked = double.asked
        assert [restarted.projection.understands(record) for record in records] == [False, True]
        assert double.asked == asked
    assert restarted.again.read_known() == 1
