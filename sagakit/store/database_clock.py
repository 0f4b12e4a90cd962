"""Tells the time of a database's server, in which due times and leases of effects are kept."""

from datetime import datetime, timedelta

from sqlalchemy import Engine, text

from sagakit.retry import retry_transaction
from sagakit.stop_signal import StopSignal
from sagakit.store.ports import Clock

COMPARE_S = 30.0
"""Interval of the comparisons while running, in seconds."""
NOW = text("SELECT clock_timestamp()")


class DatabaseClock:
    """Corrects a process's own clock by how far it was off when the database was asked last.

    Processes on several machines share due times and leases. By a clock that is ahead a lease would
    have expired, and what a process with such a clock puts off would wait for as long.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._behind = timedelta()

    def __call__(self) -> datetime:
        """Return the time of the database's server."""
        return self._clock() + self._behind

    def compare(self) -> None:
        """Ask the server. Clocks that differ by less than the question took are taken for equal."""
        began = self._clock()
        with self._engine.connect() as connection:
            now: datetime = connection.execute(NOW).scalar_one()
        ended = self._clock()
        self._behind = now - min(max(now, began), ended)

    def compare_at_start(self, stop: StopSignal) -> None:
        """Ask as soon as the database answers."""
        retry_transaction(self.compare, stop)

    def run(self, stop: StopSignal) -> None:
        """Ask now and then until `stop`, since clocks are set right and go wrong."""
        while not stop.wait(COMPARE_S):
            retry_transaction(self.compare, stop)
