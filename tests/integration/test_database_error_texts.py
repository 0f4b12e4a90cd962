"""No text of a database error holds what was written, in the log or elsewhere."""

import logging
import sys
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
import structlog
from sqlalchemy import Engine, exc, text

from sagakit.store.connections import Connections
from sagakit.store.postgres import engine_for
from sagakit.telemetry import logs

ADDRESS = "ada@customer.example"
FAULTS = {
    "a row that breaks a check": "INSERT INTO people VALUES (:mail, -1)",
    "a row that is there": "INSERT INTO people VALUES (:mail, 1), (:mail, 1)",
    "a value that is no number": "SELECT CAST(CAST(:mail AS text) AS integer)",
    "JSON that is none": "SELECT CAST(CAST(:mail AS text) AS jsonb)",
    "a function that raises": "SELECT refuse(:mail)",
}
SCHEMA = """
CREATE TABLE people (mail text PRIMARY KEY, age int CONSTRAINT people_age CHECK (age > 0));
CREATE FUNCTION refuse(mail text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused' USING DETAIL = mail; END $$;
"""
Run = Callable[[Engine, str], None]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_for(database_url)
    with made.begin() as connection:
        connection.execute(text(SCHEMA))
    yield made
    made.dispose()


def by_engine(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), {"mail": ADDRESS})


def by_psycopg(engine: Engine, statement: str) -> None:
    with Connections(engine).use() as connection:
        connection.execute(statement.replace(":mail", "%(mail)s").encode(), {"mail": ADDRESS})


@pytest.mark.parametrize("run", [by_engine, by_psycopg])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_database_error_is_logged_without_the_data(
    engine: Engine, fault: str, run: Run, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a log as a process has it, and a statement with an address that fails
    handlers, former, written = logging.getLogger().handlers, structlog.get_config(), StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    try:
        logs.configure(json=as_json, participant="shop")
        # When the error is logged with its traceback, as what nobody expected is
        with pytest.raises(exc.DBAPIError) as failed:
            run(engine, FAULTS[fault])
        structlog.get_logger("x").error("failed", exc_info=failed.value, error=str(failed.value))
    finally:
        logging.getLogger().handlers = handlers
        structlog.configure(**former)
    # Then it says what failed, and the address is nowhere
    assert failed.value.orig is not None
    assert type(failed.value.orig).__name__ in written.getvalue()
    assert ADDRESS not in written.getvalue()
    assert ADDRESS not in f"{failed.value} {failed.value.orig}"


def test_what_was_broken_is_named(engine: Engine) -> None:
    with pytest.raises(exc.IntegrityError, match=r"CheckViolation \(23514\) at people_age"):
        by_engine(engine, FAULTS["a row that breaks a check"])
