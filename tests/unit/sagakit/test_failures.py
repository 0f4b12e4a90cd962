"""What fails is passing, final, or of the record: each row of the table, as its caller meets it."""

import threading
from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka import KafkaError
from sqlalchemy import exc

from sagakit.errors import RegistryUnavailable
from sagakit.failures import (
    HTTP_STATUSES,
    KAFKA_ERRORS,
    SMTP_CODES,
    SQLSTATES,
    WAITED_FOR,
    Failure,
    failure_of,
    of_http,
    of_kafka,
    of_smtp,
    of_sqlstate,
)
from sagakit.retry import VISIBLE_S, OngoingRetries, is_refused, retry_transaction, retry_with_less

NAMES = {
    "ReadOnlySqlTransaction": Failure.LOST,
    "IdleInTransactionSessionTimeout": Failure.LOST,
    "IdleSessionTimeout": Failure.LOST,
    "AdminShutdown": Failure.LOST,
    "CannotConnectNow": Failure.LOST,
    "ConnectionFailure": Failure.LOST,
    "FeatureNotSupported": Failure.LOST,
    "QueryCanceled": Failure.SLOW,
    "DeadlockDetected": Failure.PASSING,
    "SerializationFailure": Failure.PASSING,
    "LockNotAvailable": Failure.PASSING,
    "DiskFull": Failure.PASSING,
    "TooManyConnections": Failure.PASSING,
    "IoError": Failure.PASSING,
    "InsufficientPrivilege": Failure.PASSING,
    "InvalidPassword": Failure.PASSING,
    "NumericValueOutOfRange": Failure.RECORD,
    "DatetimeFieldOverflow": Failure.RECORD,
    "UniqueViolation": Failure.RECORD,
    "ProgramLimitExceeded": Failure.RECORD,
    "UndefinedTable": Failure.FINAL,
    "UndefinedColumn": Failure.FINAL,
    "SyntaxError": Failure.FINAL,
    "InvalidSqlStatementName": Failure.FINAL,
    "DataCorrupted": Failure.FINAL,
}


def wrapped(error: psycopg.Error) -> BaseException:
    """As SQLAlchemy hands on what psycopg raises."""
    return exc.DBAPIError.instance("INSERT", None, error, psycopg.Error)


@pytest.mark.parametrize(("name", "failure"), NAMES.items())
def test_an_error_of_the_database_is_told_by_its_sqlstate(name: str, failure: Failure) -> None:
    error = getattr(psycopg.errors, name)("no")
    assert failure_of(wrapped(error)) is failure_of(error) is failure
    assert is_refused(error) is (failure is Failure.RECORD)


@pytest.mark.parametrize(("state", "failure"), SQLSTATES.items())
def test_every_row_of_the_table_is_what_its_errors_are(state: str, failure: Failure) -> None:
    classes = [
        found
        for found in vars(psycopg.errors).values()
        if isinstance(own := getattr(found, "sqlstate", None), str)
        and own.startswith(state)
        and (own in SQLSTATES) is (own == state)
    ]
    assert classes, "psycopg knows errors of this row"
    for found in classes:
        assert failure_of(wrapped(found("no"))) is failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (wrapped(psycopg.OperationalError("connection refused")), Failure.LOST),
        (wrapped(psycopg.InterfaceError("the connection is closed")), Failure.LOST),
        (exc.DisconnectionError("gone"), Failure.LOST),
        (exc.TimeoutError("QueuePool limit reached"), Failure.PASSING),
        (RegistryUnavailable("503"), Failure.PASSING),
        (wrapped(psycopg.DataError("NUL in a text")), Failure.RECORD),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), Failure.RECORD),
        (exc.StatementError("bind", "INSERT", None, ValueError("year 0")), Failure.RECORD),
        (wrapped(psycopg.ProgrammingError("cannot adapt type")), Failure.FINAL),
        (LookupError("no such kind"), Failure.FINAL),
    ],
)
def test_an_error_without_sqlstate_is_told_by_its_class(
    error: BaseException, failure: Failure
) -> None:
    assert failure_of(error) is failure


def test_a_state_that_nobody_knows_is_final() -> None:
    assert of_sqlstate("XX000") is of_sqlstate("ZZ999") is Failure.FINAL


@pytest.mark.parametrize(
    ("classify", "table", "least"), [(of_http, HTTP_STATUSES, 300), (of_smtp, SMTP_CODES, 400)]
)
def test_every_answer_has_its_failure(
    classify: Callable[[int], Failure | None], table: dict[int, Failure], least: int
) -> None:
    for number in range(100, 1000):
        failure = classify(number)
        known = table.get(number, table.get(number - number % 100, Failure.FINAL))
        assert failure is (None if number < least else known)
    assert classify(503 if least == 300 else 421) is Failure.PASSING
    assert classify(401 if least == 300 else 535) is Failure.FINAL
    assert classify(422 if least == 300 else 554) is Failure.RECORD


@pytest.mark.parametrize(("name", "failure"), KAFKA_ERRORS.items())
def test_an_error_of_kafka_is_told_by_its_name(name: str, failure: Failure) -> None:
    assert of_kafka(KafkaError(getattr(KafkaError, name)).name()) is failure
    assert of_kafka("_ALL_BROKERS_DOWN") in WAITED_FOR


def failing(*errors: psycopg.Error) -> Callable[[int], int]:
    """Work that fails once with each error, and then returns how many rows it was given."""
    left = list(errors)

    def work(rows: int) -> int:
        if left:
            raise wrapped(left.pop(0))
        return rows

    return work


def test_work_that_takes_too_long_is_halved_and_other_work_is_not() -> None:
    slow = [psycopg.errors.QueryCanceled("statement timeout")] * 3
    assert retry_with_less(failing(*slow), 100, threading.Event()) == 12
    assert retry_with_less(failing(*slow), 2, threading.Event()) == 1, "one row is waited for"
    assert retry_with_less(failing(psycopg.errors.DiskFull("")), 100, threading.Event()) == 100
    with pytest.raises(exc.ProgrammingError):
        retry_with_less(failing(psycopg.errors.UndefinedTable("")), 100, threading.Event())


def test_a_wait_is_a_problem_after_its_bound_and_until_it_is_over() -> None:
    now_s = 0.0
    waits = OngoingRetries(lambda: now_s)
    waits.note("a", ValueError("first"))
    now_s = VISIBLE_S - 1
    assert waits.problem() is None
    waits.note("a", ValueError("again"))
    waits.note("b", ValueError("later"))
    now_s = VISIBLE_S + 2
    assert waits.longest() == (VISIBLE_S + 2, "ValueError: again")
    assert "12 s: ValueError: again" in (waits.problem() or "")
    waits.over("a")
    assert waits.problem() is None
    waits.over("b")
    assert waits.longest() == (0.0, "")


def test_a_transaction_waits_only_while_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, seen = OngoingRetries(lambda: 0.0), []
    monkeypatch.setattr("sagakit.retry.WAITS", waits)
    errors = [psycopg.errors.ReadOnlySqlTransaction("failover")]

    def work() -> None:
        seen.append(waits.longest()[1])
        if errors:
            raise wrapped(errors.pop())

    retry_transaction(work, threading.Event())
    assert seen[0] == ""
    assert "ReadOnlySqlTransaction" in seen[1]
    assert waits.longest()[1] == ""
