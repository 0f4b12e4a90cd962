"""One monitor for several contracts: their topics, event types and flows."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saga_lab.devstack.topics import DEFAULT_PARTITIONS
from sagakit.contract import Contract, load_contract
from sagakit.messages.codec import Codec
from tests.contract_packages import TRIP, importable, write_generated
from tests.kafka import create_topic, delete_topics
from tests.monitor import EventPublisher, monitor, placed, whole
from tests.stack import TestInfra, until


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the package `trips`."""
    with importable(tmp_path_factory.mktemp("packages")) as root:
        write_generated(root, "trips", TRIP)
        yield root


@pytest.fixture(scope="module")
def trips(infra: TestInfra, packages: Path) -> Iterator[Contract]:
    """The trips' contract, and its topics, which are not the stack's."""
    contract = load_contract("trips")
    topics = [topic for topic in contract.topics if topic != "saga.events"]
    for topic in topics:
        create_topic(infra.bootstrap_servers, topic, DEFAULT_PARTITIONS)
    yield contract
    delete_topics(infra.bootstrap_servers, topics)


@pytest.fixture
def traveller(infra: TestInfra, trips: Contract) -> Iterator[EventPublisher]:
    """Publishes as the trips' participants would."""
    publisher = EventPublisher(infra, Codec(trips))
    yield publisher
    publisher.close()


def new_id() -> str:
    return f"t-{uuid.uuid4().hex[:8]}"


def settings(packages: Path, contract: str) -> dict[str, str]:
    path = os.pathsep.join(p for p in (str(packages), os.environ.get("PYTHONPATH", "")) if p)
    return {"SAGA_CONTRACT": contract, "PYTHONPATH": path}


def trip(contract: Contract, trip_id: str, *names: str) -> list[Any]:
    """Events of a trip."""
    return [contract.event_types[name](trip_id=trip_id) for name in names]


def test_one_monitor_judges_the_sagas_of_two_contracts(
    infra: TestInfra,
    database_url: str,
    group: str,
    tmp_path: Path,
    packages: Path,
    trips: Contract,
    publisher: EventPublisher,
    traveller: EventPublisher,
) -> None:
    """Given a monitor of orders and trips; when an order and a trip end and another trip stops;
    then each is judged by its own flow, also without a header, and the stopped trip is undone."""
    with monitor(
        infra,
        database_url,
        tmp_path / "monitor.log",
        group=group,
        deadlines='{"hotel": "1s"}',
        settings=settings(packages, "schemas,trips"),
    ) as process:
        process.start()
        order, done, headerless, stopped = (new_id() for _ in range(4))
        publisher.publish_events(*whole(order))
        good = ("TripAsked", "HotelBooked", "TicketSent")
        traveller.publish_events(*trip(trips, done, *good), flow="trip/1")
        traveller.publish_events(*trip(trips, headerless, *good), flow=None)
        traveller.publish_events(*trip(trips, stopped, "TripAsked"), flow=None)
        until(
            lambda: [process.status(t, "trip") for t in (done, headerless)] == ["completed"] * 2,
            "the trips are completed",
        )
        until(lambda: process.status(order) == "completed", "the order is completed")
        asked = lambda: "CompensationRequested" in process.types(stopped, "trip")  # noqa: E731
        until(asked, "the trip is undone")
        flows = [(process.saga(id_, "trip") or {})["flow"] for id_ in (done, headerless, stopped)]
        assert flows == ["trip/1"] * 3
        counted = {version["flow"] for version in process.get("/flows")}
        assert {"order/1", "trip/1"} <= counted
        traveller.publish_events(*trip(trips, stopped, "HotelFreed"), flow="trip/1")
        until(lambda: process.status(stopped, "trip") == "cancelled", "the trip is cancelled")


def test_an_event_of_an_unknown_contract_is_kept_and_read_again_by_who_knows_it(
    infra: TestInfra,
    database_url: str,
    group: str,
    tmp_path: Path,
    packages: Path,
    trips: Contract,
    publisher: EventPublisher,
    traveller: EventPublisher,
) -> None:
    """Given a monitor of orders; when an event of a trip is on the topic they share; then it is
    unreadable as an unknown schema, until a monitor of both reads it."""
    noted, order = new_id(), new_id()
    log = tmp_path / "monitor.log"
    with monitor(infra, database_url, log, group=group) as process:
        process.start()
        traveller.publish_events(*trip(trips, noted, "TripNoted"), flow="trip/1")
        publisher.publish_events(placed(order))

        def codes() -> list[str]:
            rows = process.get("/unreadable")
            return [row["code"] for row in rows if row["key"] == noted]

        until(lambda: codes() == ["unknown_schema"], "the trip's event is set aside")
        until(lambda: process.status(order) == "running", "the order is read")
    both = settings(packages, "schemas,trips")
    with monitor(infra, database_url, log, group=group, settings=both) as process:
        process.start()
        until(lambda: process.types(noted, "trip") == ["TripNoted"], "the trip's event is read")
        assert process.status(order) == "running"
