"""A saga is known by its flow and its id: the saga key, from the record to the redrive."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from sagakit.contract.model import Contract
from sagakit.decider import Effect
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router
from sagakit.handling.consumer_loop import ConsumerLoop
from sagakit.handling.handler import Disposition, Handler, HandlingResult, decode_message
from sagakit.identity import flow_name, saga_key, split_key
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, Record
from sagakit.store.memory import MemoryDatabase, MemoryStore
from tests.toy_saga import (
    CONTRACT,
    NOW,
    Asked,
    Count,
    Started,
    Ticked,
    Wire,
    mark_started,
    participant,
    paused,
    schema_of,
)
from tests.unit.sagakit.test_flow_of_event import ANOTHER, TOY, TWO_FLOWS

NOTE = {"name": "note", "type": ["null", "string"], "default": None}


def test_a_key_is_split_at_its_first_slash() -> None:
    assert split_key(saga_key("order", "2026/17")) == ("order", "2026/17")
    assert split_key("/sku:tea") == ("", "sku:tea")
    with pytest.raises(ValueError, match="'o1' is no saga key; write it as flow/id"):
        split_key("o1")


@pytest.mark.parametrize(
    ("label", "name"),
    [("toy/2", "toy"), ("toy", "toy"), ("", ""), (None, ""), ("a b/1", ""), ("x" * 101 + "/1", "")],
)
def test_only_a_name_that_a_flow_may_have_is_taken_from_a_label(
    label: str | None, name: str
) -> None:
    assert flow_name(label) == name


def test_the_same_call_in_two_sagas_has_two_idempotency_keys() -> None:
    charge = Effect("charge", "charge", {}, "order/7")
    assert charge.idempotency_key == "order/7:charge"
    assert charge.key_of("refund:1") == "order/7:refund:1"
    assert replace(charge, saga="trip/7").idempotency_key != charge.idempotency_key


# --- the codec ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "flow", "key"),
    [
        (Started("a"), None, "toy/a"),
        (Ticked("a/b"), None, "toy/a/b"),
        (Ticked("a"), "another/3", "another/a"),
        (Ticked("a"), "not deployed/1", "/a"),
        (Ticked("a"), "newer/1", "newer/a"),
        (Asked("a"), None, "/a"),
        (paused("a"), None, "/a"),
    ],
)
def test_the_flow_of_a_record_is_that_of_its_header_or_the_only_one_there_is(
    event: Any, flow: str | None, key: str
) -> None:
    codec = Codec(TWO_FLOWS)
    record = Wire(codec).record(event, flow=flow)
    assert record.key == event.to_dict()[event.saga_id_field].encode(), "the record key is bare"
    assert codec.decode(record).key == key


def test_the_same_bytes_without_an_id_are_two_events_in_two_sagas() -> None:
    codec = Codec(TWO_FLOWS)
    sent = Wire(codec).record(Ticked("a"))
    toy, another = (
        codec.decode(replace(sent, headers=(("flow", flow),))) for flow in (b"toy/1", b"another/3")
    )
    assert toy.id != another.id


def test_an_event_of_no_saga_is_not_counted_in_one() -> None:
    class Restocked(Started):
        type, saga_id_field = "Restocked", None

    contract = Contract({"Restocked": Restocked}, {"Restocked": schema_of("Restocked")})
    codec = Codec(contract)
    envelope = Wire(Codec(CONTRACT)).codec.decode(Wire(Codec(CONTRACT)).record(Started("a")))
    with pytest.raises(ValueError, match="Restocked belongs to no saga, and 'toy/a' emits it"):
        codec.encode(replace(envelope, event=Restocked("a")))
    row = codec.encode(replace(envelope, event=Restocked("a"), key="/tea"))
    assert (row.key, row.saga) == ("tea", "/tea")


# --- a redrive ------------------------------------------------------------------------------------


def handler_of(database: MemoryDatabase[Count], contract: Contract) -> Handler[Count]:
    router = Router(Flows(*contract.declared), "counter")
    return Handler(participant(database.store), database, router, Codec(contract), lambda: NOW)


def test_a_redrive_moves_a_record_to_the_flow_that_is_known_by_now() -> None:
    """Given a replica that cannot decode an event without a header, so that its flow is unknown;
    when a newer one redrives it; then it is decided in its saga, and nothing is left behind."""
    evolved = schema_of("Ticked", fields=[*schema_of("Ticked")["fields"], NOTE])
    newer = replace(
        TWO_FLOWS,
        schemas={**TWO_FLOWS.schemas, "Ticked": evolved},
        released=[TWO_FLOWS.schemas],
    )
    database = MemoryDatabase(MemoryStore(Count()), NOW)
    old, new = handler_of(database, TWO_FLOWS), handler_of(database, newer)
    wire = Wire(new.codec)
    records = [wire.record(Started("a"), 1), wire.record(Ticked("a", "one"), 1)]
    records = [replace(record, headers=()) for record in records]
    handled = old.handle([decode_message(old.codec, record) for record in records])
    assert [result.disposition for result in handled] == [
        Disposition.HANDLED,
        Disposition.PARKED,
    ]
    assert [row.key for row in database.tables.parked.values()] == ["/a"]
    new.redrive("/a")
    assert not database.tables.parked
    assert {key: state.words for key, state in database.store.states.items()} == {  # type: ignore[attr-defined]
        "toy/a": ("do", "one")
    }
    assert {key: row.parked for key, row in database.tables.inbox_rows.items()} == {
        "toy/a": 0,
        "/a": 0,
    }


def test_a_moved_record_waits_behind_what_is_parked_in_its_saga() -> None:
    """Given one flow now where there were two; when the record is redriven while its saga is
    blocked; then it queues there, and is decided once the saga goes on."""
    database = MemoryDatabase(MemoryStore(Count()), NOW)
    mark_started(database, ["toy/a"])
    old = handler_of(database, TWO_FLOWS)
    new = handler_of(database, replace(CONTRACT, declared=(TOY,)))
    wire = Wire(old.codec)
    garbage = replace(wire.record(Started("a"), 1, flow="toy/1"), value=b"garbage")
    records = [garbage, wire.record(paused("a"))]
    old.handle([decode_message(old.codec, record) for record in records])
    new.redrive("/a")
    assert {(row.key, row.code) for row in database.tables.parked.values()} == {
        ("toy/a", "undecodable"),
        ("toy/a", "queued"),
    }
    (blocking,) = (n for n, row in database.tables.parked.items() if row.code == "undecodable")
    del database.tables.parked[blocking]
    new.redrive("toy/a")
    assert not database.tables.parked
    assert database.tables.inbox_rows["toy/a"].marks == ["paused"]


# --- platform events of other applications --------------------------------------------------------

TOYS = replace(CONTRACT, packages={"toys": ["toy"]})
TRIPS = replace(CONTRACT, declared=(ANOTHER,), packages={"trips": ["another"]})


class Bus:
    """Hands out one batch, and keeps what was stored."""

    def __init__(self, stop: threading.Event, records: list[Record]) -> None:
        self.stop, self.records, self.stored = stop, records, list[Record]()

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        self.stop.set()
        return self.records

    def store(self, records: Sequence[Record]) -> None:
        self.stored += records

    def commit(self) -> None:
        """Stored is enough."""


def consumed(
    contract: Contract, *records: Record
) -> tuple[list[HandlingResult[Count]], list[int], list[Record]]:
    """What becomes of a batch: results, how many were ignored, and what counts as read."""
    database = MemoryDatabase(MemoryStore(Count()), NOW)
    mark_started(database, ["toy/a"])
    handler = handler_of(database, contract)
    results: list[HandlingResult[Count]] = []
    ignored: list[int] = []

    class Kept:
        def handle(self, messages: Sequence[Message]) -> list[HandlingResult[Count]]:
            results.extend(handler.handle(messages))
            return results

    stop = threading.Event()
    bus = Bus(stop, list(records))
    engine = cast(Any, None)  # no start is counted
    ConsumerLoop(bus, handler.codec, Kept(), engine, stop, ignored=ignored.append).run()
    return results, ignored, bus.stored


def test_a_platform_event_of_another_application_is_ignored_and_counted() -> None:
    theirs = Wire(Codec(TRIPS)).record(paused("a"), flow="another/3")
    theirs = replace(
        theirs, headers=tuple((k, b"trips" if k == "contract" else v) for k, v in theirs.headers)
    )
    own = Wire(Codec(TOYS)).record(paused("a"), flow="toy/1")
    results, ignored, stored = consumed(TOYS, theirs, own)
    assert [(r.message.key, r.disposition) for r in results] == [("toy/a", Disposition.HANDLED)]
    assert ignored == [1]
    assert stored == [theirs, own], "both are read"


@pytest.mark.parametrize("flow", ["toy/9", "newer/1"], ids=["version", "flow"])
def test_a_platform_event_of_an_own_unknown_version_or_flow_is_parked(flow: str) -> None:
    """A newer replica of the same application knows it."""
    newer = replace(TOYS, packages={"toys": ["toy", "newer"]})
    codec = Codec(newer)
    record = Wire(codec).record(paused("a"), flow=flow)
    assert dict(record.headers)["contract"] == b"toys"
    (result,), ignored, _ = consumed(TOYS, record)
    assert result.disposition is Disposition.PARKED
    assert result.message.key == f"{flow_name(flow)}/a"
    assert ignored == []


def test_a_platform_event_without_the_header_is_handled() -> None:
    record = Wire(Codec(TOYS)).record(paused("a"), flow="toy/1")
    record = replace(record, headers=tuple(h for h in record.headers if h[0] != "contract"))
    (result,), ignored, _ = consumed(TOYS, record)
    assert (result.disposition, ignored) == (Disposition.HANDLED, [])


def test_only_platform_events_name_the_contract() -> None:
    assert "contract" not in dict(Wire(Codec(TOYS)).record(Ticked("a"), flow="toy/1").headers)
