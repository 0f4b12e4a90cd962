"""The physical limit of a database part: the very statements it sent, with the very rows, again.

What is recorded on one database is sent to another in the same state, by the driver alone: no
Python that decides, encodes or folds. What is left is PostgreSQL's and psycopg's.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, event

Statement = tuple[str, Any, bool]
"""Text, parameters, whether they are many rows of parameters."""


class Recording:
    """Transactions in the order of their commits, each with its statements."""

    def __init__(self) -> None:
        self.transactions: list[list[Statement]] = []
        self._open: dict[int, list[Statement]] = defaultdict(list)

    def sent(self, connection: int, statement: Statement) -> None:
        """A statement on this connection."""
        self._open[connection].append(statement)

    def committed(self, connection: int) -> None:
        """What was sent on it is a transaction."""
        self.transactions.append(self._open.pop(connection, []))

    def replay_s(self, url: str) -> float:
        """Seconds that it takes to do it again on the database of this URL."""
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
def recorded(engine: Engine) -> Iterator[Recording]:
    """Remembers what this engine sends; that costs an append a statement."""
    found = Recording()

    def sent(on: Any, _: Any, text: str, parameters: Any, __: Any, many: bool) -> None:
        found.sent(id(on), (text, parameters, many))

    def committed(on: Any) -> None:
        found.committed(id(on))

    event.listen(engine, "before_cursor_execute", sent)
    event.listen(engine, "commit", committed)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", sent)
        event.remove(engine, "commit", committed)
