"""Old and new code on one database: what the old does not understand, the new one handles."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import Column, Engine, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from sagakit.contract.loader import join
from sagakit.contract.model import Contract
from sagakit.flow.loader import load
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router
from sagakit.handling.auto_redrive import AutoRedrive
from sagakit.handling.handler import Handler
from sagakit.handling.parking import decode_message
from sagakit.messages.codec import Codec
from sagakit.store.postgres import PostgresDatabase, engine_for
from sagakit.store.rebuild import differences
from tests.stack import TestInfra, fresh_database
from tests.toy_saga import (
    CONTRACT,
    FLOWS,
    NOW,
    Count,
    LeftDone,
    StartedHandler,
    Ticked,
    ToyEvent,
    Wire,
    create_tables,
    participant,
    schema_of,
    table_store,
)
from tests.toy_saga import FLOW as TOY

(FLOW,) = FLOWS
OLD_FLOWS = Flows(replace(FLOW, versions={1: FLOW.versions[1]}))
NOTE = {"name": "note", "type": ["null", "string"], "default": None}
EVOLVED = schema_of("Ticked", fields=[*schema_of("Ticked")["fields"], NOTE])
NEW_CONTRACT = Contract(
    CONTRACT.event_types, {**CONTRACT.schemas, "Ticked": EVOLVED}, [CONTRACT.schemas]
)


@dataclass
class Replica:
    """A counter of one release, on the database of all."""

    engine: Engine
    codec: Codec
    router: Router

    def __post_init__(self) -> None:
        database = PostgresDatabase(self.engine, table_store(), lambda: NOW)
        self.handler: Handler[Count] = StartedHandler(
            participant(table_store()), database, self.router, self.codec, lambda: NOW
        )
        self.auto_redrive = AutoRedrive(self.engine, self.codec, self.router, self.handler.redrive)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def replicas(engine: Engine) -> tuple[Replica, Replica]:
    """The old one and the new one."""
    create_tables(engine)
    old = Replica(engine, Codec(CONTRACT), Router(OLD_FLOWS, "counter"))
    return old, Replica(engine, Codec(NEW_CONTRACT), Router(FLOWS, "counter"))


def parked(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT code FROM parked ORDER BY id")).scalars())


def words(engine: Engine, saga: str = "toy/a") -> list[str]:
    with engine.connect() as connection:
        query = text("SELECT words FROM counts WHERE saga = :saga")
        found = connection.execute(query, {"saga": saga})
        return list(found.scalar() or [])


def test_events_of_a_newer_schema_and_flow_wait_for_a_replica_that_knows_them(
    engine: Engine, replicas: tuple[Replica, Replica]
) -> None:
    old, new = replicas
    today, before = Wire(new.codec), Wire(old.codec)
    before._offset = 100
    records = [
        before.record(Ticked("a", "one"), 1, flow="toy/1"),
        today.record(Ticked("a", "two"), 2, flow="toy/1"),
        before.record(LeftDone("b", "three"), 1, flow="toy/2"),
        before.record(Ticked("b", "four"), 2, flow="toy/2"),
    ]
    old.handler.handle([decode_message(old.codec, r) for r in records])
    assert (words(engine), parked(engine)) == (
        ["one"],
        ["unknown_schema", "unknown_flow", "unknown_flow"],
    )
    assert old.auto_redrive.redrive_known() == [], "it knows no better than before"
    assert new.auto_redrive.redrive_known() == ["toy/a", "toy/b"]
    assert (words(engine), words(engine, "toy/b")) == (["one", "two"], ["do", "four"])
    assert parked(engine) == []
    assert new.auto_redrive.redrive_known() == []


def test_an_event_of_an_unknown_flow_waits_for_a_replica_that_knows_it(
    engine: Engine, replicas: tuple[Replica, Replica]
) -> None:
    old, new = replicas
    record = Wire(old.codec).record(LeftDone("a", "x"), 1, flow="toy/2")
    old.handler.handle([decode_message(old.codec, record)])
    assert parked(engine) == ["unknown_flow"]
    assert new.auto_redrive.redrive_known() == ["toy/a"]
    assert (words(engine), parked(engine)) == (["do"], [])


def test_a_record_that_no_replica_understands_stays_parked_and_is_tried_once(
    engine: Engine, replicas: tuple[Replica, Replica]
) -> None:
    _, new = replicas
    foreign = Contract(CONTRACT.event_types, {**CONTRACT.schemas, "Ticked": STRANGE})
    for codec, flow in ((Codec(foreign), "toy/1"), (new.codec, "toy/99")):
        wire = Wire(codec)
        wire._offset = 10 * len(flow)
        record = wire.record(Ticked(f"o-{flow}", "x"), 1, flow=flow)
        new.handler.handle([decode_message(new.codec, record)])
    assert sorted(parked(engine)) == ["unknown_flow", "unknown_schema"]
    assert new.auto_redrive.redrive_known() == []
    assert len(new.auto_redrive._patience.resting()) == 2
    assert new.auto_redrive.redrive_known() == []
    assert len(parked(engine)) == 2


STRANGE = schema_of("Ticked", fields=[*schema_of("Ticked")["fields"], {**NOTE, "name": "odd"}])


def test_a_row_kept_before_a_field_was_added_is_the_one_rebuilt_with_its_default(
    infra: TestInfra,
) -> None:
    """Old code does not write a field at all that new code writes as null."""
    kept, *others = (
        {"facts": {"lines": [{"sku": "tea"}]}},
        {"facts": {"lines": [{"sku": "tea", "note": None}], "card": None}},
        {"facts": {"lines": [{"sku": "tea", "note": ""}], "card": None}},
    )
    table = Table("kept", MetaData(), Column("id", Text, primary_key=True), Column("row", JSONB))
    engines = [engine_for(fresh_database(infra)) for _ in range(3)]
    for engine, row in zip(engines, (kept, *others), strict=True):
        table.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(table.insert(), {"id": "a", "row": row})
    live, same, other = engines
    assert differences(table, live, same) == []
    assert len(differences(table, live, other)) == 1
    for engine in engines:
        engine.dispose()


# --- another contract -----------------------------------------------------------------------------


class Found(ToyEvent):
    """An event of another contract on the topic that all contracts share."""

    type, owner = "Found", "saga"


OTHER = Contract({Found.type: Found}, {Found.type: schema_of(Found.type)})


def test_an_event_of_an_unknown_contract_waits_for_a_replica_that_knows_it(engine: Engine) -> None:
    """Given two replicas, of which one knows a second contract; when an event of that comes; then
    the first parks it as an unknown schema, and the second handles it."""
    create_tables(engine)
    both = join(CONTRACT, OTHER)
    observing = load(
        TOY.replace('counter = ["Ticked"]', 'counter = ["Ticked", "Found"]'), both.owners
    )
    first = Replica(engine, Codec(CONTRACT), Router(FLOWS, "counter"))
    second = Replica(engine, Codec(both), Router(Flows(observing), "counter"))
    record = Wire(second.codec).record(Found("a", "found"), 1, flow="toy/1")
    first.handler.handle([decode_message(first.codec, record)])
    assert (words(engine), parked(engine)) == ([], ["unknown_schema"])
    assert first.auto_redrive.redrive_known() == []
    assert second.auto_redrive.redrive_known() == ["toy/a"]
    assert (words(engine), parked(engine)) == (["found"], [])
