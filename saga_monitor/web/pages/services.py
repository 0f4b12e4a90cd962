"""The services: what each says of itself, and how far it has read."""

from typing import Any

from fastapi import APIRouter, Request, Response

from saga_monitor.web.site import Website
from sagakit.kafka.client import KafkaException
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope


def service_pages(site: Website) -> APIRouter:
    """Return the route of the services."""
    router = APIRouter(include_in_schema=False, dependencies=requires(Scope.READ))
    operations = site.operations

    @router.get("/ui/services")
    def services(request: Request) -> Response:
        """Show every participant."""
        rows: list[dict[str, Any]] = []
        for name, state in sorted(operations.participants.states().items()):
            behind, unknown = None, None
            try:
                read = operations.positions(name)
                behind = sum(max(end - committed, 0) for committed, end in read.values())
            except KafkaException as error:
                unknown = str(error)
            rows.append({"name": name, "state": state, "behind": behind, "unknown": unknown})
        return site.page(request, "services.html", here="services", rows=rows)

    return router
