"""Define the monitor's HTTP routes: reads, and commands that people give.

A command becomes an event on `saga.events`, through the outbox, so the log is the audit trail.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from saga_monitor.operations.desk import Desk, Said
from saga_monitor.saga.commands import (
    DEEDS,
    PINNING,
    CancelCommand,
    CaseWork,
    CommandRefused,
    Pausing,
    Pinning,
    VerdictCommand,
    cancellation_of,
    paused_by,
    resumed_by,
    verdict_on,
)
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.evidence import plainly
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.flow_versions import Version, versions, why_not_retired
from saga_monitor.saga.interventions import CaseStatus
from saga_monitor.saga.view import SagaView, Status
from saga_monitor.storage import lineage, queries
from sagakit.errors import UnknownFlow
from sagakit.web.app import problem

Limit = Annotated[int, Query(ge=1, le=10_000)]


def routes(desk: Desk) -> APIRouter:
    """Return a router with the monitor's own routes."""
    router = APIRouter(tags=["sagas"])
    _saga_routes(router, desk)
    _state_routes(router, desk)
    _flow_routes(router, desk)
    _link_routes(router, desk)
    _case_routes(router, desk)
    _word_routes(router, desk)
    return router


def _saga_routes(router: APIRouter, desk: Desk) -> None:
    @router.get("/sagas")
    def sagas(
        status: Status | None = None,
        stuck: bool = False,
        history: bool = False,
        limit: Limit = 100,
    ) -> list[dict[str, Any]]:
        """List orders, the newest event first.

        `stuck`: only overdue, unplaced, or with an open intervention; `history`: only orders that
        were moved to the history tables, instead of the others.
        """
        now = desk.log_time()
        with desk.engine.connect() as connection:
            return queries.sagas(connection, status, stuck, now, limit, history=history)

    @router.get("/sagas/{order_id:path}", response_model=None)
    def saga(order_id: str) -> dict[str, Any] | JSONResponse:
        """Return one order: its steps, what it awaits and since when, its money, every event."""
        with desk.engine.connect() as connection:
            try:
                known, seen = desk.known(connection, order_id)
            except CommandRefused as refused:
                return _refusal(refused)
            told = queries.timeline(connection, order_id)
            moved = queries.is_history(connection, order_id)
            linked = lineage.of_order(connection, order_id)
        cause = desk.held_by(seen).get(order_id)
        shown = _shown(known, seen, told, desk.log_time())
        return {**shown, "links": linked, "held_by": cause, "history": moved}

    @router.get("/evidence/{order_id:path}", response_model=None)
    def evidence(order_id: str) -> Response:
        """Return all that is known of an order, to keep, to send, or to replay as a test."""
        try:
            return Response(plainly(desk.evidence(order_id)), media_type="application/json")
        except CommandRefused as refused:
            return _refusal(refused)

    @router.get("/held")
    def held(stuck: bool = False, limit: Limit = 100) -> list[dict[str, Any]]:
        """List orders in flight, the most overdue first, with blockers. `stuck`: see /sagas."""
        return desk.held(stuck, limit)


def _state_routes(router: APIRouter, desk: Desk) -> None:
    @router.get("/summary")
    def summary() -> dict[str, Any]:
        """Count the orders outside the history tables by flow version and status."""
        with desk.engine.connect() as connection:
            return {
                "read_through": desk.log_time(),
                "unreadable": queries.count_unreadable(connection),
                "sagas": queries.summary(connection),
            }

    @router.get("/unreadable")
    def unreadable(limit: Limit = 100) -> list[dict[str, Any]]:
        """List the records that are no event of the contract, with the reason."""
        with desk.engine.connect() as connection:
            return queries.unreadable(connection, limit)


def _flow_routes(router: APIRouter, desk: Desk) -> None:
    @router.get("/flows")
    def flows() -> list[Version]:
        """List flow versions with the number of orders in flight on each."""
        with desk.engine.connect() as connection:
            return versions(desk.projection.flows, queries.flows(connection))

    @router.get("/flows/retirement", response_model=None)
    def retirement(flow: str) -> dict[str, Any] | JSONResponse:
        """Tell if a version (`order/1`) may be removed from its flow file; 409 says why not."""
        with desk.engine.connect() as connection:
            counts = queries.flows(connection)
        try:
            why_not = why_not_retired(flow, desk.projection.flows, counts, desk.log_time())
        except UnknownFlow as error:
            return problem(404, "unknown flow", str(error))
        if why_not:
            return problem(409, "still needed", why_not)
        return {"flow": flow, "ended": next((c.ended for c in counts if c.label == flow), 0)}


def _link_routes(router: APIRouter, desk: Desk) -> None:
    @router.get("/batches/{batch_id:path}", response_model=None)
    def batch(batch_id: str) -> dict[str, Any] | JSONResponse:
        """Return the orders of a batch, with a count for each status."""
        with desk.engine.connect() as connection:
            found = lineage.batch(connection, batch_id) if batch_id.isprintable() else None
        if found is None:
            detail = f"no order of batch {batch_id!r} was read yet; check the id, or try again"
            return problem(404, "unknown batch", detail)
        return found

    @router.get("/links/{order_id:path}", response_model=None)
    def tree(order_id: str) -> list[lineage.Link] | JSONResponse:
        """Return all orders linked to this one by cause, each after the order that caused it."""
        with desk.engine.connect() as connection:
            try:
                desk.known(connection, order_id)
            except CommandRefused as refused:
                return _refusal(refused)
            return lineage.tree(connection, order_id)


def _word_routes(router: APIRouter, desk: Desk) -> None:
    @router.post("/verdicts", status_code=202, response_model=None)
    def verdicts(body: VerdictCommand) -> Said | JSONResponse:
        """Record a person's decision on a step that waits for one."""
        return _answered(desk, body.order_id, lambda saga, seen: verdict_on(body, saga, seen))

    @router.post("/cancellations", status_code=202, response_model=None)
    def cancellations(body: CancelCommand) -> Said | JSONResponse:
        """Request that an order be undone, as an operator."""
        return _answered(desk, body.order_id, lambda saga, seen: cancellation_of(body, saga, seen))

    @router.post("/pauses", status_code=202, response_model=None)
    def pauses(body: Pausing) -> Said | JSONResponse:
        """Pause an order: it starts no new work until it is resumed."""
        return _answered(desk, body.order_id, lambda saga, seen: paused_by(body, saga, seen))

    @router.post("/resumptions", status_code=202, response_model=None)
    def resumptions(body: Pausing) -> Said | JSONResponse:
        """Resume a paused order."""
        return _answered(desk, body.order_id, lambda saga, seen: resumed_by(body, saga, seen))


def _case_routes(router: APIRouter, desk: Desk) -> None:
    @router.get("/interventions")
    def interventions(status: CaseStatus | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        """List interventions, the oldest first; without `status` the open and claimed ones."""
        wanted = [status] if status else [CaseStatus.OPEN, CaseStatus.CLAIMED]
        with desk.engine.connect() as connection:
            return queries.interventions(connection, wanted, limit)

    @router.post("/interventions/{deed}", status_code=202, response_model=None)
    def work(
        deed: Literal["open", "claim", "note", "resolve", "reopen"], body: CaseWork
    ) -> Said | JSONResponse:
        """Open, claim, add a note to, resolve or reopen an intervention."""
        decide = DEEDS[deed]
        return _answered(desk, body.order_id, lambda saga, seen: decide(body, saga, seen))

    @router.post("/pins/{deed}", status_code=202, response_model=None)
    def pins(deed: Literal["pin", "unpin"], body: Pinning) -> Said | JSONResponse:
        """Pin an order, which keeps it out of the history tables, or unpin it."""
        decide = PINNING[deed]
        return _answered(desk, body.order_id, lambda saga, seen: decide(body, saga, seen))


def _answered(
    desk: Desk, order_id: str, decide: Callable[[Saga, SagaView], Emission]
) -> Said | JSONResponse:
    try:
        return desk.say(order_id, decide)
    except CommandRefused as refused:
        return _refusal(refused)


def _refusal(refused: CommandRefused) -> JSONResponse:
    return problem(refused.status, refused.title, refused.detail)


def _shown(
    saga: Saga, seen: SagaView, told: list[dict[str, Any]], log_time: datetime | None
) -> dict[str, Any]:
    rows = {row["event_id"]: row for row in told}
    return {
        **asdict(seen),
        "interventions": seen.interventions,
        "ledger": {**asdict(seen.ledger), "held_minor": seen.ledger.held_minor},
        "next_deadline": seen.due,
        "read_through": log_time,
        "timeline": [
            {
                **row,
                "caused_by": cause.type if (cause := saga.facts.get(row["causation"])) else None,
            }
            for fact in saga.timeline()
            if (row := rows.get(fact.id))
        ],
    }
