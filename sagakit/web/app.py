"""Builds the HTTP app of every service: health, metrics, admin and the service's own routes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from uuid import uuid4

import structlog
from fastapi import APIRouter, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection, Engine, TextClause, exc, text
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sagakit.errors import RequestTimedOut
from sagakit.handling.handler import Disposition, HandlingResult
from sagakit.messages.codec import MAX_KEY_CHARS
from sagakit.telemetry import metrics
from sagakit.web.signed_webhook import BadSignature

log = structlog.get_logger(__name__)
Checks = Mapping[str, Callable[[], str | None]]
"""Name -> check; a check returns None when healthy, else the problem."""

MAX_BODY_BYTES = 1024 * 1024
"""Twice the limit of an event: no acceptable request is larger."""
TOO_LARGE = f"the body has more than {MAX_BODY_BYTES} bytes; send less at once"
RETRY_AFTER_S = 2
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL stores no NUL in text."""
Limit = Annotated[int, Query(ge=1, le=10_000)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Word = Annotated[str, Query(max_length=500, pattern=NO_NUL)]
ParkedKey = Annotated[str, Path(max_length=MAX_KEY_CHARS, pattern=NO_NUL)]

PARKED = text(
    'SELECT id, key, code, error, source, seq, topic, partition, "offset", parked_at '
    "FROM parked WHERE CAST(:order AS text) IS NULL OR key = :order ORDER BY id LIMIT :limit"
)
DISCARD = text("DELETE FROM parked WHERE id = :id RETURNING key")
EFFECTS = text(
    "SELECT key, kind, order_key, attempts, last_error, due_at, created_at FROM effects "
    "WHERE CAST(:order AS text) IS NULL OR order_key = :order ORDER BY created_at LIMIT :limit"
)
OUTBOX = text(
    "SELECT id, topic, key, created_at FROM outbox "
    "WHERE CAST(:order AS text) IS NULL OR key = :order ORDER BY id LIMIT :limit"
)
ROWS_AN_ORDER = 20


def _of_orders(table: str, order: str, columns: str, by: str) -> TextClause:
    """Build the statement for the first ROWS_AN_ORDER rows of each of many orders."""
    return text(
        f"SELECT {order} AS order_id, {columns} FROM (SELECT *, row_number() OVER "
        f"(PARTITION BY {order} ORDER BY {by}) AS place FROM {table} WHERE {order} = ANY(:orders)) "
        f"AS found WHERE place <= {ROWS_AN_ORDER} ORDER BY {by}"
    )


HOLDS = {
    "effects": _of_orders(
        "effects", "order_key", "key, kind, attempts, last_error, due_at, created_at", "created_at"
    ),
    "outbox": _of_orders("outbox", "key", "topic, created_at", "id"),
    "parked": _of_orders(
        "parked", "key", 'code, error, topic, partition, "offset", parked_at', "id"
    ),
}
Held = dict[str, dict[str, list[dict[str, Any]]]]
"""Order id -> `effects`, `outbox` and `parked` -> its rows, oldest first."""


OrderId = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""PostgreSQL stores no NUL in text."""


class Orders(BaseModel):
    """Lists the ids of the orders that a request asks about."""

    orders: list[OrderId] = Field(max_length=10_000)


def holds_of(connection: Connection, orders: Sequence[str]) -> Held:
    """Return the pending effects, outbox rows and parked records of many orders.

    Each kind is cut to the first ROWS_AN_ORDER rows per order. An order without rows is left out.
    """
    found: Held = {}
    for kind, query in HOLDS.items():
        for row in connection.execute(query, {"orders": list(orders)}).mappings():
            held = found.setdefault(row["order_id"], {name: [] for name in HOLDS})
            held[kind].append({name: row[name] for name in row if name != "order_id"})
    return found


def make_app(title: str, checks: Checks, *routers: APIRouter) -> FastAPI:
    """Build the app; errors are JSON that names the fault (RFC 9457 problem details)."""
    app = FastAPI(title=title)
    app.add_middleware(BodyLimit)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(_wrong(e) for e in error.errors()[:20])
        return problem(422, "not valid", told)

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        answer = problem(error.status_code, "refused", error.detail)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(BadSignature)
    async def refuse(request: Request, error: BadSignature) -> JSONResponse:
        return problem(401, "bad signature", str(error))

    @app.exception_handler(RequestTimedOut)
    async def unanswered(request: Request, error: RequestTimedOut) -> JSONResponse:
        return _come_again("not handled in time", str(error))

    for passing in (exc.OperationalError, exc.InterfaceError, exc.TimeoutError):
        app.add_exception_handler(passing, _unavailable)

    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health/ready", tags=["health"])
    def ready(response: Response) -> dict[str, Any]:
        wrong = {name: said for name, check in checks.items() if (said := check())}
        response.status_code = 503 if wrong else 200
        return {"status": "not ready" if wrong else "ready", "wrong": wrong}

    @app.get("/metrics", tags=["health"])
    def read_metrics() -> Response:
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    for router in routers:
        app.include_router(router)
    return app


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    """Answer 503: the database is gone, full, or out of connections (`retry.is_transient`)."""
    log.warning("no database for a request", path=request.url.path, error=str(error))
    return _come_again("database unavailable", "nothing has happened; try again")


def _come_again(title: str, detail: str) -> JSONResponse:
    answer = problem(503, title, detail)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    """Build a response with RFC 9457 problem details."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, media_type="application/problem+json")


def _wrong(error: Mapping[str, Any]) -> str:
    """Describe an invalid field: place, fault, value. In ASCII: the input may not be text."""
    where = ".".join(str(part) for part in error["loc"])
    held = "" if error["type"] == "missing" else f", not {ascii(error['input'])[:80]}"
    return ascii(f"{where}: {error['msg']}{held}")[1:-1]


class BodyLimit:
    """Middleware that reads no body beyond MAX_BODY_BYTES, whatever length it declares."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, see ASGI."""
        told = dict(scope.get("headers", ())).get(b"content-length", b"")
        if told.isdigit() and int(told[:20]) > MAX_BODY_BYTES:
            await problem(413, "too large", TOO_LARGE)(scope, receive, send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY_BYTES:
                raise HTTPException(413, TOO_LARGE)
            return message

        await self._app(scope, bounded, send)


def admin(engine: Engine, redrive: Callable[[str], list[HandlingResult[Any]]]) -> APIRouter:
    """Build the admin routes: list what blocks orders here, redrive or discard parked records."""
    router = APIRouter(prefix="/admin", tags=["admin"])

    def rows(query: Any, **parameters: Any) -> list[dict[str, Any]]:
        with engine.connect() as connection:
            return [dict(r._mapping) for r in connection.execute(query, parameters)]

    @router.get("/parked")
    def parked(order: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(PARKED, order=order, limit=limit)

    @router.post("/parked/{key:path}/redrive")
    def redrive_key(key: ParkedKey) -> dict[str, Any]:
        fates = redrive(key)
        left = rows(PARKED, order=key, limit=10_000)
        handled = sum(f.fate is not Disposition.PARKED for f in fates)
        return {"key": key, "handled": handled, "still_parked": left}

    @router.delete("/parked/{number}")
    def discard(number: Number, actor: Word, reason: Word) -> dict[str, Any]:
        with engine.begin() as connection:
            key = connection.execute(DISCARD, {"id": number}).scalar()
            if key is None:
                raise HTTPException(404, f"no parked record {number}; GET /admin/parked lists them")
        redrive(key)
        log.warning("parked record discarded", id=number, key=key, actor=actor, reason=reason)
        return {"discarded": number, "key": key, "receipt": str(uuid4())}

    @router.get("/effects")
    def effects(order: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(EFFECTS, order=order, limit=limit)

    @router.get("/outbox")
    def outbox(order: Word | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
        return rows(OUTBOX, order=order, limit=limit)

    @router.post("/holds")
    def holds(asked: Orders) -> Held:
        """Return everything that may block these orders here; changes nothing."""
        with engine.connect() as connection:
            return holds_of(connection, asked.orders)

    return router
