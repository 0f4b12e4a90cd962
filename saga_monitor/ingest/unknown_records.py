"""Reads records again that the stream could not take in, but that may be taken in later.

A replica of the registry may know of a registration seconds later, and a publisher may register
late. The row of a saga that cannot be read may be corrected. The stream keeps such records and
reads on; they are tried again here, less and less often.
Reading an event late or twice does no harm: a saga is a set of facts, whatever their order.
"""

import threading

import structlog
from sqlalchemy import Engine

from saga_monitor.ingest.projection import Projection
from saga_monitor.storage import store
from sagakit.errors import RegistryUnavailable, UnregisteredSchema
from sagakit.messages.envelope import Record
from sagakit.retry import Patience, retry_transaction

log = structlog.get_logger(__name__)
LOOK_EVERY_S = 2.0
AT_ONCE = 100


class UnknownRecords:
    """Reads kept records into the projection once they can be decoded. Call `run` in a thread."""

    def __init__(self, engine: Engine, projection: Projection) -> None:
        self._engine, self._projection = engine, projection
        self._patience = Patience[store.Place]()

    def run(self, stop: threading.Event) -> None:
        """Look for such records every LOOK_EVERY_S seconds until stopped."""
        while not stop.is_set():
            retry_transaction(self.read_known, stop)
            stop.wait(LOOK_EVERY_S)

    def read_known(self) -> int:
        """Read what is understood by now, and return the number of these records.

        Raises RegistryUnavailable and SQLAlchemyError: call again.
        """
        with self._engine.connect() as connection:
            but = self._patience.resting()
            records = store.unknown_records_but(connection, but, AT_ONCE)
        read = 0
        for record in records:
            place = (record.topic, record.partition, record.offset)
            try:
                self._projection.check(record)
            except UnregisteredSchema:
                self._patience.later(place)
            except RegistryUnavailable:
                raise  # it says nothing about the record
            except Exception:  # the stream would keep it as unreadable, too
                self._patience.never(place)
            else:
                read += self._read(record, place)
        if read:
            log.info("read records that could not be taken in before", records=read)
        return read

    def _read(self, record: Record, place: store.Place) -> int:
        """Read one record, and return 1; 0 if the row of its saga still cannot be read."""
        if self._projection.apply([record], again=True).unreadable:
            self._patience.later(place)
            return 0
        with self._engine.begin() as connection:
            store.delete_unreadable(connection, [record])
        self._patience.done(place)
        return 1
