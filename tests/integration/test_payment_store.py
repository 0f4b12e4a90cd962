"""Payment's table in a real PostgreSQL: every state the decisions know comes back as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

import services.payment
from sagakit.decider import Observed
from sagakit.store.connections import Connections
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from services.payment.store import store
from tests.unit.services.test_payment import MATRIX


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_for(database_url)
    migrate(made, Path(services.payment.__file__).parent / "migrations")
    yield made
    made.dispose()


def test_states_come_back_as_they_were_saved(engine: Engine) -> None:
    states = {f"order: {name} 🦆": MATRIX.given(name).state for name in MATRIX.states}
    payments = store()
    for _ in range(2):  # inserted, then updated
        with Connections(engine).use() as connection:
            working = payments.load(connection, {})
            for key, state in states.items():
                working.put(key, state, ())
            working.save(connection)
    with Connections(engine).use() as connection:
        working = payments.load(connection, {key: [Observed("read", None)] for key in states})
    assert {key: working.get(key) for key in states} == states
