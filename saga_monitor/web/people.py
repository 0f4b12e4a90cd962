"""Knows people at browsers by the cookie of their session."""

import asyncio

from sqlalchemy import Engine
from starlette.requests import Request

from saga_monitor.storage import sessions
from sagakit.web.identity.authenticator import (
    Authenticator,
    LoginUnavailable,
    NotLoggedIn,
    ReservedSubject,
)
from sagakit.web.identity.scopes import Principal

COOKIE = "saga_session"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class People:
    """Is a way to log in (`LoginWay`): by a session, which begins with a token or a link.

    authenticator: the other ways, None where nobody logs in.
    """

    remedy = "open /ui/login in a browser"

    def __init__(self, engine: Engine, authenticator: Authenticator | None) -> None:
        self.engine, self._others = engine, authenticator

    @property
    def log_in(self) -> bool:
        """Return False where nobody has to log in."""
        return self._others is not None

    async def principal(self, request: Request, bearer: str | None) -> Principal | None:
        """See `LoginWay`. A change has to come from a page of this monitor."""
        token = request.cookies.get(COOKIE)
        if bearer is not None or not token:
            return None
        if request.method not in _READING and not _is_own_page(request):
            raise NotLoggedIn("a change has to come from a page of this monitor; open it again")
        return await asyncio.to_thread(self._find, token)

    def fault(self) -> str | None:
        """See `LoginWay`."""
        return None

    async def with_token(self, request: Request, token: str) -> Principal | None:
        """Return whom a token logs in. Raises NotLoggedIn, which says what is wrong with it."""
        if self._others is None:
            return None
        scope = dict(request.scope)
        scope["headers"] = [(b"authorization", f"Bearer {token}".encode("latin-1", "replace"))]
        try:
            return await self._others.principal(Request(scope))
        except (ReservedSubject, LoginUnavailable) as error:
            raise NotLoggedIn(str(error)) from error

    def _find(self, token: str) -> Principal | None:
        with self.engine.connect() as connection:
            return sessions.find_session(connection, token)


def _is_own_page(request: Request) -> bool:
    """Tell whether a page of this app sends a request: another port of the host is another app."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin", "")
    return origin.partition("://")[2] == request.headers.get("host", "")
