"""The list of sagas: search as you type, pages, and export."""

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from saga_monitor.operations.searches import (
    MAX_QUERY,
    SagaSearch,
    SearchPage,
    read_place,
    write_place,
)
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.search import FIELDS, QueryError, complete
from saga_monitor.web.live import ANY
from saga_monitor.web.pages.saga import path_of
from saga_monitor.web.site import HEADERS, Website, see
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope

ROWS = 50
MOST_EXPORTED = 100_000
COLUMNS = (
    "saga",
    "flow",
    "status",
    "awaited",
    "next_deadline",
    "started_at",
    "ended_at",
    "updated_at",
)
SavedText = Annotated[str, Query(max_length=MAX_QUERY)]


def sagas_pages(site: Website) -> APIRouter:
    """Return the routes of the list."""
    router = APIRouter(include_in_schema=False, dependencies=requires(Scope.READ))
    finder = SagaSearch(site.operations.reader)

    @router.get("/ui/sagas")
    def sagas(
        request: Request, q: SavedText = "", history: bool = False, after: str = ""
    ) -> Response:
        """List what a query finds, the newest event first."""
        shown: dict[str, Any] = {"here": "sagas", "query": q, "history": history, "fields": FIELDS}
        shown["flows"] = finder.flows
        try:
            page = finder.page(q, ROWS, read_place(after), history=history)
        except QueryError as error:
            return site.page(request, "sagas.html", 422, **shown, page=None, wrong=error)
        except CommandRefused as refused:
            wrong = QueryError(0, len(q), refused.detail)
            return site.page(request, "sagas.html", 422, **shown, page=None, wrong=wrong)
        except ValueError:
            return site.problem(request, 422, "Not a page", "Begin at the first page again.")
        if _names_one(request, q, page):
            return see(path_of(page.rows[0]["saga"]))
        link = {"q": q, **({"history": "true"} if history else {})}
        next_page = {**link, "after": write_place(page.after)} if page.after else None
        return site.page(
            request,
            "sagas.html",
            **shown,
            page=page,
            wrong=None,
            live=ANY,
            path_of=path_of,
            first="/ui/sagas?" + urlencode(link) if after else None,
            next="/ui/sagas?" + urlencode(next_page) if next_page else None,
            export=urlencode(link),
            causes="/ui/causes?" + urlencode({"saga": [r["saga"] for r in page.rows]}, doseq=True),
        )

    @router.get("/ui/causes")
    def causes(request: Request, saga: Annotated[list[str], Query(max_length=ROWS)]) -> Response:
        """Return what blocks some sagas, each for its cell of the list."""
        return site.page(request, "causes.html", found=finder.causes(saga), sagas=saga)

    @router.get("/ui/completions")
    def completions(q: SavedText = "") -> JSONResponse:
        """Return what a query may go on as."""
        return JSONResponse(complete(q, finder.flows, finder.steps)[:20], headers=HEADERS)

    _add_export(router, site, finder)
    return router


def _add_export(router: APIRouter, site: Website, finder: SagaSearch) -> None:
    """Add the route of what a query finds as a file."""

    @router.get("/ui/sagas.{kind}")
    def export(request: Request, kind: str, q: SavedText = "", history: bool = False) -> Response:
        """Return all that a query finds as CSV or JSON lines."""
        if kind not in ("csv", "json"):
            return site.problem(request, 404, "No such export", "Choose csv or json.")
        try:
            finder.page(q, 1, history=history)
        except (QueryError, CommandRefused) as error:
            return site.problem(request, 422, "Not a query", str(error))
        rows = finder.every(q, MOST_EXPORTED, history=history)
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="sagas.{kind}"'}
        if kind == "csv":
            return StreamingResponse(_csv(rows), media_type="text/csv", headers=headers)
        lines = (orjson.dumps({c: row[c] for c in COLUMNS}) + b"\n" for row in rows)
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def _names_one(request: Request, written: str, page: SearchPage) -> bool:
    """Return True if a person has entered an id, or the beginning of one, of one saga alone."""
    typing = "hx-request" in request.headers
    return (
        page.count == 1
        and len(page.rows) == 1
        and written.isprintable()
        and not typing
        and (" " not in written.strip() and ":" not in written and bool(written.strip()))
    )


def _csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield lines of CSV; a text that a spreadsheet would take for a formula gets a quote."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in COLUMNS])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
