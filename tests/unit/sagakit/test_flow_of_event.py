"""Which flow an event without the header `flow` runs on."""

from dataclasses import replace

import pytest

from sagakit.errors import FlowError, UnknownFlow
from sagakit.flow.loader import load
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router
from sagakit.handling.handler import Disposition, Handler, decode_message
from sagakit.messages.codec import Codec
from sagakit.store.memory import MemoryDatabase, MemoryStore
from tests.toy_saga import (
    CONTRACT,
    FLOW,
    NOW,
    OWNERS,
    Asked,
    Count,
    Counted,
    LeftDone,
    RightDone,
    Started,
    Ticked,
    Wire,
    participant,
    paused,
)

OTHER = """
name = "another"
start = "RightDone"
cancel = "Asked"
default_version = 3

[versions]
3 = ["counter"]

[steps.counter]
kind = "retriable"
done = "Counted"
deadline = "1m"
"""
TOY, ANOTHER = load(FLOW, OWNERS), load(OTHER, OWNERS)
FLOWS = Flows(ANOTHER, TOY)
"""The one that comes first by name is not the one that most events belong to."""
TWO_FLOWS = replace(CONTRACT, declared=(ANOTHER, TOY))
ROUTER = Router(FLOWS, "counter")


class OfNoSaga(Started):
    """An event that belongs to no saga."""

    saga_id_field = None


@pytest.mark.parametrize("flows", [FLOWS, Flows(TOY, ANOTHER)], ids=["another first", "toy first"])
def test_a_start_event_runs_on_the_flow_that_it_starts_whichever_comes_first(flows: Flows) -> None:
    assert flows.find(None, "Started") == (TOY, 1)
    assert flows.find(None, "RightDone") == (ANOTHER, 3), "toy names it too, as no start"
    assert flows.find(None, "Counted", "Started") == (TOY, 1)


def test_another_event_runs_on_the_only_flow_that_names_it() -> None:
    assert FLOWS.find(None, "Ticked") == (TOY, 1)
    assert FLOWS.find(None, "Asked", "SagaPaused", "LeftDone") == (TOY, 1)


@pytest.mark.parametrize("events", [("Asked",), ("Counted",), ("SagaPaused",), ()])
def test_an_event_that_two_flows_may_have_runs_on_neither(events: tuple[str, ...]) -> None:
    with pytest.raises(UnknownFlow, match="any of another, toy; publish it with that header"):
        FLOWS.find(None, *events)


def test_an_event_that_no_flow_has_says_what_to_do() -> None:
    with pytest.raises(UnknownFlow, match=r"Nothing: no flow names it.*deploy the flow file"):
        FLOWS.find(None, "Nothing")


@pytest.mark.parametrize("events", [("Asked",), ("SagaPaused",), ()])
def test_where_there_is_one_flow_all_run_on_it(events: tuple[str, ...]) -> None:
    assert Flows(TOY).find(None, *events) == (TOY, 1)


def test_two_flows_of_one_start_event_are_refused() -> None:
    again = load(OTHER.replace('"RightDone"', '"Started"'), OWNERS)
    with pytest.raises(FlowError, match="flow another, start: Started starts the flow toy too"):
        Flows(TOY, again)


def test_a_saga_stays_on_its_version() -> None:
    assert ROUTER.label(None, Asked("a"), "another/3") == "another/3"
    assert ROUTER.label(None, Started("a"), "toy/2") == "toy/2"
    assert ROUTER.label("toy/3", Ticked("a"), "toy/2") == "toy/3"


def test_a_start_event_is_never_taken_for_one_of_another_flow() -> None:
    assert ROUTER.label(None, Started("a"), "another/3") == "toy/1"


def test_a_start_event_under_the_header_of_another_flow_is_refused_and_not_lost() -> None:
    assert ROUTER.label("toy/2", RightDone("a")) == "toy/2", "a step of toy is done by it"
    with pytest.raises(UnknownFlow, match=r"Started starts the flow toy, .* publish it with toy/1"):
        ROUTER.label("another/3", Started("a"))


def test_an_event_of_no_saga_has_no_flow() -> None:
    assert ROUTER.label(None, OfNoSaga("a")) is None
    assert ROUTER.label("unknown/1", OfNoSaga("a"), "toy/1") is None


# --- in the handler -------------------------------------------------------------------------------


class Reader:
    """The counter, with two flows."""

    def __init__(self) -> None:
        self.store = MemoryStore(Count())
        codec = Codec(TWO_FLOWS)
        self.wire = Wire(codec)
        self.database: MemoryDatabase[Count] = MemoryDatabase(self.store, NOW)
        self.handler: Handler[Count] = Handler(
            participant(self.store), self.database, ROUTER, codec, lambda: NOW
        )

    def reads(self, *events: object, flow: str | None = None) -> list[Disposition]:
        records = [self.wire.record(event, flow=flow) for event in events]  # type: ignore[arg-type]
        messages = [decode_message(self.wire.codec, record) for record in records]
        return [handled.disposition for handled in self.handler.handle(messages)]

    def parked(self) -> list[tuple[str, str]]:
        return [(row.key, row.code) for row in self.database.tables.parked.values()]


def test_a_start_event_without_a_header_starts_its_flow() -> None:
    reader = Reader()
    assert reader.reads(Started("a"), RightDone("b")) == [Disposition.HANDLED] * 2
    assert {key: state.words for key, state in reader.store.states.items()} == {
        "toy/a": ("do",),
        "another/b": ("do",),
    }
    inbox = reader.database.tables.inbox_rows
    assert (inbox["toy/a"].flow, inbox["another/b"].flow) == ("toy/1", "another/3")


def test_what_two_flows_may_have_is_parked_as_unknown_flow_unless_a_header_names_one() -> None:
    """Given a saga of each flow under one id; when a pause comes that names neither; then it is
    parked under no flow, and one with the header is handled."""
    reader = Reader()
    assert reader.reads(Started("a"), RightDone("a")) == [Disposition.HANDLED] * 2
    assert reader.reads(paused("a")) == [Disposition.PARKED]
    assert reader.parked() == [("/a", "unknown_flow")]
    assert reader.reads(paused("a"), flow="toy/1") == [Disposition.HANDLED]
    marks = {key: row.marks for key, row in reader.database.tables.inbox_rows.items()}
    assert marks == {"toy/a": ["paused"], "another/a": [], "/a": []}
    assert reader.reads(LeftDone("c"), Counted("c")) == [Disposition.HANDLED, Disposition.PARKED]
