"""Idempotency-Keys in a real PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

import services.order
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from services.order.store import IdempotencyKeys

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_for(database_url)
    migrate(made, Path(services.order.__file__).parent / "migrations")
    yield made
    made.dispose()


def test_a_key_belongs_to_the_first_request_for_thirty_days(engine: Engine) -> None:
    keys = IdempotencyKeys(engine)
    assert keys.claim("k", "one", NOW)
    assert keys.claim("k", "one", NOW + timedelta(days=1))
    assert not keys.claim("k", "another", NOW + timedelta(days=29))
    assert keys.claim("k", "another", NOW + timedelta(days=31))
    assert not keys.claim("k", "one", NOW + timedelta(days=31))


def test_of_many_at_once_one_request_gets_the_key(engine: Engine) -> None:
    keys = IdempotencyKeys(engine)
    for i in range(50):
        keys.claim(f"old-{i}", "old", NOW - timedelta(days=31))

    def claim(i: int) -> bool:
        return keys.claim("k", f"request-{i}", NOW)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(40))) == 1
