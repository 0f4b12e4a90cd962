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


def claim(keys: IdempotencyKeys, key: str, digest: str, now: datetime = NOW) -> bool:
    (bound,) = keys.claim([(key, digest)], now)
    return bound


def test_a_key_belongs_to_the_first_request_for_thirty_days(engine: Engine) -> None:
    keys = IdempotencyKeys(engine)
    assert claim(keys, "k", "one")
    assert claim(keys, "k", "one", NOW + timedelta(days=1))
    assert not claim(keys, "k", "another", NOW + timedelta(days=29))
    assert claim(keys, "k", "another", NOW + timedelta(days=31))
    assert not claim(keys, "k", "one", NOW + timedelta(days=31))


def test_of_many_at_once_one_request_gets_the_key(engine: Engine) -> None:
    keys = IdempotencyKeys(engine)
    for i in range(50):
        claim(keys, f"old-{i}", "old", NOW - timedelta(days=31))
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda i: claim(keys, "k", f"request-{i}"), range(40))) == 1


def test_requests_that_claim_together_are_judged_one_by_one(engine: Engine) -> None:
    """Given a bound key, when several are claimed at once, then each is told of its own.

    Two who claim the same keys at the same time, in another sequence, do not block each other.
    """
    keys = IdempotencyKeys(engine)
    assert claim(keys, "k-1", "one")
    asked = [("k-1", "another"), ("k-2", "one"), ("k-1", "one"), ("k-2", "another")]
    bound = keys.claim(asked, NOW)
    assert (bound[0], bound[2]) == (False, True)
    assert sorted([bound[1], bound[3]]) == [False, True]
    many = [(f"m-{n}", "same") for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda n: keys.claim(many[n:] + many[:n], NOW), range(20))
        assert all(all(one) for one in found)
