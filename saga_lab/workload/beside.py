"""Trade in a thread of its own, beside whoever breaks things meanwhile."""

import threading
from collections.abc import Mapping

from saga_lab.workload.outcomes import Outcome, Progress
from saga_lab.workload.trade import Trade


class Beside:
    """A trade that runs while something else does."""

    def __init__(self, trade: Trade) -> None:
        self._trade = trade
        self._outcomes: list[Outcome] = []
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="trade", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcomes = self._trade.run()
        except BaseException as error:  # told by `outcomes`, in the thread that asks
            self._error = error

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._trade.progress

    @property
    def over(self) -> bool:
        """Every order has ended, or none moves any more."""
        return self._thread is not None and not self._thread.is_alive()

    def outcomes(self) -> list[Outcome]:
        """What became of every order; waits for the end. Raises what ended the trade."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._outcomes

    @property
    def placed_at(self) -> Mapping[str, float]:
        """Order -> when it was sent off, `time.monotonic` seconds."""
        return self._trade.placed_at

    @property
    def ended_at(self) -> Mapping[str, float]:
        """Order -> when it was seen to have ended, `time.monotonic` seconds."""
        return self._trade.ended_at
