"""Declares the scope that a route needs, and refuses who does not have it (RFC 6750).

Every route declares one scope, or that it is open to all and why; an app with another route is not
built.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import RouteContext, iter_route_contexts
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from sagakit.errors import ConfigurationError
from sagakit.web.identity.authenticator import (
    Authenticator,
    LoginUnavailable,
    NotLoggedIn,
    ReservedSubject,
)
from sagakit.web.identity.scopes import Principal, Scope

log = structlog.get_logger(__name__)
REALM = "saga"
RETRY_AFTER_S = 2
DESCRIBED = "/openapi.json"
"""It describes the API and has no data, so it is open to all."""


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """Is a request that was refused. subject: who sent it, empty if nobody knows."""

    status: int
    subject: str
    address: str
    route: str
    reason: str


class RefusalPort(Protocol):
    """Keeps refusals for the audit."""

    def note(self, refusal: RefusedRequest) -> None:
        """Keep a refusal; does not wait."""
        ...


class LoggedRefusals:
    """Keeps refusals in the log alone."""

    def note(self, refusal: RefusedRequest) -> None:
        """See `RefusalPort`."""


def use_authenticator(
    app: FastAPI, authenticator: Authenticator | None, refusals: RefusalPort
) -> None:
    """Make the routes of an app find out who calls; None: everybody may do everything."""
    app.state.authenticator, app.state.refusals = authenticator, refusals


async def principal_of(request: Request) -> Principal | None:
    """Return who sends a request, None in an app without log-in.

    Raises HTTPException: 401 for nobody known, 403 for a reserved name, 503 if it cannot be told.
    """
    authenticator: Authenticator | None = request.app.state.authenticator
    if authenticator is None:
        return None
    if (known := known_principal(request)) is not None:
        return known
    try:
        found = await authenticator.principal(request)
    except NotLoggedIn as error:
        challenge = {"error": "invalid_token"} if error.presented else {}
        raise _refused(request, 401, str(error), challenge) from None
    except ReservedSubject as error:
        raise _refused(request, 403, str(error), {}) from None
    except LoginUnavailable as error:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise HTTPException(503, f"{error}; try again", headers=headers) from None
    request.state.principal = found
    return found


def known_principal(request: Request) -> Principal | None:
    """Return whom the check of a route's scope has found; None in an app without log-in."""
    found: Principal | None = getattr(request.state, "principal", None)
    return found


class BearerScope(SecurityBase):
    """Refuses a request whose sender has not the scope that the route declares."""

    def __init__(self) -> None:
        self.scheme_name = "bearer"
        self.model = HTTPBearer(description="A token of `saga token add`, or a JWT of the issuer.")

    async def __call__(self, request: Request, needed: SecurityScopes) -> None:
        """Check a request. Raises HTTPException as `principal_of`, and 403 for a missing scope."""
        principal = await principal_of(request)
        if principal is None:
            return
        for scope in needed.scopes:
            if not principal.may(Scope(scope)):
                reason = (
                    f"{principal.subject} has not the scope {scope}, which "
                    f"{_route_of(request)} needs; log in with a token that has it"
                )
                challenge = {"error": "insufficient_scope", "scope": scope}
                raise _refused(request, 403, reason, challenge, principal)


_BEARER = BearerScope()


class OpenToAll:
    """Marks a route that everybody may call, and says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def __call__(self) -> None:
        """Let every request pass."""


def requires(scope: Scope) -> list[Any]:
    """Return the dependencies of routes that need a scope."""
    return [Security(_BEARER, scopes=[str(scope)])]


def open_to_all(reason: str) -> list[Any]:
    """Return the dependencies of routes that everybody may call; `reason`: why that is right."""
    return [Depends(OpenToAll(reason))]


@dataclass(frozen=True, slots=True)
class RouteAccess:
    """Says who may call a route: who has one of `scopes`, or everybody for a reason."""

    methods: tuple[str, ...]
    path: str
    scopes: tuple[str, ...] = ()
    open_because: str | None = None


def route_accesses(app: FastAPI) -> Iterator[RouteAccess]:
    """Yield who may call each route of an app."""
    for found in iter_route_contexts(app.routes):
        methods, path = tuple(sorted(found.methods or ())), str(found.path)
        if path == DESCRIBED:
            yield RouteAccess(methods, path, open_because="it describes the API")
            continue
        calls = list(_dependencies(found))
        scopes = [
            scope for call, names in calls if isinstance(call, BearerScope) for scope in names
        ]
        reasons = [call.reason for call, _ in calls if isinstance(call, OpenToAll)]
        yield RouteAccess(methods, path, tuple(scopes), next(iter(reasons), None))


def _dependencies(found: RouteContext) -> Iterator[tuple[Callable[..., Any] | None, list[str]]]:
    dependant = getattr(found, "dependant", None)
    for dependency in dependant.dependencies if dependant else ():
        yield dependency.call, list(dependency.own_oauth_scopes or ())


def check_routes(app: FastAPI) -> None:
    """Check that each route says who may call it. Raises ConfigurationError."""
    for route in route_accesses(app):
        if (len(route.scopes) == 1) == (route.open_because is None):
            continue
        declared = ", ".join(route.scopes) or "none"
        raise ConfigurationError(
            f"{app.title}: {'/'.join(route.methods)} {route.path} declares the scopes {declared}; "
            "declare one with dependencies=requires(Scope.READ), or open_to_all with the reason"
        )


def _refused(
    request: Request,
    status: int,
    reason: str,
    challenge: Mapping[str, str],
    principal: Principal | None = None,
) -> HTTPException:
    """Note a refusal and return its answer, which challenges the caller to log in."""
    address = request.client.host if request.client else ""
    route = _route_of(request)
    refusal = RefusedRequest(status, principal.subject if principal else "", address, route, reason)
    request.app.state.refusals.note(refusal)
    log.warning("request refused", status=status, subject=refusal.subject, route=route)
    words = ", ".join(f'{name}="{text}"' for name, text in {"realm": REALM, **challenge}.items())
    return HTTPException(status, reason, headers={"WWW-Authenticate": f"Bearer {words}"})


def _route_of(request: Request) -> str:
    """Return method and path of a request's route, without the ids in its path."""
    route = request.scope.get("route")
    return f"{request.method} {getattr(route, 'path', request.url.path)}"
