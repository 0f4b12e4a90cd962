"""Tells who is logged in, as the proxy in front of an app says it in a header.

The platform has no login of its own. Where `SAGA_USER_HEADER` names the proxy's header, who is
logged in is the actor of whatever a request does, whoever it claims to come from.
"""

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

from sagakit.actors import personal_actor


def use_header(app: FastAPI, header: str | None) -> None:
    """Make the routes of an app read who is logged in from this header; None: nobody logs in."""
    app.state.user_header = header


def logged_in(request: Request) -> str | None:
    """Return who is logged in, None where no login is set up.

    Raises HTTPException: 401 if the header is not there exactly once, 403 for a reserved name.
    """
    header = getattr(request.app.state, "user_header", None)
    if header is None:
        return None
    given = request.headers.getlist(header)
    if len(given) != 1 or not given[0].strip():
        raise HTTPException(401, f"nobody is logged in: the proxy has to set {header} once")
    try:
        return personal_actor(_decoded(given[0].strip()))
    except ValueError as error:
        raise HTTPException(403, f"{header}: {error}") from None


def actor_of(claimed: str, user: str | None) -> str:
    """Return who acts: who is logged in, else who the request claims to come from."""
    return claimed if user is None else user


def address_of(request: Request) -> str:
    """Return the address that a request came from, a proxy's where there is one."""
    return request.client.host if request.client else ""


def _decoded(value: str) -> str:
    """Return a header's text: UTF-8 where it is, else Latin-1, as HTTP reads it."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


LoggedIn = Annotated[str | None, Depends(logged_in)]
