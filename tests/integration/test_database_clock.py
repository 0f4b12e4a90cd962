"""Due times and leases are in the time of the database, whatever clock a process has."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from sagakit.store.database_clock import DatabaseClock
from sagakit.store.postgres import engine_for


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("hours", [1, -1, 24 * 365])
def test_a_clock_that_is_off_tells_the_time_of_the_database(engine: Engine, hours: int) -> None:
    """Given a process whose clock is wrong; when it has asked the database; then its time is that
    of the database, which has this machine's clock, within what the question took."""
    clock = DatabaseClock(engine, lambda: datetime.now(UTC) + timedelta(hours=hours))
    assert abs(clock() - datetime.now(UTC)) >= timedelta(minutes=59)
    began = datetime.now(UTC)
    clock.compare()
    took = datetime.now(UTC) - began
    assert abs(clock() - datetime.now(UTC)) <= took + timedelta(milliseconds=50)


def test_a_clock_that_is_right_is_left_as_it_is(engine: Engine) -> None:
    clock = DatabaseClock(engine, lambda: datetime.now(UTC))
    clock.compare()
    before = datetime.now(UTC)
    assert before <= clock() <= datetime.now(UTC)
