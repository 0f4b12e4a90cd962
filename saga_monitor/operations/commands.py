"""Emit the events that people's commands turn into.

A command becomes an event through the outbox, so the log is the audit trail.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from saga_monitor.operations.reads import SagaReader
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.view import SagaView
from saga_monitor.storage import store
from saga_monitor.supervision.emitter import Emitter
from sagakit.store.postgres import add_outbox


@dataclass(frozen=True)
class AcceptedCommand:
    """The event that a command became: it is in the outbox, or in the log already."""

    saga: str
    event: str
    id: UUID


class CommandHandler:
    """Accepts commands on sagas. `wake` is called after a commit, to start the relay."""

    def __init__(
        self,
        reader: SagaReader,
        emitter: Emitter,
        wake: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._reader = reader
        self._emitter = emitter
        self._wake = wake
        self._now = now

    def accept(
        self,
        key: str,
        decide: Callable[[Saga, SagaView], Emission],
        *,
        allow_unknown: bool = False,
    ) -> AcceptedCommand:
        """Emit the event that `decide` returns for the current state of a saga.

        The same command given twice is one event. `allow_unknown`: also accept a saga of which
        no event was ever read.

        Raises CommandRefused, also if somebody gave the same command with other details and that
        event is not read back yet.
        """
        with self._reader.engine.begin() as connection:
            saga, view = self._reader.load(connection, key, lock=True, allow_unknown=allow_unknown)
            emission = decide(saga, view)
            if not emission.is_in(saga):
                at = self._now()
                earlier = store.record_command(connection, key, emission.id, emission.event, at)
                if earlier is None:
                    row = self._emitter.outbox_row(saga, view.flow, emission, at)
                    add_outbox(connection, [row])
                elif earlier != emission.event.to_dict():
                    detail = (
                        f"{earlier['actor']} has just given this command on saga {key} "
                        f"with other details: {_details(earlier)}"
                    )
                    raise CommandRefused(409, "already given", detail)
        self._wake()
        return AcceptedCommand(key, emission.event.type, emission.id)


def _details(fields: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in fields.items() if v is not None and k != "saga_id")
