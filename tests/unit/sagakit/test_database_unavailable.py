"""A database without room, without connections or gone: tried again, and told to who asks."""

import threading

import pytest
from fastapi import APIRouter
from psycopg import errors
from sqlalchemy import exc

from sagakit.errors import RequestTimedOut
from sagakit.retry import is_refused, is_transient, retry_transaction
from sagakit.web.app import RETRY_AFTER_S, make_app
from sagakit.web.identity.requires import open_to_all
from tests.in_memory_app import ask


def raised(error: Exception) -> exc.DBAPIError:
    """As SQLAlchemy hands on what psycopg raises."""
    made = exc.DBAPIError.instance("INSERT", None, error, errors.Error)
    assert isinstance(made, exc.DBAPIError)
    return made


@pytest.mark.parametrize(
    "error",
    [
        errors.InsufficientResources,  # 53000
        errors.DiskFull,
        errors.OutOfMemory,
        errors.TooManyConnections,
        errors.IoError,
        errors.CannotConnectNow,
        errors.CrashShutdown,
        errors.DeadlockDetected,
    ],
)
def test_a_transient_error_is_tried_again(error: type[errors.Error]) -> None:
    attempts = iter([raised(error("no")), raised(error("no"))])

    def work() -> str:
        for failure in attempts:
            raise failure
        return "stored"

    assert is_transient(raised(error("no")))
    assert not is_refused(raised(error("no")))
    assert retry_transaction(work, threading.Event()) == "stored"


@pytest.mark.parametrize(
    "error", [errors.ProgramLimitExceeded, errors.UndefinedTable, errors.UniqueViolation]
)
def test_a_permanent_error_is_not_transient(error: type[errors.Error]) -> None:
    assert not is_transient(raised(error("no")))


def test_the_caller_decides_how_often_a_transient_error_is_tried_again() -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        raise raised(errors.DiskFull("no room"))

    with pytest.raises(exc.OperationalError):
        retry_transaction(work, threading.Event(), lambda _: len(calls) < 3)
    assert len(calls) == 3


@pytest.mark.parametrize(
    "error",
    [
        raised(errors.DiskFull("could not extend file")),
        raised(errors.InterfaceError("the connection is closed")),
        exc.TimeoutError("QueuePool limit of size 15 overflow 15 reached"),
        RequestTimedOut("not handled within 10 s"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_request_without_a_database_is_answered_with_503_and_retry_after(
    error: Exception,
) -> None:
    router = APIRouter(dependencies=open_to_all("a test"))

    @router.get("/orders")
    def orders() -> None:
        raise error

    app = make_app("shop", {}, router)
    answer = ask(app, "GET", "/orders", raise_app_exceptions=False)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == str(RETRY_AFTER_S)
    assert answer.json()["title"] == (
        "not handled in time" if isinstance(error, RequestTimedOut) else "database unavailable"
    )
    assert "could not extend" not in answer.text, "what the database says is for the log"
