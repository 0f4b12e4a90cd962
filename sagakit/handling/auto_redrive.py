"""Redrives records that older replicas parked as unknown schema or flow version.

During a rolling deploy an old replica parks events whose schema or flow version it does not know.
Every replica looks for such records every LOOK_EVERY_S seconds and redrives those that it can
decode, so that no person has to. An old replica finds none.

So are records whose schema the registry did not have: a replica of the registry may know of a
registration seconds later, and a publisher may register late. It is asked again, less and less
often (`Patience`).
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Engine

from sagakit.errors import UnknownFlow, UnknownSchema, UnprocessableRecord, UnregisteredSchema
from sagakit.flow.routing import Router
from sagakit.messages.codec import Codec
from sagakit.retry import Patience, retry_transaction
from sagakit.store.postgres import parked_for

log = structlog.get_logger(__name__)
CODES = (UnknownFlow.code, UnknownSchema.code)
LOOK_EVERY_S = 2.0
AT_ONCE = 500


class AutoRedrive:
    """Redrives sagas with records parked elsewhere that this replica understands.

    `redrive` handles a saga's parked records again, in order. Call `run` in a thread.
    """

    def __init__(
        self, engine: Engine, codec: Codec, router: Router, redrive: Callable[[str], Any]
    ) -> None:
        self._engine, self._codec, self._router, self._redrive = engine, codec, router, redrive
        self._patience = Patience[int]()

    def run(self, stop: threading.Event) -> None:
        """Look for such records every LOOK_EVERY_S seconds until stopped."""
        while not stop.is_set():
            retry_transaction(self.redrive_known, stop)
            stop.wait(LOOK_EVERY_S)

    def redrive_known(self) -> list[str]:
        """Redrive the sagas with records understood here, and return their keys.

        A record not understood now never will be by this process, so it is not checked again, but
        for one whose schema is not registered yet.
        """
        with self._engine.connect() as connection:
            rows = parked_for(connection, CODES, self._patience.resting(), AT_ONCE)
        known = []
        for row in rows:
            try:
                envelope = self._codec.decode(row.record)
                self._router.label(envelope.trace.flow, envelope.event)
                self._patience.done(row.id)
                known.append(row.key)
            except UnregisteredSchema:
                self._patience.later(row.id)
            except UnprocessableRecord:
                self._patience.never(row.id)
        for key in (sagas := list(dict.fromkeys(known))):
            log.info("redriving records that an older replica could not decode", saga=key)
            self._redrive(key)
        return sagas
