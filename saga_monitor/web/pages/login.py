"""Logging in and out, and the page that says who one is and what one may do."""

import asyncio
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import JSONResponse

from saga_monitor.storage import sessions
from saga_monitor.web.people import COOKIE, People
from saga_monitor.web.site import HEADERS, Website, see
from sagakit.web.identity.audit import note_action
from sagakit.web.identity.authenticator import NotLoggedIn
from sagakit.web.identity.requires import known_principal, open_to_all, requires
from sagakit.web.identity.scopes import ABOUT, EVERYTHING, Principal, Scope
from sagakit.web.login import address_of

log = structlog.get_logger(__name__)
HOME = "/ui/overview"
SESSION_S = 12 * 3600
USED = "This link was used, or is older than ten minutes."
Text = Annotated[str, Form(max_length=5000)]


def login_pages(site: Website, people: People) -> APIRouter:
    """Return the routes of logging in and out."""
    router = APIRouter(include_in_schema=False)
    open_ = open_to_all("people log in here")
    _add_own_routes(router, site, people)

    @router.get("/ui/login", dependencies=open_)
    def login(
        request: Request,
        code: str = "",
        to: Annotated[str, Query(alias="next", max_length=2000)] = HOME,
    ) -> Response:
        """Show the log-in; a link logs in only when its button is pressed."""
        if not people.log_in:
            return see(HOME)
        known = None
        if code:
            with people.engine.connect() as connection:
                known = sessions.find_link(connection, code)
        wrong = USED if code and not known else ""
        return _page(site, request, code if known else "", known, to, wrong)

    @router.post("/ui/login", dependencies=open_)
    async def log_in(
        request: Request,
        code: Text = "",
        token: Text = "",
        to: Annotated[str, Form(alias="next", max_length=5000)] = HOME,
    ) -> Response:
        """Begin a session by a link or a token."""
        wrong = "Nobody has to log in here." if not code else USED
        try:
            taken = asyncio.to_thread(_take, people, code)
            principal = await (taken if code else people.with_token(request, token.strip()))
        except NotLoggedIn as error:
            principal, wrong = None, str(error)
        if principal is None:
            log.warning("log-in refused", address=address_of(request))
            return _page(site, request, "", None, to, wrong, 401)
        return await asyncio.to_thread(_begin, request, people, principal, to)

    return router


def _add_own_routes(router: APIRouter, site: Website, people: People) -> None:
    """Add the routes of somebody who is logged in."""
    read = requires(Scope.READ)

    @router.post("/ui/login-links", dependencies=read)
    def login_links(request: Request) -> JSONResponse:
        """Make a link by which a browser logs in once as the caller."""
        principal = known_principal(request)
        if principal is None:
            return JSONResponse({"path": HOME, "expires_at": None}, headers=HEADERS)
        with people.engine.begin() as connection:
            code, expires_at = sessions.add_link(connection, principal)
        path = f"/ui/login?code={code}"
        return JSONResponse({"path": path, "expires_at": expires_at.isoformat()}, headers=HEADERS)

    @router.post("/ui/logout", dependencies=read)
    def log_out(request: Request) -> Response:
        """End the present session."""
        with people.engine.begin() as connection:
            sessions.end_session(connection, request.cookies.get(COOKIE, ""))
        answer = see("/ui/login")
        answer.delete_cookie(COOKIE, path="/")
        return answer

    @router.get("/ui/you", dependencies=read)
    def you(request: Request) -> Response:
        """Show who one is, what one may do, and one's sessions."""
        principal = known_principal(request)
        found: list[sessions.OpenSession] = []
        if principal is not None:
            with people.engine.connect() as connection:
                token = request.cookies.get(COOKIE, "")
                found = sessions.sessions_of(connection, principal.subject, token)
        rights = [
            (scope.value, ABOUT[scope], principal is None or principal.may(scope))
            for scope in sorted(EVERYTHING)
        ]
        return site.page(
            request, "you.html", here="you", principal=principal, rights=rights, sessions=found
        )

    @router.post("/ui/sessions/{number}/end", dependencies=read)
    def end(request: Request, number: UUID) -> Response:
        """End one of one's sessions."""
        principal = known_principal(request)
        if principal is not None:
            with people.engine.begin() as connection:
                sessions.end_one(connection, principal.subject, number)
        return see("/ui/you")


def _page(
    site: Website,
    request: Request,
    code: str,
    known: Principal | None,
    next_: str,
    wrong: str,
    status: int = 200,
) -> Response:
    return site.page(
        request,
        "login.html",
        status,
        here="",
        code=code,
        known=known,
        next=next_,
        wrong=wrong,
    )


def _take(people: People, code: str) -> Principal | None:
    with people.engine.begin() as connection:
        return sessions.take_link(connection, code)


def _begin(request: Request, people: People, principal: Principal, next_: str) -> Response:
    """Begin a session and go where the browser wanted to go, if that is here."""
    address = address_of(request)
    who = {"actor": principal.subject, "reason": "at a browser", "address": address}
    with people.engine.begin() as connection:
        token = sessions.add_session(connection, principal, address)
        note_action(connection, "log_in", who, [principal.subject])
    inside = next_.startswith("/ui/") and "\\" not in next_ and next_.isprintable()
    answer = see(next_ if inside else HOME)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer
