"""The monitor over HTTP: what it knows, and what people tell it. People's decisions become events
on `saga.events`, through the outbox: the log itself is the audit."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection, Engine

from saga_monitor import queries
from saga_monitor.deadlines import Emission
from saga_monitor.fold import SOURCE, Saga, emission_id
from saga_monitor.gate import EVERY_PARTITION, Gate
from saga_monitor.held import Cause, Kind
from saga_monitor.inquiry import Inquiry
from saga_monitor.projection import Projection
from saga_monitor.view import ENDED, SagaView, Status
from saga_monitor.watch import Voice
from sagakit.errors import UnknownFlow
from sagakit.http import problem
from sagakit.postgres import add_outbox
from schemas.events import CompensationRequested, VerdictGiven

OPERATOR = "operator"
Limit = Annotated[int, Query(ge=1, le=10_000)]
Text = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Verdict(BaseModel):
    """A person's decision on a step that waits for one."""

    order_id: str = Field(max_length=128)
    step: str = Field(max_length=100, examples=["payment"])
    verdict: Literal["approve", "reject"]
    actor: Text
    reason: Text
    id: UUID | None = Field(
        default=None, description="Id of the event; the same id, the same event"
    )


class Cancellation(BaseModel):
    """A person wants the order undone."""

    order_id: str = Field(max_length=128)
    actor: Text
    reason: Text


@dataclass(frozen=True)
class Said:
    """An event on its way to the log."""

    order_id: str
    event: str
    id: UUID


class Refused(Exception):
    """A request that does not fit what has already happened."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.answer = problem(status, title, detail)


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
        self._voice = voice
        self._gate = gate
        self._wake = wake
        self._now = now
        self._inquiry = inquiry

    def log_time(self) -> datetime | None:
        """Up to which every partition is read."""
        return self._gate().of(EVERY_PARTITION)

    def held_by(self, *views: SagaView) -> dict[str, Cause]:
        """Order id -> what holds it, for those in flight."""
        return self._inquiry.causes(views, self.log_time())

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

    def say(self, order_id: str, decide: Callable[[Saga, SagaView], Emission]) -> Said:
        """Emit what `decide` answers to the order as it is now. Raises Refused."""
        with self.engine.begin() as connection:
            saga, seen = self.known(connection, order_id, lock=True)
            emission = decide(saga, seen)
            if str(emission.id) not in saga.facts:
                add_outbox(connection, [self._voice.row(saga, seen.flow, emission, self._now())])
        self._wake()
        return Said(order_id, emission.event.type, emission.id)

    def known(
        self, connection: Connection, order_id: str, *, lock: bool = False
    ) -> tuple[Saga, SagaView]:
        """The order and what it means. Raises Refused."""
        saga = queries.find(connection, order_id, lock=lock)
        if saga is None or not saga.facts:
            detail = f"no event of order {order_id!r} was read yet; check the id, or try again"
            raise Refused(404, "unknown order", detail)
        return saga, self.projection.view(saga)


def verdict_on(body: Verdict, saga: Saga, seen: SagaView) -> Emission:
    """The event for a verdict. Raises Refused where no person is waited for."""
    given = VerdictGiven(
        order_id=body.order_id,
        step=body.step,
        verdict=body.verdict,
        actor=body.actor,
        reason=body.reason,
    )
    step = next((s for s in seen.steps if s.name == body.step), None)
    if step is None:
        names = ", ".join(s.name for s in seen.steps)
        raise Refused(422, "unknown step", f"flow {seen.flow} has the steps {names}")
    if body.id is not None and str(body.id) in saga.facts:
        return Emission(body.id, given, UUID(saga.facts[str(body.id)].id))
    for item in seen.awaited:
        if item.step == body.step and item.asks:
            default = emission_id(saga.order_id, f"verdict:{body.verdict}", item.cause)
            return Emission(body.id or default, given, UUID(item.cause))
    since = f" since {step.since.isoformat()}" if step.since else ""
    detail = f"{body.step} of order {saga.order_id} waits for no person: it is {step.status}{since}"
    raise Refused(409, "nobody is asked", detail)


def cancellation_of(body: Cancellation, saga: Saga, seen: SagaView) -> Emission:
    """The event for a cancellation. Raises Refused where it comes too late, or a second time."""
    if seen.past_pivot or seen.undoing:
        what = "being undone already"
        if seen.past_pivot:
            what = f"{seen.status}: past its pivot it can only go on"
        if seen.status in ENDED:
            what = f"{seen.status} since {seen.ended_at}"
        raise Refused(409, "too late", f"order {saga.order_id} is {what}")
    event = CompensationRequested(
        order_id=saga.order_id, code=OPERATOR, reason=body.reason, actor=body.actor
    )
    cause = UUID(saga.timeline()[-1].id)
    return Emission(emission_id(saga.order_id, OPERATOR, ""), event, cause)


def routes(desk: Desk) -> APIRouter:
    """The monitor's own routes."""
    router = APIRouter(tags=["sagas"])

    @router.get("/sagas")
    def sagas(
        status: Status | None = None, stuck: bool = False, limit: Limit = 100
    ) -> list[dict[str, Any]]:
        """Orders, the newest event first. `stuck`: overdue, unplaced, or a case for a person."""
        with desk.engine.connect() as connection:
            return queries.sagas(connection, status, stuck, desk.log_time(), limit)

    @router.get("/sagas/{order_id:path}", response_model=None)
    def saga(order_id: str) -> dict[str, Any] | JSONResponse:
        """One order: its steps, what is awaited since when, its money, every event."""
        with desk.engine.connect() as connection:
            try:
                known, seen = desk.known(connection, order_id)
            except Refused as refused:
                return refused.answer
            told = queries.timeline(connection, order_id)
        cause = desk.held_by(seen).get(order_id)
        return {**_shown(known, seen, told, desk.log_time()), "held_by": cause}

    @router.get("/held")
    def held(stuck: bool = False, limit: Limit = 100) -> list[dict[str, Any]]:
        """Orders in flight, the most overdue first, each with what holds it. `stuck`: as above."""
        return desk.held(stuck, limit)

    @router.get("/summary")
    def summary() -> dict[str, Any]:
        """How many orders of each flow version are in which status."""
        with desk.engine.connect() as connection:
            return {
                "read_through": desk.log_time(),
                "unreadable": queries.count_unreadable(connection),
                "sagas": queries.summary(connection),
            }

    @router.get("/unreadable")
    def unreadable(limit: Limit = 100) -> list[dict[str, Any]]:
        """Records that are no event of the contract, and why."""
        with desk.engine.connect() as connection:
            return queries.unreadable(connection, limit)

    @router.post("/verdicts", status_code=202, response_model=None)
    def verdicts(body: Verdict) -> Said | JSONResponse:
        """A person decides on a step that asked for one."""
        return _answered(desk, body.order_id, lambda saga, seen: verdict_on(body, saga, seen))

    @router.post("/cancellations", status_code=202, response_model=None)
    def cancellations(body: Cancellation) -> Said | JSONResponse:
        """An operator wants an order undone."""
        return _answered(desk, body.order_id, lambda saga, seen: cancellation_of(body, saga, seen))

    return router


def _answered(
    desk: Desk, order_id: str, decide: Callable[[Saga, SagaView], Emission]
) -> Said | JSONResponse:
    try:
        return desk.say(order_id, decide)
    except Refused as refused:
        return refused.answer


def _shown(
    saga: Saga, seen: SagaView, told: list[dict[str, Any]], log_time: datetime | None
) -> dict[str, Any]:
    item = seen.next
    told.sort(key=lambda row: (row["at"], _depth(saga, row["causation"]), row["seq"] or 0))
    return {
        **asdict(seen),
        "ledger": {**asdict(seen.ledger), "held_minor": seen.ledger.held_minor},
        "next_deadline": item.due if item else None,
        "read_through": log_time,
        "timeline": [
            {
                **row,
                "caused_by": cause.type if (cause := saga.facts.get(row["causation"])) else None,
            }
            for row in told
        ],
    }


def _depth(saga: Saga, cause: str | None) -> int:
    """How many known events led to an event: within one millisecond causes are told first."""
    seen: set[str] = set()
    while cause is not None and cause in saga.facts and cause not in seen:
        seen.add(cause)
        cause = saga.facts[cause].causation
    return len(seen)
