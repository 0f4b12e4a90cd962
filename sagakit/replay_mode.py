"""Keeps a process that replays the log from acting: whatever publishes or calls is refused.

Replaying events must never publish one again or call a provider. What could do so asks here when it
is constructed, so there is none to be used by mistake.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sagakit.errors import ReplayOnly

_lock = threading.Lock()
_replays = 0


@contextmanager
def replaying() -> Iterator[None]:
    """Refuse publishers, relays, gateways and effect workers in this process until the end."""
    global _replays
    with _lock:
        _replays += 1
    try:
        yield
    finally:
        with _lock:
            _replays -= 1


def refuse_in_replay(what: object) -> None:
    """Raise ReplayOnly while this process replays. Called by constructors of what acts outside."""
    if _replays:
        raise ReplayOnly(
            f"{type(what).__name__} cannot be used while the log is replayed: a replay neither "
            "publishes nor calls the outside world"
        )
