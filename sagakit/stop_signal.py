"""Defines the signal that ends a loop, and that knows the age of the loop's last turn."""

import threading
import time
from collections.abc import Callable

Seconds = Callable[[], float]
"""A monotonic clock."""


class StopSignal(threading.Event):
    """Tells one loop to end. Asking it (`is_set`, `wait`) counts as a turn of the loop.

    So only the loop asks it. Other threads and tasks ask `event`, which is set together with it and
    counts no turn: else a loop that hangs would look alive for as long as they ask.
    """

    def __init__(self, clock: Seconds = time.monotonic) -> None:
        super().__init__()
        self.event = threading.Event()
        self._clock = clock
        self._turned_at = clock()

    def turn(self) -> None:
        """Count a turn of the loop now."""
        self._turned_at = self._clock()

    def age_s(self) -> float:
        """Return the seconds since the last turn."""
        return self._clock() - self._turned_at

    def set(self) -> None:
        """Tell the loop to end, and those who ask `event`."""
        super().set()
        self.event.set()

    def is_set(self) -> bool:
        """Return True if the loop has to end."""
        self.turn()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the loop has to end; return False at the timeout, in seconds."""
        self.turn()
        stopping = super().wait(timeout)
        self.turn()
        return stopping
