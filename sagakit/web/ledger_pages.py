"""Serves books and ledgers page by page, for reconciliation.

A book is what a participant itself stores. A ledger is what the outside world stores of the
participant's calls, read through its gateway.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import Engine, TextClause, text

from sagakit.errors import EffectFailed
from sagakit.store.packed_headers import OUTBOX_SAGA
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope

Row = Mapping[str, Any]
Ledger = Callable[[int, int], Awaitable[tuple[Sequence[Row], int | None]]]
"""(offset, limit) -> rows, offset of the next page (None at the end). Raises EffectFailed."""

BUSY = text(
    "SELECT saga, array_agg(kind ORDER BY kind) AS kinds FROM "
    f"(SELECT saga, kind FROM effects UNION SELECT {OUTBOX_SAGA}, '' FROM outbox) AS found "
    "WHERE saga > :after GROUP BY saga ORDER BY saga LIMIT :limit"
)
"""The book `busy`: sagas with pending effects, by kind, or with outbox rows (no kind)."""
Limit = Annotated[int, Query(ge=1, le=10_000)]
After = Annotated[str, Query(max_length=500, pattern=r"^[^\x00]*$")]
Offset = Annotated[int, Query(ge=0, lt=2**53)]


def routes(
    engine: Engine, books: Mapping[str, TextClause], ledgers: Mapping[str, Ledger]
) -> APIRouter:
    """Build the routes that list and page through books and ledgers.

    `books`: name -> statement with `:after` and `:limit`; its first column is the row key and the
    sort key.
    """
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=requires(Scope.READ))
    books = {**books, "busy": BUSY}

    @router.get("/books")
    def names() -> dict[str, list[str]]:
        """List the books and ledgers by name."""
        return {"books": sorted(books), "ledgers": sorted(ledgers)}

    @router.get("/books/{name}")
    def book(name: str, after: After = "", limit: Limit = 1000) -> dict[str, Any]:
        """Return rows after the key `after`; `next` is the key to go on from, null at the end."""
        with engine.connect() as connection:
            statement = _named(books, name)
            found = connection.execute(statement, {"after": after, "limit": limit}).all()
        more = found[-1][0] if len(found) == limit else None
        return {"data": [dict(row._mapping) for row in found], "next": more}

    @router.get("/ledgers/{name}")
    async def ledger(name: str, offset: Offset = 0, limit: Limit = 1000) -> dict[str, Any]:
        """Return rows of the outside world's ledger.

        `next` is the offset to go on from, null at the end. 502: the outside world gives no usable
        answer.
        """
        try:
            rows, more = await _named(ledgers, name)(offset, limit)
        except EffectFailed as error:
            raise HTTPException(502, f"ledger {name}: {error}") from error
        return {"data": rows, "next": more}

    return router


def _named(found: Mapping[str, Any], name: str) -> Any:
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise HTTPException(404, f"there is no {name[:80]!r} here; available: {known}")
    return found[name]
