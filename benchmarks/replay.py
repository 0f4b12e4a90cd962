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
from sqlalchemy import Engine, event

Statement = tuple[str, Any, bool]
"""SQL text, parameters, and True if the parameters are many rows (executemany)."""


class Recording:
    """The recorded transactions in order of commit, each with its statements."""

    def __init__(self) -> None:
        self.transactions: list[list[Statement]] = []
        self._open: dict[int, list[Statement]] = defaultdict(list)

    def add_statement(self, connection: int, statement: Statement) -> None:
        """Record a statement of the open transaction of a connection."""
        self._open[connection].append(statement)

    def end_transaction(self, connection: int) -> None:
        """End the open transaction of a connection and keep it."""
        self.transactions.append(self._open.pop(connection, []))

    def replay_s(self, url: str) -> float:
        """Replay all transactions on the database of this URL, and return the seconds it took."""
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            begun = time.perf_counter()
            for statements in self.transactions:
                for text, parameters, many in statements:
                    if many:
                        cursor.executemany(text, parameters)
                    else:
                        cursor.execute(text, parameters)
                    if cursor.description:
                        cursor.fetchall()
                connection.commit()
            return time.perf_counter() - begun


@contextmanager
def record(engine: Engine) -> Iterator[Recording]:
    """Record the statements of this engine until the context ends. Each costs one list append."""
    recording = Recording()

    def on_statement(on: Any, _: Any, text: str, parameters: Any, __: Any, many: bool) -> None:
        recording.add_statement(id(on), (text, parameters, many))

    def on_commit(on: Any) -> None:
        recording.end_transaction(id(on))

    event.listen(engine, "before_cursor_execute", on_statement)
    event.listen(engine, "commit", on_commit)
    try:
        yield recording
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
        event.remove(engine, "commit", on_commit)
