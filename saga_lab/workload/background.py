"""Runs a trade in its own thread, so that the caller can inject faults meanwhile."""

import threading
from collections.abc import Mapping

from saga_lab.workload.outcomes import OrderOutcome, Progress
from saga_lab.workload.trade import Trade


class TradeThread:
    """Runs one trade in a daemon thread."""

    def __init__(self, trade: Trade) -> None:
        self._trade = trade
        self._outcomes: list[OrderOutcome] = []
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="trade", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcomes = self._trade.run()
        except BaseException as error:  # `outcomes` raises it in the caller's thread
            self._error = error

    @property
    def progress(self) -> Progress:
        """Return the progress of the trade."""
        return self._trade.progress

    @property
    def over(self) -> bool:
        """Return True once the thread ended: all orders ended, or the trade gave up or failed."""
        return self._thread is not None and not self._thread.is_alive()

    def outcomes(self) -> list[OrderOutcome]:
        """Wait for the end and return the outcome of every order.

        Raises the exception that ended the trade.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._outcomes

    @property
    def placed_at(self) -> Mapping[str, float]:
        """Map order -> when it was handed over for placing, `time.monotonic` seconds."""
        return self._trade.placed_at

    @property
    def ended_at(self) -> Mapping[str, float]:
        """Map order -> when its outcome was recorded, `time.monotonic` seconds."""
        return self._trade.ended_at
