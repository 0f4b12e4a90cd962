"""The flow versions: their steps, and how many sagas are on each."""

from fastapi import APIRouter, Request, Response

from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.flow_versions import Version, reason_to_keep, versions
from saga_monitor.storage import queries
from saga_monitor.web.flow_drawing import Drawing, DrawingLabels, draw_flow
from saga_monitor.web.live import ANY
from saga_monitor.web.pages.saga import path_of
from saga_monitor.web.site import Website
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope


def flow_pages(site: Website) -> APIRouter:
    """Return the route of the flows."""
    router = APIRouter(include_in_schema=False, dependencies=requires(Scope.READ))
    reader = site.operations.reader

    @router.get("/ui/flows")
    def flows(request: Request) -> Response:
        """Show every flow version."""
        known = reader.projection.flows
        with reader.engine.connect() as connection:
            counts = queries.flows(connection)
        log_time = reader.log_time()
        shown: list[tuple[Version, Drawing | None, str | None]] = []
        for version in versions(known, counts):
            if not version.declared:
                shown.append((version, None, "its flow file was removed too early"))
                continue
            flow, number = known.find(version.flow)
            drawing = draw_flow(Plan.of(flow, number), DrawingLabels())
            reason = reason_to_keep(version.flow, known, counts, log_time)
            shown.append((version, drawing, reason))
        return site.page(
            request, "flows.html", here="flows", live=ANY, versions=shown, path_of=path_of
        )

    return router
