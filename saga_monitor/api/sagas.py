"""Routes that read sagas: the list, one saga, its evidence, and the sagas related to it."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from saga_monitor.api.answers import Limit, refusal_problem
from saga_monitor.operations.reads import SagaReader
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.evidence import to_json
from saga_monitor.saga.time_travel import Basis
from saga_monitor.saga.view import Status
from saga_monitor.storage import lineage, queries
from sagakit.identity import is_plain, saga_key
from sagakit.web.app import problem
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope


def saga_routes(reader: SagaReader) -> APIRouter:
    """Return the router of the routes that read sagas."""
    router = APIRouter(tags=["sagas"], dependencies=requires(Scope.READ))

    @router.get("/sagas")
    def sagas(
        status: Status | None = None,
        stuck: bool = False,
        history: bool = False,
        flow: str | None = None,
        limit: Limit = 100,
    ) -> list[dict[str, Any]]:
        """List sagas, the newest event first.

        `stuck`: only overdue, unplaced, or with an open intervention; `history`: only sagas that
        were moved to the history tables, instead of the others; `flow`: only those of the flow with
        this name.
        """
        now = reader.log_time()
        with reader.engine.connect() as connection:
            return queries.sagas(connection, status, stuck, now, limit, flow=flow, history=history)

    @router.get("/candidates")
    def candidates(name: str) -> list[dict[str, Any]]:
        """List the sagas that `name` may mean: a saga key, `flow/id`, or an id in any flow."""
        flows = [flow.name for flow in reader.projection.flows]
        with reader.engine.connect() as connection:
            return queries.named(connection, name, flows)

    @router.get("/sagas/{flow}/{saga_id:path}", response_model=None)
    def saga(
        flow: str, saga_id: str, at: str | None = None, basis: Basis = Basis.LOG
    ) -> dict[str, Any] | JSONResponse:
        """Return one saga: its steps, what it awaits and since when, its balances, every event.

        `at`: as it was at this time (ISO 8601 with a zone): with the basis `log` the events that
        the log had then, with `read` those that the monitor had read. Then `point` says what the
        answer stands for, and `blocked_by` is null: nobody keeps what blocked a saga once.
        """
        try:
            if at is None:
                return reader.describe(saga_key(flow, saga_id)).body
            return reader.describe_at(saga_key(flow, saga_id), at, basis).body
        except CommandRefused as refused:
            return refusal_problem(refused)

    @router.get("/evidence/{flow}/{saga_id:path}", response_model=None)
    def evidence(flow: str, saga_id: str) -> Response:
        """Return all that is known of a saga, to keep, to send, or to replay as a test."""
        key = saga_key(flow, saga_id)
        try:
            return Response(to_json(reader.evidence(key)), media_type="application/json")
        except CommandRefused as refused:
            return refusal_problem(refused)

    _add_lineage_routes(router, reader)
    return router


def _add_lineage_routes(router: APIRouter, reader: SagaReader) -> None:
    @router.get("/batches/{batch_id:path}", response_model=None)
    def batch(batch_id: str) -> dict[str, Any] | JSONResponse:
        """Return the sagas of a batch, with a count for each status."""
        with reader.engine.connect() as connection:
            found = lineage.batch(connection, batch_id) if is_plain(batch_id) else None
        if found is None:
            detail = f"no saga of batch {batch_id!r} was read yet; check the id, or try again"
            return problem(404, "unknown batch", detail)
        return found

    @router.get("/links/{flow}/{saga_id:path}", response_model=None)
    def links(flow: str, saga_id: str) -> list[lineage.Link] | JSONResponse:
        """Return all sagas linked to this one by cause, each after the saga that caused it."""
        key = saga_key(flow, saga_id)
        with reader.engine.connect() as connection:
            try:
                reader.load(connection, key)
            except CommandRefused as refused:
                return refusal_problem(refused)
            return lineage.tree(connection, key)
