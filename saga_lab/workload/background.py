"""Runs a workload in its own thread, so that the caller can inject faults meanwhile."""

import threading
from collections.abc import Mapping

from saga_lab.workload.outcomes import Progress, SagaOutcome
from saga_lab.workload.run import WorkloadRun


class RunThread:
    """Runs one workload in a daemon thread."""

    def __init__(self, run: WorkloadRun) -> None:
        self._run = run
        self._outcomes: list[SagaOutcome] = []
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._work, name="workload", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._outcomes = self._run.run()
        except BaseException as error:  # `outcomes` raises it in the caller's thread
            self._error = error

    @property
    def progress(self) -> Progress:
        """Return the progress of the run."""
        return self._run.progress

    @property
    def over(self) -> bool:
        """Return True once the thread ended: all sagas ended, or the run gave up or failed."""
        return self._thread is not None and not self._thread.is_alive()

    def outcomes(self) -> list[SagaOutcome]:
        """Wait for the end and return the outcome of every saga.

        Raises the exception that ended the run.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._outcomes

    @property
    def placed_at(self) -> Mapping[str, float]:
        """Map saga key -> when it was handed over for placing, `time.monotonic` seconds."""
        return self._run.placed_at

    @property
    def placing(self) -> int:
        """Return how many sagas are handed over for placing and not placed yet."""
        return len(self._run.placed_at) - self._run.progress.placed

    @property
    def ended_at(self) -> Mapping[str, float]:
        """Map saga key -> when its outcome was recorded, `time.monotonic` seconds."""
        return self._run.ended_at
