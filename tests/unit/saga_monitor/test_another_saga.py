"""A saga of another trade, on the kit and the monitor as they are: each test is a defect mended."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest

from saga_monitor.ingest.projection import fact_of
from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from sagakit.contract import Contract, load_contract
from sagakit.contract.platform import CompensationRequested
from sagakit.decider import Do, Undo
from sagakit.errors import FlowError, Undecodable
from sagakit.flow.routing import Router
from sagakit.identity import saga_key
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Record
from tests.contract_packages import TRIP, avsc, flow_file, importable, text_field, write_generated

START = datetime(2026, 1, 2, 3, tzinfo=UTC)
BOOKING = {
    "flows/booking.toml": flow_file("booking", "BookingAsked", "TripCalledOff", "hotel", "ticket"),
    **dict([avsc("BookingAsked", "trips", text_field("trip_id"), saga_id="trip_id")]),
}
"""A second flow whose file comes before the trip's."""


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with importable(tmp_path_factory.mktemp("packages")) as root:
        yield load_contract(write_generated(root, "trips", {**TRIP, **BOOKING}))


def event(contract: Contract, name: str, **fields: Any) -> Any:
    return contract.event_types[name](trip_id="t-1", **fields)


def record_of(contract: Contract, found: Any, key: str) -> Record:
    """The record of an event without a header `flow`."""
    envelope = Envelope(
        uuid5(NAMESPACE_OID, key), saga_key("trip", key), found.owner, 1, START, found
    )
    row = Codec(contract).encode(envelope)
    at_ms = round(START.timestamp() * 1000)
    return Record(row.topic, 0, 1, at_ms, row.key.encode(), row.value, row.headers)


def test_a_flow_file_cannot_name_another_event_that_undoes(tmp_path: Path) -> None:
    """Before, a step listened for that event, and the monitor emitted CompensationRequested."""
    named = {"flows/flow.toml": 'compensate = "TripUndone"\n' + TRIP["flows/flow.toml"]}
    with importable(tmp_path) as root, pytest.raises(FlowError) as refused:
        load_contract(write_generated(root, "trips", {**TRIP, **named}))
    assert "'compensate' is not known" in str(refused.value)


def test_what_the_monitor_emits_undoes_the_steps_of_any_flow(contract: Contract) -> None:
    """Given a trip whose hotel is overdue; when the monitor judges it; then what it emits reaches
    the hotel as an undo."""
    flow, version = contract.flows.find("trip/1")
    saga = fold(
        Saga("trip/t-1"),
        Fact(str(uuid5(NAMESPACE_OID, "1")), "TripAsked", START, "trips", 1, flow="trip/1"),
    )
    view = interpret(saga, Plan.of(flow, version))
    (emission,) = due_emissions(saga, view, START + timedelta(minutes=2))
    assert isinstance(emission.event, CompensationRequested)
    (trigger,) = Router(contract.flows, "hotel").route("trip/1", emission.event).triggers
    assert isinstance(trigger, Undo)


def test_a_second_flow_file_takes_over_no_saga_of_the_first(contract: Contract) -> None:
    """Before, the alphabetically first file was the flow of every event without a header."""
    assert [flow.name for flow in contract.flows] == ["booking", "trip"]
    router = Router(contract.flows, "hotel")
    assert router.label(None, event(contract, "TripAsked")) == "trip/1"
    assert router.label(None, event(contract, "BookingAsked")) == "booking/1"


def test_an_event_is_known_by_its_own_saga_id(contract: Contract) -> None:
    """Before, an event without a field `order_id` went by its key alone, and vanished."""
    asked = event(contract, "TripAsked", traveller="Ada")
    envelope = Codec(contract).decode(record_of(contract, asked, "t-1"))
    fact = fact_of(envelope)
    assert (envelope.key, fact.type, fact.detail) == ("trip/t-1", "TripAsked", {})
    with pytest.raises(Undecodable, match="the key is 't-2', the body says trip_id 't-1'"):
        Codec(contract).decode(record_of(contract, asked, "t-2"))


def test_no_field_has_a_meaning_without_a_mark(contract: Contract) -> None:
    """Before, a step whose event had a true field `late` was taken for one that is undone."""
    booked = event(contract, "HotelBooked", late=True)
    assert Router(contract.flows, "ticket").route("trip/1", booked).triggers == (Do(booked),)
