"""Tells failures of the outside apart: passing, final, or of one record. The table for all of it.

A passing failure is waited for, whatever it stops meanwhile. A failure of a record comes again with
that record alone, so the record is set aside. A final one comes again with everything, until
a person changes code or settings.
"""

from collections.abc import Mapping
from enum import StrEnum

import psycopg
from sqlalchemy import exc

from sagakit.errors import RegistryUnavailable


class Failure(StrEnum):
    """Says what a failure asks for. LOST and SLOW are passing, with a condition."""

    PASSING = "passing"
    """Wait, then do the same again."""
    LOST = "lost"
    """As PASSING, but on a new connection: this one leads to a server that cannot help."""
    SLOW = "slow"
    """As PASSING, but do less at once: the same amount would take too long again."""
    RECORD = "of the record"
    """Set this record aside; others succeed."""
    FINAL = "final"
    """Stop, and say what a person has to change."""


WAITED_FOR = frozenset({Failure.PASSING, Failure.LOST, Failure.SLOW})
"""The failures that a retry can get past."""

SQLSTATES: Mapping[str, Failure] = {
    "08": Failure.LOST,  # connection exception; also what a pooler says of its server
    "0A000": Failure.LOST,  # a prepared statement is older than its table
    "22": Failure.RECORD,  # data exception
    "23": Failure.RECORD,  # integrity constraint
    "25006": Failure.LOST,  # read-only transaction: a primary that has become a standby
    "25P03": Failure.LOST,  # idle_in_transaction_session_timeout ended the session
    "25P04": Failure.SLOW,  # transaction_timeout ended the session
    "28": Failure.PASSING,  # login refused: a password is being changed
    "3D000": Failure.PASSING,  # no such database: it is being restored
    "40": Failure.PASSING,  # deadlock, serialization failure
    "42501": Failure.PASSING,  # rights revoked; another table would fail alike
    "53": Failure.PASSING,  # out of disk, memory or connections
    "54": Failure.RECORD,  # program limit, such as a text too long for an index
    "55": Failure.PASSING,  # object in use, lock_timeout
    "55P02": Failure.FINAL,  # a setting that cannot be changed
    "57": Failure.LOST,  # shutdown, pg_terminate_backend, idle_session_timeout
    "57014": Failure.SLOW,  # statement_timeout, or cancelled by a person
    "58": Failure.PASSING,  # I/O error of the server's machine
}
"""PostgreSQL's SQLSTATE, or its first two characters -> failure. Others are final.

https://www.postgresql.org/docs/current/errcodes-appendix.html"""

HTTP_STATUSES: Mapping[int, Failure] = {
    300: Failure.FINAL,  # a redirect: the address is another one
    400: Failure.RECORD,
    401: Failure.FINAL,  # the login is wrong
    403: Failure.FINAL,
    405: Failure.FINAL,  # this is another server
    407: Failure.FINAL,
    408: Failure.PASSING,
    425: Failure.PASSING,
    429: Failure.PASSING,
    500: Failure.PASSING,
    501: Failure.FINAL,
    505: Failure.FINAL,
}
"""Status of an HTTP answer, or its hundred -> failure. Below 300 nothing has failed."""

SMTP_CODES: Mapping[int, Failure] = {
    400: Failure.PASSING,
    500: Failure.RECORD,
    502: Failure.FINAL,  # command not implemented: this is another server
    503: Failure.FINAL,  # bad sequence of commands
    504: Failure.FINAL,  # parameter not implemented
    521: Failure.FINAL,  # takes nothing here
    530: Failure.FINAL,  # login or STARTTLS required
    534: Failure.FINAL,
    535: Failure.FINAL,  # the login is wrong
    538: Failure.FINAL,
}
"""Code of an SMTP reply, or its hundred -> failure. Below 400 nothing has failed."""

KAFKA_ERRORS: Mapping[str, Failure] = {
    "MSG_SIZE_TOO_LARGE": Failure.RECORD,
    "RECORD_LIST_TOO_LARGE": Failure.SLOW,
    "INVALID_RECORD": Failure.RECORD,
    "POLICY_VIOLATION": Failure.RECORD,
    "TOPIC_AUTHORIZATION_FAILED": Failure.PASSING,
    "GROUP_AUTHORIZATION_FAILED": Failure.PASSING,
    "CLUSTER_AUTHORIZATION_FAILED": Failure.PASSING,
    "UNSUPPORTED_VERSION": Failure.FINAL,
    "INVALID_CONFIG": Failure.FINAL,
    "_INVALID_ARG": Failure.FINAL,
    "_FATAL": Failure.LOST,
    "_FENCED": Failure.LOST,
    "FENCED_INSTANCE_ID": Failure.LOST,
}
"""Name of a Kafka error (`KafkaError.name()`) -> failure. Others pass: brokers come back."""


def of_sqlstate(state: str) -> Failure:
    """Return what an error of PostgreSQL is."""
    return SQLSTATES.get(state) or SQLSTATES.get(state[:2]) or Failure.FINAL


def of_http(status: int) -> Failure | None:
    """Return what an HTTP answer is, None if it is no failure."""
    return _of_number(HTTP_STATUSES, status, 300)


def of_smtp(code: int) -> Failure | None:
    """Return what an SMTP reply is, None if it is no failure."""
    return _of_number(SMTP_CODES, code, 400)


def of_kafka(name: str) -> Failure:
    """Return what an error of Kafka is."""
    return KAFKA_ERRORS.get(name, Failure.PASSING)


def _of_number(table: Mapping[int, Failure], number: int, least: int) -> Failure | None:
    if number < least:
        return None
    return table.get(number) or table.get(number - number % 100) or Failure.FINAL


_LOST = (
    exc.OperationalError,
    exc.InterfaceError,
    exc.DisconnectionError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)
_REFUSED = (exc.DataError, exc.IntegrityError, psycopg.DataError, ValueError)


def failure_of(error: BaseException) -> Failure:
    """Return what an error of the database or the schema registry is.

    An error without SQLSTATE is told by its class: the driver raises it, not the server.
    """
    if isinstance(error, RegistryUnavailable | exc.TimeoutError):
        return Failure.PASSING
    cause = error.orig if isinstance(error, exc.StatementError) else error
    if state := getattr(cause, "sqlstate", None):
        return of_sqlstate(state)
    if isinstance(error, _LOST) or isinstance(cause, _LOST):
        return Failure.LOST
    refused = isinstance(error, _REFUSED) or isinstance(cause, _REFUSED)
    return Failure.RECORD if refused else Failure.FINAL
