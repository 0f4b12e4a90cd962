"""Builds the HTTP app of every service: health, metrics, errors, and the routers given."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from sagakit.errors import (
    RegistryUnavailable,
    RequestTimedOut,
    TooManyWaiting,
    UnreadableState,
)
from sagakit.own_threads import OwnThreads
from sagakit.retry import is_transient
from sagakit.telemetry import metrics
from sagakit.web.access import Access, TrustedHosts
from sagakit.web.identity.authenticator import Authenticator
from sagakit.web.identity.requires import (
    LoggedRefusals,
    RefusalPort,
    check_routes,
    open_to_all,
    requires,
    use_authenticator,
)
from sagakit.web.identity.scopes import Scope

log = structlog.get_logger(__name__)
Checks = Mapping[str, Callable[[], str | None]]
"""Name -> check; a check returns None when healthy, else the problem."""

MAX_BODY_BYTES = 1024 * 1024
"""Twice the limit of an event: no acceptable request is larger."""
TOO_LARGE = f"the body has more than {MAX_BODY_BYTES} bytes; send less at once"
RETRY_AFTER_S = 2
ANYBODY = Access()
HEALTH_THREADS = 2
"""Health and metrics answer although requests hold all other threads."""


class Health(Protocol):
    """Tells how the process of an app is; see `service.lifecycle.Lifecycle`."""

    def closed(self) -> str | None:
        """Return why requests are not taken now, None if they are."""
        ...

    def stalled(self) -> Mapping[str, str]:
        """Return the loops that stand, each with the problem."""
        ...

    def missing(self) -> Mapping[str, str]:
        """Return what the process lacks to be ready, each with the problem."""
        ...


class NoLoops:
    """Is the health of an app without a process around it."""

    def closed(self) -> str | None:
        """See `Health`."""
        return None

    def stalled(self) -> Mapping[str, str]:
        """See `Health`."""
        return {}

    def missing(self) -> Mapping[str, str]:
        """See `Health`."""
        return {}


def make_app(
    title: str,
    checks: Checks,
    *routers: APIRouter,
    health: Health | None = None,
    access: Access = ANYBODY,
    authenticator: Authenticator | None = None,
    refusals: RefusalPort | None = None,
) -> FastAPI:
    """Build the app; errors are JSON that names the fault (RFC 9457 problem details).

    While `health` is closed all routes but those of health answer 503. There are no pages of the
    API (`/docs`): they run scripts of other sites; `/openapi.json` describes it.

    Without an `authenticator` everybody may do everything. `refusals`: keeps refused requests.
    Raises ConfigurationError for a route that does not say who may call it, see `requires`.
    """
    state = health or NoLoops()
    app = FastAPI(title=title, docs_url=None, redoc_url=None)
    use_authenticator(app, authenticator, refusals or LoggedRefusals())
    app.add_middleware(BodyLimit)
    app.add_middleware(TrustedHosts, access=access)

    _explain_errors(app)

    async def taken() -> None:
        if why := state.closed():
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            raise HTTPException(503, f"{why}; try again", headers=headers)

    healthy = open_to_all("a supervisor asks whether the process is well")

    @app.get("/health/live", tags=["health"], dependencies=healthy)
    async def live(response: Response) -> dict[str, Any]:
        wrong = state.stalled()
        response.status_code = 503 if wrong else 200
        return {"status": "stalled" if wrong else "alive", "wrong": wrong}

    own = OwnThreads("health", HEALTH_THREADS)

    @app.get("/health/ready", tags=["health"], dependencies=healthy)
    async def ready(response: Response) -> dict[str, Any]:
        found = await own.run(lambda: {name: check() for name, check in checks.items()})
        wrong = {name: reason for name, reason in found.items() if reason} | dict(state.missing())
        response.status_code = 503 if wrong else 200
        answer = {"status": "not ready" if wrong else "ready", "wrong": wrong}
        fault = authenticator.fault() if authenticator else None
        return {**answer, "warnings": {"login": fault}} if fault else answer

    @app.get("/metrics", tags=["health"], dependencies=requires(Scope.READ))
    async def read_metrics() -> Response:
        return Response(await own.run(metrics.exposition), media_type=metrics.CONTENT_TYPE)

    for router in routers:
        app.include_router(router, dependencies=[Depends(taken)])
    check_routes(app)
    return app


def _explain_errors(app: FastAPI) -> None:
    """Answer the errors that a request may meet as problem details."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        detail = "; ".join(_wrong(e) for e in error.errors()[:20])
        return problem(422, "not valid", detail)

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        answer = problem(error.status_code, "refused", error.detail)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestTimedOut)
    async def unanswered(request: Request, error: RequestTimedOut) -> JSONResponse:
        return _come_again("not handled in time", str(error))

    @app.exception_handler(TooManyWaiting)
    async def crowded(request: Request, error: TooManyWaiting) -> JSONResponse:
        return _come_again("too many wait", str(error))

    @app.exception_handler(RegistryUnavailable)
    async def unread(request: Request, error: RegistryUnavailable) -> JSONResponse:
        return _come_again("schema registry unavailable", str(error))

    @app.exception_handler(UnreadableState)
    async def unknown(request: Request, error: UnreadableState) -> JSONResponse:
        return _come_again("unreadable state", str(error))

    app.add_exception_handler(exc.SQLAlchemyError, _unavailable)


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    """Answer 503 if the failure is a passing one: nothing is wrong with the request."""
    if not is_transient(error):
        raise error
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
    got = "" if error["type"] == "missing" else f", not {ascii(error['input'])[:80]}"
    return ascii(f"{where}: {error['msg']}{got}")[1:-1]


class BodyLimit:
    """Middleware that reads no body beyond MAX_BODY_BYTES, whatever length it declares."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle a request, see ASGI."""
        length = dict(scope.get("headers", ())).get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > MAX_BODY_BYTES:
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
