"""Writes rows of the table `audit`: refused requests, and what people do that no event tells."""

import threading
from collections import Counter
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import Text

from sagakit.foreign_text import printable
from sagakit.retry import is_transient
from sagakit.stop_signal import StopSignal
from sagakit.web.identity.requires import RefusedRequest

log = structlog.get_logger(__name__)
MOST_KINDS = 50
"""The most refusals kept apart between two writes; the rest are counted together."""
SECONDS_A_ROW = 1.0
"""So long a written row delays the next write: a flood of requests cannot fill the table."""
OTHERS = RefusedRequest(401, "", "", "", "more refusals than are kept apart")
TEXT_CHARS = 500

NOTE = text(
    "INSERT INTO audit (action, actor, address, reason, subjects, detail) "
    "VALUES (:action, :actor, :address, :reason, :subjects, :detail)"
).bindparams(bindparam("subjects", type_=ARRAY(Text)), bindparam("detail", type_=JSONB))


def note_action(
    connection: Connection,
    action: str,
    who: dict[str, str],
    subjects: list[str],
    detail: dict[str, Any] | None = None,
) -> None:
    """Write a row; `who`: actor, reason and address. Raises SQLAlchemyError."""
    row = {"action": action, **who, "subjects": subjects, "detail": detail or {}}
    connection.execute(NOTE, row)


class RefusalAudit:
    """Keeps refused requests in the table `audit`, those alike in one row with their number.

    A request does not wait for the database. Run `run` in a thread.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._lock = engine, threading.Lock()
        self._kept: Counter[RefusedRequest] = Counter()

    def note(self, refusal: RefusedRequest) -> None:
        """See `requires.RefusalPort`."""
        with self._lock:
            apart = refusal in self._kept or len(self._kept) < MOST_KINDS
            self._kept[refusal if apart else OTHERS] += 1

    def run(self, stop: StopSignal) -> None:
        """Write what is kept until stopped, and at the end once more."""
        while not stop.is_set():
            rows = self.write()
            stop.wait(SECONDS_A_ROW * max(1, rows))
        self.write()

    def write(self) -> int:
        """Write what is kept; return the number of rows. While the database is away it stays."""
        with self._lock:
            kept, self._kept = self._kept, Counter()
        if not kept:
            return 0
        try:
            with self._engine.begin() as connection:
                for refusal, count in kept.items():
                    who = {
                        "actor": printable(refusal.subject)[:TEXT_CHARS],
                        "reason": printable(refusal.reason)[:TEXT_CHARS],
                        "address": refusal.address,
                    }
                    detail = {"status": refusal.status, "count": count}
                    route = printable(refusal.route)[:TEXT_CHARS]
                    note_action(connection, "refused", who, [route], detail)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            log.warning("refusals not written yet", error=type(error).__name__, rows=len(kept))
            with self._lock:
                self._kept.update(kept)
            return 0
        return len(kept)
