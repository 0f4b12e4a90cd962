"""Route that finds sagas by a query."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from saga_monitor.api.answers import Limit, refusal_problem
from saga_monitor.operations.searches import MAX_QUERY, SagaSearch, read_place, write_place
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.search import QueryError
from sagakit.web.app import problem
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope


def search_routes(finder: SagaSearch) -> APIRouter:
    """Return the router of the search."""
    router = APIRouter(tags=["sagas"], dependencies=requires(Scope.READ))

    @router.get("/search", response_model=None)
    def search(
        q: Annotated[str, Query(max_length=MAX_QUERY, examples=["is:stuck age>2h"])] = "",
        after: Annotated[str, Query(max_length=1000)] = "",
        history: bool = False,
        limit: Limit = 100,
    ) -> dict[str, Any] | JSONResponse:
        """Find sagas by a query, the newest event first (docs/how-to/watch-sagas.md).

        `count`: how many fit in all, `more`: at least so many; `next`: send it as `after` for the
        page that follows, null at the end.
        """
        try:
            page = finder.page(q, limit, read_place(after), history=history)
        except QueryError as error:
            detail = f"characters {error.start} to {error.end}: expected {error.expected}"
            return problem(422, "not a query", detail, start=error.start, end=error.end)
        except CommandRefused as refused:
            return refusal_problem(refused)
        except ValueError:
            return problem(422, "not a place", "after: send the `next` of an answer, or nothing")
        place = write_place(page.after) if page.after else None
        return {"sagas": page.rows, "count": page.count, "more": page.more, "next": place}

    return router
