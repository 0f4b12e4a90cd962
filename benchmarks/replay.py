"""Measures the minimum cost of a database part: it replays its statements with the same rows.

It records the statements on one database and sends them to another in the same state, with the
driver alone. No Python code decides, encodes or folds. So the time is that of PostgreSQL and of
psycopg.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, event

Statement = tuple[Any, Any, bool]
"""SQL text, parameters, and True if the parameters are many rows (executemany)."""


class Recording:
    """The recorded transactions in order of commit, each with its statements."""

    def __init__(self) -> None:
        self.transactions: list[list[Statement]] = []
        self._open: dict[int, list[Statement]] = defaultdict(list)

    def add_statement(self, connection: psycopg.Connection[Any], statement: Statement) -> None:
        """Record a statement; it is a transaction of its own if none is open."""
        self._open[id(connection)].append(statement)
        if connection.info.transaction_status is TransactionStatus.IDLE:
            self.transactions.append(self._open.pop(id(connection)))

    def end_transaction(self, connection: Any) -> None:
        """Record a transaction of SQLAlchemy, which begins and commits without a cursor."""
        statements = self._open.pop(id(connection), [])
        self.transactions.append([("BEGIN", None, False), *statements, ("COMMIT", None, False)])

    def replay_s(self, url: str) -> float:
        """Replay all transactions on the database of this URL, and return the seconds it took.

        Raises RuntimeError if nothing was recorded: that would take no time.
        """
        if not self.transactions:
            raise RuntimeError("no statement was recorded, so there is nothing to replay")
        with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
            cursor = connection.cursor()
            begun = time.perf_counter()
            for statements in self.transactions:
                for text, parameters, many in statements:
                    if many:
                        cursor.executemany(text, parameters)
                    else:
                        cursor.execute(text, parameters)
                    if cursor.description:
                        cursor.fetchall()
            return time.perf_counter() - begun


@contextmanager
def record(engine: Engine) -> Iterator[Recording]:
    """Record the statements of this engine until the context ends. Each costs one list append."""
    recording = Recording()

    class RecordingCursor(psycopg.Cursor[Any]):
        """Records what it executes, whoever uses it: SQLAlchemy or the kit itself."""

        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            done = super().execute(query, params, **options)
            recording.add_statement(self.connection, (query, params, False))
            return done

        def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
            super().executemany(query, params_seq, **options)
            recording.add_statement(self.connection, (query, params_seq, True))

    def on_connect(driver: psycopg.Connection[Any], _: Any) -> None:
        driver.cursor_factory = RecordingCursor

    def on_commit(on: Connection) -> None:
        recording.end_transaction(on.connection.driver_connection)

    engine.dispose()  # connections that are open do not record
    event.listen(engine, "connect", on_connect)
    event.listen(engine, "commit", on_commit)
    try:
        yield recording
    finally:
        event.remove(engine, "connect", on_connect)
        event.remove(engine, "commit", on_commit)
