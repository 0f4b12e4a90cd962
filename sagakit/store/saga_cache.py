"""Keeps the inbox rows and states of the sagas written last, for the next batch."""

import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

from sagakit.store.ports import InboxRow

S = TypeVar("S")
MOST = 10_000
"""How many sagas are kept."""


class SagaCache(Generic[S]):
    """Keeps sagas as they were committed; who writes one checks its version.

    A batch takes what it needs out of the cache, and what it commits comes back. So nothing here is
    changed by two threads, and a batch that fails leaves nothing behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sagas: dict[str, tuple[InboxRow, S]] = {}

    def take(self, keys: Iterable[str]) -> dict[str, tuple[InboxRow, S]]:
        """Remove and return what is kept of these sagas."""
        with self._lock:
            found = ((key, self._sagas.pop(key, None)) for key in keys)
            return {key: saga for key, saga in found if saga is not None}

    def keep(self, sagas: Iterable[tuple[InboxRow, S]]) -> None:
        """Keep sagas as they are committed now; the ones kept longest go."""
        with self._lock:
            for inbox_row, state in sagas:
                self._sagas[inbox_row.key] = (inbox_row, state)
            while len(self._sagas) > MOST:
                del self._sagas[next(iter(self._sagas))]
