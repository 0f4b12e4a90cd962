"""Runs the hot statements by psycopg alone, on connections of their own."""

import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event, exc

from sagakit.failures import Failure, failure_of
from sagakit.store.error_texts import hide_data

Connection = psycopg.Connection[tuple[Any, ...]]
_SQL = Path(__file__).parent / "sql"


def sql_text(name: str, **parts: str) -> str:
    """Return the text of `sql/<name>.sql`, with `{parts}` replaced."""
    text = (_SQL / f"{name}.sql").read_text()
    for part, replacement in parts.items():
        text = text.replace(f"{{{part}}}", replacement)
    return text


class Connections:
    """Keeps open connections of an engine's database; the one used last is given out first.

    Each statement commits by itself, unless it stands between BEGIN and COMMIT. So a lone statement
    is one round trip. Errors are raised as SQLAlchemy raises them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: list[Connection] = []
        event.listen(engine, "engine_disposed", lambda _: self.close())

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Lend a connection; an open transaction is rolled back."""
        connection = self._take()
        try:
            yield connection
        except psycopg.Error as error:
            hide_data(error)
            if failure_of(error) is Failure.LOST:
                connection.close()
                self._engine.dispose()  # and `close`: the others lead to the same server
            raise exc.DBAPIError.instance(
                "", None, error, psycopg.Error, hide_parameters=True
            ) from error
        finally:
            self._give_back(connection)

    def _take(self) -> Connection:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                if _is_quiet(connection := self._idle.pop()):
                    return connection
                connection.close()
        lent = self._engine.raw_connection()
        connection = cast(Connection, lent.driver_connection)
        lent.detach()
        connection.autocommit = True
        connection.prepare_threshold = 0
        return connection

    def _give_back(self, connection: Connection) -> None:
        status = connection.info.transaction_status
        if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            with suppress(psycopg.Error):
                connection.rollback()
        if connection.info.transaction_status is TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()


def _is_quiet(connection: Connection) -> bool:
    """Tell whether nothing has arrived on an idle connection: else the server has closed it."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)
