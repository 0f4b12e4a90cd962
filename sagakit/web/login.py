"""Tells a route under which name its caller acts.

Where people and programs log in (see `identity`), that is the name they have logged in with, and a
name in the request counts only from a caller with the scope `act-as`.
"""

from typing import Annotated

from fastapi import Depends, Request

from sagakit.web.identity.requires import principal_of
from sagakit.web.identity.scopes import Scope


async def logged_in(request: Request) -> str | None:
    """Return the name under which the caller acts; None if the request may name the actor.

    Raises HTTPException as `identity.requires.principal_of`.
    """
    principal = await principal_of(request)
    if principal is None or principal.may(Scope.ACT_AS):
        return None
    return principal.subject


async def subject(request: Request) -> str | None:
    """Return who is logged in, None in an app without log-in. Raises as `logged_in`."""
    principal = await principal_of(request)
    return principal.subject if principal else None


def actor_of(claimed: str, user: str | None) -> str:
    """Return who acts: who is logged in, else who the request claims to come from."""
    return claimed if user is None else user


def address_of(request: Request) -> str:
    """Return the address that a request came from, a proxy's where there is one."""
    return request.client.host if request.client else ""


LoggedIn = Annotated[str | None, Depends(logged_in)]
Subject = Annotated[str | None, Depends(subject)]
