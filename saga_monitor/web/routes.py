"""Collects the routes of the dashboard."""

from fastapi import APIRouter, Response

from saga_monitor.web.live import LiveFeed, live_routes
from saga_monitor.web.pages.audit import audit_pages
from saga_monitor.web.pages.flows import flow_pages
from saga_monitor.web.pages.interventions import intervention_pages
from saga_monitor.web.pages.login import login_pages
from saga_monitor.web.pages.overview import overview_pages
from saga_monitor.web.pages.saga import saga_pages
from saga_monitor.web.pages.sagas import sagas_pages
from saga_monitor.web.pages.services import service_pages
from saga_monitor.web.people import People
from saga_monitor.web.site import Website, see
from sagakit.web.identity.requires import open_to_all

HOME = "/ui/overview"


def ui_routers(site: Website, people: People) -> list[APIRouter]:
    """Return the routers of all pages."""
    home = APIRouter(
        include_in_schema=False, dependencies=open_to_all("it only leads to the overview")
    )

    @home.get("/")
    @home.get("/ui")
    def root() -> Response:
        """Go to the overview."""
        return see(HOME)

    return [
        home,
        site.assets.routes(),
        live_routes(LiveFeed(site.operations.reader.engine)),
        login_pages(site, people),
        overview_pages(site),
        sagas_pages(site),
        saga_pages(site),
        intervention_pages(site),
        flow_pages(site),
        service_pages(site),
        audit_pages(site),
    ]
