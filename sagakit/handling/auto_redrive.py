"""What an older replica could not understand, a newer one handles.

While old and new code run side by side, an old replica meets events of schemas and flow versions it
does not know, and parks them. Nobody has to redrive those: every replica looks, now and then, for
what was parked for such a reason and is understood here. An old one finds nothing.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Engine

from sagakit.errors import Poison, UnknownFlow, UnknownSchema
from sagakit.flow.routing import Router
from sagakit.messages.codec import Codec
from sagakit.retry import until_stored
from sagakit.store.postgres import parked_for

log = structlog.get_logger(__name__)
CODES = (UnknownFlow.code, UnknownSchema.code)
LOOK_EVERY_S = 2.0
AT_ONCE = 500


class Newer:
    """`redrive`: handles an order's parked records again, in order. `run` in a thread."""

    def __init__(
        self, engine: Engine, codec: Codec, router: Router, redrive: Callable[[str], Any]
    ) -> None:
        self._engine, self._codec, self._router, self._redrive = engine, codec, router, redrive
        self._strange: set[int] = set()

    def run(self, stop: threading.Event) -> None:
        """Until stopped."""
        while not stop.is_set():
            until_stored(self.look, stop)
            stop.wait(LOOK_EVERY_S)

    def look(self) -> list[str]:
        """The orders that were redriven. What is not understood here now never will be by this
        process, and is not looked at again."""
        with self._engine.connect() as connection:
            rows = parked_for(connection, CODES, sorted(self._strange), AT_ONCE)
        known = []
        for row in rows:
            try:
                self._router.label(self._codec.decode(row.record).trace.flow)
                known.append(row.key)
            except Poison:
                self._strange.add(row.id)
        for key in (orders := list(dict.fromkeys(known))):
            log.info("an older replica did not understand it, here it is handled", order=key)
            self._redrive(key)
        return orders
