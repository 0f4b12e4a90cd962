"""What tests here share: who says events, a monitor that reads them, an outbox with its topic."""

import itertools
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine

from saga_monitor.storage.tables import metadata
from sagakit.store.memory import MemoryDatabase, MemoryStore
from sagakit.store.postgres import PostgresDatabase, engine_for
from tests.kafka import create_topic
from tests.monitor import EventPublisher, MonitorProcess, monitor
from tests.outbox_rows import Book
from tests.outside_processes import Receiver, Server
from tests.stack import TestInfra, fresh_database
from tests.store_subjects import Subject
from tests.toy_saga import NOW, Count, create_tables, table_store

_orders = itertools.count(1)


@pytest.fixture
def publisher(infra: TestInfra) -> Iterator[EventPublisher]:
    """Speaks for all participants."""
    publisher = EventPublisher(infra)
    yield publisher
    publisher.close()


@pytest.fixture
def group() -> str:
    """A consumer group of this test's own."""
    return f"saga-monitor-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def monitor_settings() -> Mapping[str, str]:
    """What `running` has beside the usual; a module that wants more has a fixture of this name."""
    return {}


@pytest.fixture
def running(
    infra: TestInfra,
    database_url: str,
    group: str,
    monitor_settings: Mapping[str, str],
    tmp_path: Path,
) -> Iterator[MonitorProcess]:
    """A monitor with the flow's own deadlines."""
    log = tmp_path / "monitor.log"
    with monitor(infra, database_url, log, group=group, settings=monitor_settings) as process:
        yield process.start()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """On the monitor's tables, without a monitor."""
    made = engine_for(database_url)
    metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def book(infra: TestInfra, database_url: str, topic_prefix: str) -> Iterator[Book]:
    """A service's outbox, empty, and its topic."""
    book = Book(database_url, create_topic(infra.bootstrap_servers, f"{topic_prefix}events"))
    yield book
    book.engine.dispose()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Takes the webhooks of the outside world."""
    receiver = Receiver()
    yield receiver
    receiver.close()
    assert receiver.forged == []


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    """A provider as a process of its own."""
    server = Server(
        "shop.outside.provider", tmp_path_factory.mktemp("provider") / "db", receiver.url
    )
    yield server
    server.close()


@pytest.fixture
def order() -> str:
    """The id of an order of this test's own."""
    return f"order-{next(_orders)}"


@pytest.fixture(params=["memory", "postgres"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The store of the toy saga, in memory and in PostgreSQL."""
    if request.param == "memory":
        yield Subject(MemoryDatabase(MemoryStore(Count()), NOW))
        return
    infra: TestInfra = request.getfixturevalue("infra")
    engine = engine_for(fresh_database(infra))
    create_tables(engine)
    yield Subject(PostgresDatabase(engine, table_store(), lambda: NOW))
    engine.dispose()
