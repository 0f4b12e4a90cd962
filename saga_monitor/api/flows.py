"""Routes for flow versions: how many sagas are on each, and whether one can be removed."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from saga_monitor.operations.reads import SagaReader
from saga_monitor.saga.flow_versions import Version, reason_to_keep, versions
from saga_monitor.storage import queries
from sagakit.errors import UnknownFlow
from sagakit.web.app import problem
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope


def flow_routes(reader: SagaReader) -> APIRouter:
    """Return the router of the flow versions."""
    router = APIRouter(tags=["flows"], dependencies=requires(Scope.READ))

    @router.get("/flows")
    def flows() -> list[Version]:
        """List flow versions with the number of sagas in flight on each."""
        with reader.engine.connect() as connection:
            return versions(reader.projection.flows, queries.flows(connection))

    @router.get("/flows/retirement", response_model=None)
    def retirement(flow: str) -> dict[str, Any] | JSONResponse:
        """Tell if a version (`errand/1`) may be removed from its flow file; 409 says why not."""
        with reader.engine.connect() as connection:
            counts = queries.flows(connection)
        try:
            reason = reason_to_keep(flow, reader.projection.flows, counts, reader.log_time())
        except UnknownFlow as error:
            return problem(404, "unknown flow", str(error))
        if reason:
            return problem(409, "still needed", reason)
        return {"flow": flow, "ended": next((c.ended for c in counts if c.label == flow), 0)}

    return router
