"""PostgreSQL notes a webhook that is too early: its first delivery, and how many there were."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

import services.payment
from sagakit.handling.waiters import SagaWaiters
from sagakit.service.definition import NOTED_FOR, TriggerSubmitter
from sagakit.store.migrate import migrate
from sagakit.store.postgres import PostgresDatabase, engine_for
from sagakit.testing import NOW
from services.payment.service import participant
from services.payment.store import store

EVENT, OTHER = UUID(int=1), UUID(int=2)
NOTES = text("SELECT id, saga, deliveries FROM early_webhook ORDER BY id")
AGE = text("UPDATE early_webhook SET first_at = first_at - :by WHERE id = :id")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_for(database_url)
    migrate(made, Path(services.payment.__file__).parent / "migrations")
    yield made
    made.dispose()


def noted(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(NOTES)]


def test_the_time_counts_from_the_first_delivery_in_any_process(engine: Engine) -> None:
    """Given a report that was delivered hours ago; when it is delivered to a replica that has just
    started; then that one knows since when, and what is older than its term is forgotten."""

    def early_for(message_id: UUID) -> timedelta:
        database = PostgresDatabase(engine, store(), lambda: NOW)
        nobody = cast(Any, None)  # nothing is handled
        submitter = TriggerSubmitter(participant(), database, nobody, SagaWaiters())
        return asyncio.run(submitter.early_for("order/never was", message_id))

    assert early_for(EVENT) < timedelta(minutes=1)
    with engine.begin() as connection:
        connection.execute(AGE, {"by": timedelta(hours=7), "id": EVENT})
    assert early_for(EVENT) >= timedelta(hours=7)
    assert early_for(OTHER) < timedelta(minutes=1)
    assert noted(engine) == [(EVENT, "order/never was", 2), (OTHER, "order/never was", 1)]
    with engine.begin() as connection:
        connection.execute(AGE, {"by": NOTED_FOR, "id": EVENT})
    early_for(OTHER)
    assert noted(engine) == [(OTHER, "order/never was", 2)]
