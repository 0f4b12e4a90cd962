"""The queue of interventions, and the records that could not be read."""

from fastapi import APIRouter, Request, Response

from saga_monitor.saga.interventions import OPEN_STATUSES, InterventionStatus
from saga_monitor.storage import queries
from saga_monitor.web.live import ANY
from saga_monitor.web.pages.saga import path_of
from saga_monitor.web.site import Website
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope

ROWS = 500


def intervention_pages(site: Website) -> APIRouter:
    """Return the routes of both pages."""
    router = APIRouter(include_in_schema=False, dependencies=requires(Scope.READ))
    reader = site.operations.reader

    @router.get("/ui/interventions")
    def interventions(request: Request, status: str = "") -> Response:
        """List interventions, the oldest first."""
        known = [one.value for one in InterventionStatus]
        wanted = (status,) if status in known else OPEN_STATUSES
        with reader.engine.connect() as connection:
            rows = queries.interventions(connection, wanted, ROWS)
        return site.page(
            request,
            "interventions.html",
            here="interventions",
            live=ANY,
            rows=rows,
            most=ROWS,
            statuses=known,
            chosen=status,
            path_of=path_of,
        )

    @router.get("/ui/unreadable")
    def unreadable(request: Request) -> Response:
        """List the records that are no event of the contract."""
        with reader.engine.connect() as connection:
            rows = queries.unreadable(connection, ROWS)
        return site.page(
            request,
            "unreadable.html",
            here="unreadable",
            live=ANY,
            rows=rows,
            most=ROWS,
            path_of=path_of,
        )

    return router
