"""The list of sagas, filtered."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from saga_monitor.saga.view import Status
from saga_monitor.storage import queries
from saga_monitor.web.live import ANY
from saga_monitor.web.pages.saga import path_of
from saga_monitor.web.site import Site, see

ROWS = 100


def sagas_pages(site: Site) -> APIRouter:
    """Return the route of the list."""
    router = APIRouter(include_in_schema=False)
    reader = site.desk.reader

    @router.get("/ui/sagas")
    def sagas(
        request: Request,
        q: Annotated[str, Query(max_length=500)] = "",
        status: str = "",
        flow: str = "",
        stuck: bool = False,
        history: bool = False,
    ) -> Response:
        """List the sagas of a filter, the newest event first; a saga's name opens its page."""
        names = [one.name for one in reader.projection.flows]
        chosen = Status(status) if status in {one.value for one in Status} else None
        with reader.engine.connect() as connection:
            if q.strip():
                rows = queries.named(connection, q.strip(), names)
            else:
                now = reader.log_time()
                rows = queries.sagas(
                    connection, chosen, stuck, now, ROWS, flow=flow or None, history=history
                )
        if q.strip() and len(rows) == 1:
            return see(path_of(rows[0]["saga"]))
        return site.page(
            request,
            "sagas.html",
            here="sagas",
            live=ANY,
            query=q,
            rows=rows,
            most=ROWS,
            flows=names,
            statuses=[one.value for one in Status],
            chosen={"status": status, "flow": flow, "stuck": stuck, "history": history},
            path_of=path_of,
            link=lambda **more: f"/ui/sagas?{urlencode(more)}",
        )

    return router
