"""A consumer whose database is there and does not help: it waits, and what waited is counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sagakit import failures
from sagakit.retry import WAITS
from tests.integration.test_consumer_loop import Place, Replica
from tests.stack import TestInfra, until

ROLE = "counter_of_the_test"
ENDING = ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout")
"""Settings that end a statement, or the whole session."""
COUNTED = "SELECT coalesce(sum(array_length(words, 1)), 0) FROM counts"
SLOW_ROWS = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.01); RETURN new; END $$;
    CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON counts FOR EACH ROW EXECUTE FUNCTION slow()
"""
"""Ten milliseconds a saga: twelve of them take longer than the timeout of the test."""


@pytest.fixture
def place(infra: TestInfra, database_url: str, topic_prefix: str) -> Iterator[Place]:
    """The counter with a database and a topic of its own."""
    place = Place(infra, database_url, topic_prefix)
    yield place
    place.engine.dispose()


@pytest.fixture
def owner(place: Place) -> Iterator[psycopg.Connection[Any]]:
    """A session of the server's owner, whom no trouble of this test reaches."""
    with psycopg.connect(place.url, autocommit=True) as session:
        session.execute("SET default_transaction_read_only = off")
        for name in ENDING:
            session.execute(f"SET {name} = 0")
        yield session


@contextmanager
def consuming(place: Place, url: str | None = None) -> Iterator[Replica]:
    """A consumer, which has to be alive at the end."""
    if url is not None:
        place.url = url
    replica = Replica(place)
    try:
        yield replica
        assert replica.alive, replica.error
    finally:
        replica.ends()


@contextmanager
def setting(owner: psycopg.Connection[Any], name: str, value: str) -> Iterator[None]:
    """A setting of the whole server, which open sessions take on as well."""
    owner.execute(
        sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
    )
    owner.execute("SELECT pg_reload_conf()")
    try:
        until(
            lambda: (
                owner.execute(
                    "SELECT reset_val = %s FROM pg_settings WHERE name = %s", (value, name)
                ).fetchone()
                == (True,)
            ),
            f"{name} is {value}",
        )
        yield
    finally:
        owner.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
        owner.execute("SELECT pg_reload_conf()")


def waits_for(error: str) -> None:
    """Wait until work of this process is tried again after such an error."""
    until(lambda: error in WAITS.longest()[1], f"a wait for {error}")


def test_a_database_that_becomes_read_only_is_waited_for_on_new_connections(
    place: Place, owner: psycopg.Connection[Any]
) -> None:
    place.publish(*place.ticks(24))
    with consuming(place) as replica:
        until(lambda: place.counted() == 24, "counted before")
        before = {conn.info.backend_pid for conn in _database(replica).connections._idle}
        with setting(owner, "default_transaction_read_only", "on"):
            place.publish(*place.ticks(24, "x"))
            waits_for("ReadOnlySqlTransaction")
            assert place.counted() == 24
        until(lambda: place.counted() == 48, "counted afterwards")
        alive = {conn.info.backend_pid for conn in _database(replica).connections._idle}
        assert before
        assert not before & alive, "the connections to the former primary are closed"
    assert place.parked() == []


def test_a_right_that_was_revoked_is_waited_for(
    place: Place, owner: psycopg.Connection[Any]
) -> None:
    role = sql.Identifier(ROLE)
    password = sql.Literal(owner.info.password)
    owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
    owner.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(role))
    owner.execute(sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}").format(role))
    user = owner.info.user
    try:
        place.publish(*place.ticks(12))
        with consuming(place, place.url.replace(f"//{user}", f"//{ROLE}", 1)):
            until(lambda: place.counted() == 12, "counted before")
            owner.execute(sql.SQL("REVOKE INSERT, UPDATE ON inbox FROM {}").format(role))
            place.publish(*place.ticks(12, "x"))
            waits_for("InsufficientPrivilege")
            owner.execute(sql.SQL("GRANT INSERT, UPDATE ON inbox TO {}").format(role))
            until(lambda: place.counted() == 24, "counted afterwards")
    finally:
        owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
        owner.execute(sql.SQL("DROP ROLE {}").format(role))
    assert place.parked() == []


def all_counted(owner: psycopg.Connection[Any], number: int) -> None:
    """Wait until the tables hold so many ticks."""
    until(lambda: owner.execute(COUNTED).fetchone() == (number,), f"{number} are counted")


@pytest.mark.parametrize("name", ["statement_timeout", "transaction_timeout"])
def test_a_batch_that_takes_too_long_is_halved(
    name: str, place: Place, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(SLOW_ROWS)
    place.publish(*place.ticks(120))
    with setting(owner, name, "100"), consuming(place) as replica:
        all_counted(owner, 120)
        assert min(replica.batches) < max(replica.batches)
    assert place.parked() == []


def test_a_session_that_the_server_ends_is_a_lost_connection(
    place: Place, owner: psycopg.Connection[Any]
) -> None:
    """A machine with other work may never be quick enough for a timeout of a millisecond, so that
    ends when it has hit."""
    ended = "IdleInTransactionSessionTimeout"
    everything = (21 * 24,)
    place.publish(*place.ticks(24))
    with consuming(place):
        with setting(owner, "idle_in_transaction_session_timeout", "1"):
            for n in range(20):
                place.publish(*place.ticks(24, f"{n}-"))
            until(
                lambda: (
                    ended in WAITS.longest()[1] or owner.execute(COUNTED).fetchone() == everything
                ),
                "a session was ended, or none was slow enough",
            )
        all_counted(owner, *everything)
    assert place.parked() == []


def test_without_its_row_in_the_table_the_read_only_database_ends_the_consumer(
    place: Place, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(failures.SQLSTATES, "25006", failures.Failure.FINAL)
    place.publish(*place.ticks(12))
    replica = Replica(place)
    until(lambda: place.counted() == 12, "counted before")
    with setting(owner, "default_transaction_read_only", "on"):
        place.publish(*place.ticks(12, "x"))
        until(lambda: not replica.alive, "the consumer ends")
    assert "ReadOnlySqlTransaction" in str(replica.error)


def _database(replica: Replica) -> Any:
    return replica._handler._database
