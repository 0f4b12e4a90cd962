"""The desk between people and the monitor's database: what is known of an order, and a way to say
something about it. What is said becomes an event through the outbox: the log is the audit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.watermark import EVERY_PARTITION, Gate
from saga_monitor.operations.blocker_probe import Inquiry
from saga_monitor.saga.blockers import Cause, Holds, Kind
from saga_monitor.saga.commands import Refused
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
    """An event on its way to the log, or there already."""

    order_id: str
    event: str
    id: UUID


class Desk:
    """What the routes do. `inquiry`: who asks around what holds orders."""

    def __init__(
        self,
        engine: Engine,
        projection: Projection,
        voice: Voice,
        gate: Callable[[], Gate],
        wake: Callable[[], None],
        now: Callable[[], datetime],
        inquiry: Inquiry,
    ) -> None:
        self.engine = engine
        self.projection = projection
        self.inquiry = inquiry
        self._voice = voice
        self._gate = gate
        self._wake = wake
        self._now = now

    def log_time(self) -> datetime | None:
        """Up to which every partition is read."""
        return self._gate().of(EVERY_PARTITION)

    def held_by(self, *views: SagaView) -> dict[str, Cause]:
        """Order id -> what holds it, for those in flight."""
        return self.inquiry.causes(views, self.log_time())

    def held(self, stuck: bool, limit: int) -> list[dict[str, Any]]:
        """Orders in flight, the most overdue first, each with what holds it."""
        with self.engine.connect() as connection:
            found = queries.in_flight(connection, stuck, self.log_time(), limit)
        views, unknown = [], {}
        for row, saga in found:
            try:
                views.append(self.projection.view(saga))
            except UnknownFlow as error:
                unknown[row["order_id"]] = Cause(Kind.MONITOR, SOURCE, str(error))
        causes = {**self.held_by(*views), **unknown}
        return [{**row, "held_by": causes.get(row["order_id"])} for row, _ in found]

    def evidence(self, order_id: str) -> dict[str, Any]:
        """All there is to know of an order, see `saga_monitor.saga.evidence`. Raises Refused."""
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
        """Emit what `decide` answers to the order as it is now; the same said twice is one event.
        `stranger`: also to an order of which nothing was ever read.

        Raises Refused, also where somebody else has said the like and it is not read back yet.
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
                    raise Refused(409, "already said", f"{detail}: {_told(before)}")
        self._wake()
        return Said(order_id, emission.event.type, emission.id)

    def known(
        self, connection: Connection, order_id: str, *, lock: bool = False, stranger: bool = False
    ) -> tuple[Saga, SagaView]:
        """The order and what it means. Raises Refused.

        lock: to say something about it, until the end of the transaction; it comes back from the
        history then, since what is said will be read and would bring it back.
        stranger: an order nobody ever spoke of is an empty one.
        """
        find = _locked if lock else queries.find
        saga = find(connection, order_id) or Saga(order_id)
        if not saga.facts and not stranger:
            detail = f"no event of order {order_id!r} was read yet; check the id, or try again"
            raise Refused(404, "unknown order", detail)
        try:
            return saga, self.projection.view(saga)
        except UnknownFlow as error:
            raise Refused(409, "unknown flow", f"order {order_id}: {error}") from error


def _locked(connection: Connection, order_id: str) -> Saga | None:
    if not order_id.isprintable():
        return None
    return store.lock(connection, {order_id: EVERY_PARTITION})[order_id][0]


def _told(words: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in words.items() if v is not None and k != "order_id")
