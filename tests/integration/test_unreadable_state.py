"""A row of one saga that this code cannot read, as a release that was rolled back leaves it."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from sagakit.decider import Callback
from sagakit.errors import UnreadableState
from sagakit.flow.routing import Router
from sagakit.handling.parking import decode_message
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message
from sagakit.store.postgres import PostgresDatabase, engine_for
from sagakit.store.state_table import TableStore
from tests.integration.test_auto_redrive import Replica, parked, words
from tests.toy_saga import (
    CONTRACT,
    COUNTS,
    FLOWS,
    NOW,
    Count,
    StartedHandler,
    Ticked,
    Wire,
    create_tables,
    participant,
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def replica(engine: Engine) -> Replica:
    """A counter that cannot read the row of `a`, of which it has handled one event."""
    create_tables(engine)
    replica = strict(engine)
    handle(replica, ("a", "one", 1))
    write(engine, "{held}")
    return strict(engine)


def known(words: list[str]) -> tuple[str, ...]:
    if "held" in words:
        raise ValueError("'held' is not a valid word")
    return tuple(words)


def strict(engine: Engine) -> Replica:
    store = TableStore(COUNTS, Count, {"words": known})
    replica = Replica(engine, Codec(CONTRACT), Router(FLOWS, "counter"))
    replica.handler = StartedHandler(
        participant(store),
        PostgresDatabase(engine, store, lambda: NOW),
        replica.router,
        replica.codec,
        lambda: NOW,
    )
    return replica


def write(engine: Engine, words: str) -> None:
    with engine.begin() as connection:
        query = text("UPDATE counts SET words = CAST(:words AS text[]) WHERE saga = 'toy/a'")
        connection.execute(query, {"words": words})


def handle(replica: Replica, *events: tuple[str, str, int]) -> None:
    wire = Wire(replica.codec)
    wire._offset = 10 * events[0][2]
    records = [wire.record(Ticked(saga, word), n, flow="toy/1") for saga, word, n in events]
    replica.handler.handle([decode_message(replica.codec, record) for record in records])


@pytest.mark.parametrize("together", [True, False])
def test_its_records_are_parked_and_all_other_sagas_go_on(
    engine: Engine, replica: Replica, together: bool
) -> None:
    # When records of that saga and of another one come, in one batch or one after the other
    events = (("a", "two", 2), ("b", "four", 1))
    for some in (events,) if together else [(event,) for event in events]:
        handle(replica, *some)
    # Then the first is parked with the reason, and the other saga goes on
    assert parked(engine) == ["unreadable_state"]
    assert words(engine, "toy/b") == ["four"]
    with engine.connect() as connection:
        error = str(connection.execute(text("SELECT error FROM parked")).scalar_one())
    assert error.startswith("the row of toy/a in the table counts is no state that this code knows")
    # And once the row is correct, its records are handled in order
    handle(replica, ("a", "three", 3))
    assert parked(engine) == ["unreadable_state", "queued"]
    write(engine, "{one}")
    replica.handler.redrive("toy/a")
    assert (words(engine), parked(engine)) == (["one", "two", "three"], [])


def test_a_report_of_it_is_refused_with_the_reason_and_kept_by_nobody(replica: Replica) -> None:
    report = Message(uuid4(), "toy/a", trigger=Callback("four"))
    with pytest.raises(UnreadableState, match="run the code that wrote it, or correct the row"):
        replica.handler.handle([report])
