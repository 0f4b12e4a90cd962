"""Routes that read sagas: the list, one saga, its evidence, and the sagas related to it."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from saga_monitor.api.answers import Limit, refusal_problem
from saga_monitor.operations.reads import SagaReader
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.evidence import to_json
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.view import SagaView, Status
from saga_monitor.storage import lineage, queries
from sagakit.web.app import problem


def saga_routes(reader: SagaReader) -> APIRouter:
    """Return the router of the routes that read sagas."""
    router = APIRouter(tags=["sagas"])

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
        now = reader.log_time()
        with reader.engine.connect() as connection:
            return queries.sagas(connection, status, stuck, now, limit, history=history)

    @router.get("/sagas/{order_id:path}", response_model=None)
    def saga(order_id: str) -> dict[str, Any] | JSONResponse:
        """Return one order: its steps, what it awaits and since when, its balances, every event."""
        with reader.engine.connect() as connection:
            try:
                known, view = reader.load(connection, order_id)
            except CommandRefused as refused:
                return refusal_problem(refused)
            timeline = queries.timeline(connection, order_id)
            in_history = queries.is_history(connection, order_id)
            links = lineage.of_order(connection, order_id)
        cause = reader.blocking_causes(view).get(order_id)
        body = _saga_body(known, view, timeline, reader.log_time())
        return {**body, "links": links, "blocked_by": cause, "history": in_history}

    @router.get("/evidence/{order_id:path}", response_model=None)
    def evidence(order_id: str) -> Response:
        """Return all that is known of an order, to keep, to send, or to replay as a test."""
        try:
            return Response(to_json(reader.evidence(order_id)), media_type="application/json")
        except CommandRefused as refused:
            return refusal_problem(refused)

    _add_lineage_routes(router, reader)
    return router


def _add_lineage_routes(router: APIRouter, reader: SagaReader) -> None:
    @router.get("/batches/{batch_id:path}", response_model=None)
    def batch(batch_id: str) -> dict[str, Any] | JSONResponse:
        """Return the orders of a batch, with a count for each status."""
        with reader.engine.connect() as connection:
            found = lineage.batch(connection, batch_id) if batch_id.isprintable() else None
        if found is None:
            detail = f"no order of batch {batch_id!r} was read yet; check the id, or try again"
            return problem(404, "unknown batch", detail)
        return found

    @router.get("/links/{order_id:path}", response_model=None)
    def links(order_id: str) -> list[lineage.Link] | JSONResponse:
        """Return all orders linked to this one by cause, each after the order that caused it."""
        with reader.engine.connect() as connection:
            try:
                reader.load(connection, order_id)
            except CommandRefused as refused:
                return refusal_problem(refused)
            return lineage.tree(connection, order_id)


def _saga_body(
    saga: Saga, view: SagaView, timeline: list[dict[str, Any]], log_time: datetime | None
) -> dict[str, Any]:
    rows = {row["event_id"]: row for row in timeline}
    return {
        **asdict(view),
        "open_interventions": view.open_interventions,
        "next_deadline": view.due,
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
