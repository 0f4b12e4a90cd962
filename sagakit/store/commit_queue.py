"""Hands the outbox rows that a process commits to its relay, in the order of the commits.

So the relay publishes them from memory. Rows of one saga stay in order because a transaction
announces itself when it holds the saga's lock, or knows the version that it will replace: whoever
writes the saga next announces itself later.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from sagakit.messages.envelope import OutboxRow
from sagakit.store.ports import Changes


@dataclass(slots=True, eq=False)
class Commit:
    """A transaction that adds outbox rows. `rows` is None while its outcome is open.

    `in_table`: its rows, or older ones of its sagas, must be read from the table.
    """

    rows: Sequence[OutboxRow] | None = None
    in_table: bool = False


class CommitQueue:
    """Keeps committed rows for the relay of this process, while that one leads."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._writer = uuid4()
        self._commits: deque[Commit] = deque()
        self._read: set[int] = set()
        self._kept = False

    def announce(self, changes: Changes) -> Commit | None:
        """Take a place in the order, before the commit, and mark the sagas that get outbox rows.

        If another process wrote the last row of one of them, or if nothing tells who did, that row
        may not be published yet. None if there are no outbox rows.
        """
        if not changes.outbox:
            return None
        sagas = {row.saga for row in changes.outbox}
        marked = [row for row in changes.inbox_rows if row.key in sagas]
        with self._lock:
            commit = Commit()
            known = all(row.sent_by in (None, self._writer) for row in marked)
            commit.in_table = not known or len(marked) < len(sagas)
            for row in marked:
                row.sent_by = self._writer
            self._commits.append(commit)
        return commit

    def settle(self, commit: Commit, rows: Sequence[OutboxRow]) -> None:
        """Hand over the rows of a commit; none if it was rolled back."""
        with self._lock:
            commit.rows = rows
            if not self._kept:
                self._commits.remove(commit)
            others_wait = bool(self._commits)
        if rows or others_wait:
            self.wake()

    def lose(self, commit: Commit) -> None:
        """Note that nobody knows whether a transaction was committed: its connection is gone.

        From now on this process has another name. So before the next event of a saga that it wrote
        until now, the table is read, as if another process had written it.
        """
        with self._lock:
            self._writer = uuid4()
            self._commits.remove(commit)
            for later in self._commits:
                later.in_table = True
        self.wake()

    def take(self, limit: int) -> list[OutboxRow] | None:
        """Return the next rows, up to about `limit`; None if the table has to be read first."""
        rows: list[OutboxRow] = []
        with self._lock:
            while self._commits and (found := self._commits[0].rows) is not None:
                if found and self._commits[0].in_table:
                    return rows or None
                if rows and len(rows) + len(found) > limit:
                    break
                rows += [row for row in found if row.id not in self._read]
                self._commits.popleft()
        return rows

    def leave_to_table(self) -> None:
        """Forget what is committed: a read of the table that begins now finds those rows.

        What is still open keeps its place, and is found by another read. Tell `note_read` which
        rows this one has found.
        """
        with self._lock:
            self._kept = True
            self._read = set()
            self._commits = deque(c for c in self._commits if c.rows is None)
            for commit in self._commits:
                commit.in_table = True

    def note_read(self, rows: Sequence[OutboxRow]) -> None:
        """Note the rows that a read of the table has found: they are not handed over again.

        A transaction that announced itself after `leave_to_table` may be among them.
        """
        with self._lock:
            self._read = {row.id for row in rows}

    def stop(self) -> None:
        """Keep no more rows: another relay leads."""
        with self._lock:
            self._kept = False
            self._commits = deque(c for c in self._commits if c.rows is None)
