"""Bounds how long a caller waits for a call that may hang, such as a query of a silent database."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

R = TypeVar("R")


class BoundedCall(Generic[R]):
    """Runs `work` in a thread and waits for it at most `within_s` seconds.

    While a call hangs no other one is started: callers share the one that runs, so that scrapes and
    probes cannot pile up.
    """

    def __init__(self, name: str, work: Callable[[], R], within_s: float) -> None:
        self._name, self._work, self._within_s = name, work, within_s
        self._lock = threading.Lock()
        self._running: Future[R] | None = None

    def __call__(self) -> R:
        """Return what `work` returns. Raises what it raises, and TimeoutError when it is late."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                run = threading.Thread(target=self._run, args=(self._running,), daemon=True)
                run.name = self._name
                run.start()
            running = self._running
        return running.result(self._within_s)

    def _run(self, answer: "Future[R]") -> None:
        try:
            answer.set_result(self._work())
        except BaseException as error:
            answer.set_exception(error)
