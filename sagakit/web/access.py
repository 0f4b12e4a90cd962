"""Refuses requests that a web page sends on its visitor's behalf: by a foreign name, or cross-site.

A page whose name its owner makes point to 127.0.0.1 could otherwise call what listens there, and
read the answers (DNS rebinding). It always needs a name of its own, with a dot.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Access:
    """Says who may call an app.

    names: hosts that may stand in a URL of it, besides addresses and names without a dot; local:
    only those of this machine may.
    """

    names: frozenset[str] = frozenset()
    local: bool = False

    def trusts(self, host: str) -> bool:
        """Tell whether a request's Host header names this app."""
        name = _without_port(host).lower().rstrip(".")
        if name in self.names or name in LOOPBACK:
            return True
        return not self.local and ("." not in name or _is_address(name)) and bool(name)


def access_of(bound_to: str, names: Iterable[str]) -> Access:
    """Return the access of an app that listens at an address."""
    return Access(frozenset(n.lower() for n in names), is_loopback(bound_to))


def is_loopback(bound_to: str) -> bool:
    """Tell whether only this machine reaches what listens at an address."""
    return f"[{bound_to}]" in LOOPBACK or bound_to in LOOPBACK


class TrustedHosts:
    """Middleware that answers 421 to a foreign host, and 403 to a change asked for by another site.

    Without a Host header (HTTP/1.0) the caller is no browser.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, see ASGI."""
        if scope["type"] == "http" and (refusal := self._refusal(Request(scope))):
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> JSONResponse | None:
        host = request.headers.get("host")
        if host is not None and not self._access.trusts(host):
            return _problem(421, f"this is not {ascii(host)[:80]}; add the name to SAGA_HTTP_NAMES")
        site = request.headers.get("sec-fetch-site", "none")
        if site == "cross-site" and request.method not in _READING:
            return _problem(403, "a page of another site may change nothing here")
        return None


def _problem(status: int, detail: str) -> JSONResponse:
    body = {"type": "about:blank", "title": "refused", "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdigit() and (":" not in name or name.endswith("]")) else host


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
