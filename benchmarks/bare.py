"""Measures the lower bound of a database part by replaying its statements with the same rows.

The statements recorded on one database are sent to another in the same state, by the driver alone.
No Python decides, encodes or folds, so the time is that of PostgreSQL and psycopg.
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

    def sent(self, connection: int, statement: Statement) -> None:
        """Record a statement of the open transaction of a connection."""
        self._open[connection].append(statement)

    def committed(self, connection: int) -> None:
        """Close the open transaction of a connection and keep it."""
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
def recorded(engine: Engine) -> Iterator[Recording]:
    """Record what this engine sends until the context ends. It costs one append per statement."""
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
