"""Serves reads of orders, and commands that people give on them.

A command becomes an event through the outbox, so the log is the audit trail.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.watermark import EVERY_PARTITION, Gate
from saga_monitor.operations.blocker_probe import BlockerProbe
from saga_monitor.saga.blockers import Cause, CauseKind, Holds
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.evidence import bundle
from saga_monitor.saga.facts import SOURCE, Saga
from saga_monitor.saga.view import SagaView
from saga_monitor.storage import queries, store
from saga_monitor.supervision.deadline_watch import Voice
from sagakit.errors import UnknownFlow
from sagakit.store.postgres import add_outbox


@dataclass(frozen=True)
class Said:
    """An event that is in the outbox, or in the log already."""

    order_id: str
    event: str
    id: UUID


class Desk:
    """Implements the routes: reads orders and emits commands. `inquiry`: finds what blocks them."""

    def __init__(
        self,
        engine: Engine,
        projection: Projection,
        voice: Voice,
        gate: Callable[[], Gate],
        wake: Callable[[], None],
        now: Callable[[], datetime],
        inquiry: BlockerProbe,
    ) -> None:
        self.engine = engine
        self.projection = projection
        self.inquiry = inquiry
        self._voice = voice
        self._gate = gate
        self._wake = wake
        self._now = now

    def log_time(self) -> datetime | None:
        """Return the log time up to which every partition is read; None: cannot tell."""
        return self._gate().of(EVERY_PARTITION)

    def held_by(self, *views: SagaView) -> dict[str, Cause]:
        """Return order id -> what blocks it, for the orders in flight."""
        return self.inquiry.causes(views, self.log_time())

    def held(self, stuck: bool, limit: int) -> list[dict[str, Any]]:
        """Return orders in flight, the most overdue first, each with what blocks it."""
        with self.engine.connect() as connection:
            found = queries.in_flight(connection, stuck, self.log_time(), limit)
        views, unknown = [], {}
        for row, saga in found:
            try:
                views.append(self.projection.view(saga))
            except UnknownFlow as error:
                unknown[row["order_id"]] = Cause(CauseKind.MONITOR, SOURCE, str(error))
        causes = {**self.held_by(*views), **unknown}
        return [{**row, "held_by": causes.get(row["order_id"])} for row, _ in found]

    def evidence(self, order_id: str) -> dict[str, Any]:
        """Return all that is known of an order (see `saga.evidence`). Raises CommandRefused."""
        with self.engine.connect() as connection:
            saga, seen = self.known(connection, order_id)
            told = queries.timeline(connection, order_id)
            _, mine = next(queries.own_holds(connection, [order_id]), (order_id, Holds()))
        places = {row["event_id"]: (row["partition"], row["offset"]) for row in told}
        flow, _ = self.projection.flows.find(seen.flow)
        return {
            **bundle(saga, seen, flow, places),
            "read_through": self.log_time(),
            "held_by": self.held_by(seen).get(order_id),
            "kept": {SOURCE: mine, **self.inquiry.kept(order_id)},
        }

    def say(
        self,
        order_id: str,
        decide: Callable[[Saga, SagaView], Emission],
        *,
        stranger: bool = False,
    ) -> Said:
        """Emit the event that `decide` returns for the current state of an order.

        The same command given twice is one event. `stranger`: also accept an order of which no
        event was ever read.

        Raises CommandRefused, also if somebody gave the same command with other words and that
        event is not read back yet.
        """
        with self.engine.begin() as connection:
            saga, seen = self.known(connection, order_id, lock=True, stranger=stranger)
            emission = decide(saga, seen)
            if str(emission.id) not in saga.facts:
                at, event = self._now(), emission.event
                words = event.to_dict()
                before = queries.said(connection, emission.id, event.type, order_id, words, at)
                if before is None:
                    row = self._voice.row(saga, seen.flow, emission, at)
                    add_outbox(connection, [row])
                elif before != words:
                    detail = (
                        f"order {order_id}: {before['actor']} has just said so, with other words"
                    )
                    raise CommandRefused(409, "already said", f"{detail}: {_told(before)}")
        self._wake()
        return Said(order_id, emission.event.type, emission.id)

    def known(
        self, connection: Connection, order_id: str, *, lock: bool = False, stranger: bool = False
    ) -> tuple[Saga, SagaView]:
        """Return an order and its view. Raises CommandRefused.

        lock: lock it until the end of the transaction, to emit an event about it. That moves it
        back from the history tables, as reading the event would do.
        stranger: return an empty saga for an order without events.
        """
        find = _locked if lock else queries.find
        saga = find(connection, order_id) or Saga(order_id)
        if not saga.facts and not stranger:
            detail = f"no event of order {order_id!r} was read yet; check the id, or try again"
            raise CommandRefused(404, "unknown order", detail)
        try:
            return saga, self.projection.view(saga)
        except UnknownFlow as error:
            raise CommandRefused(409, "unknown flow", f"order {order_id}: {error}") from error


def _locked(connection: Connection, order_id: str) -> Saga | None:
    if not order_id.isprintable():
        return None
    return store.lock(connection, {order_id: EVERY_PARTITION})[order_id][0]


def _told(words: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in words.items() if v is not None and k != "order_id")
