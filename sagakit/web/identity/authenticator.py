"""Finds out who sends a request, in one or several ways: by a token, a JWT, or a proxy's header."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

from starlette.requests import Request

from sagakit.actors import personal_actor
from sagakit.web.identity.scopes import Principal, Scope
from sagakit.web.identity.tokens import TOKEN, TokenFile

Network = IPv4Network | IPv6Network


class NotLoggedIn(Exception):
    """The sender of a request is not known; the message names the remedy. Answered with 401.

    presented: the request had credentials, which are not valid.
    """

    def __init__(self, message: str, *, presented: bool = True) -> None:
        super().__init__(message)
        self.presented = presented


class ReservedSubject(Exception):
    """The sender has a name under which nobody may act. Answered with 403."""


class LoginUnavailable(Exception):
    """Nobody can tell now who sends a request; the message says why. Answered with 503."""


class LoginWay(Protocol):
    """Finds out who sends a request by credentials of one kind."""

    remedy: str
    """The credentials that a caller without any has to send."""

    async def principal(self, request: Request, bearer: str | None) -> Principal | None:
        """Return the sender; None for a request without credentials of this kind.

        bearer: the request's bearer token. Raises NotLoggedIn, ReservedSubject, LoginUnavailable.
        """
        ...

    def fault(self) -> str | None:
        """Return what is wrong with this way to log in, None if nothing is."""
        ...


class Authenticator:
    """Finds out who sends a request, by the first of its ways that has credentials."""

    def __init__(self, ways: Sequence[LoginWay]) -> None:
        self._ways = ways

    def also(self, way: LoginWay) -> "Authenticator":
        """Return the same with one way more, which is tried first."""
        return Authenticator((way, *self._ways))

    async def principal(self, request: Request) -> Principal:
        """Return the sender. Raises NotLoggedIn, ReservedSubject and LoginUnavailable."""
        bearer = bearer_of(request)
        for way in self._ways:
            if (found := await way.principal(request, bearer)) is not None:
                return found
        remedy = ", or ".join(way.remedy for way in self._ways)
        if bearer is not None:
            raise NotLoggedIn(f"the bearer token is of no kind that is taken here: {remedy}")
        raise NotLoggedIn(f"nobody is logged in: {remedy}", presented=False)

    def fault(self) -> str | None:
        """Return what is wrong with the ways to log in, None if nothing is."""
        return "; ".join(fault for way in self._ways if (fault := way.fault())) or None


def bearer_of(request: Request) -> str | None:
    """Return the bearer token of a request (RFC 6750), None if it has none. Raises NotLoggedIn."""
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise NotLoggedIn("the request has several headers Authorization; send one")
    kind, _, token = (given[0] if given else "").strip().partition(" ")
    if kind.lower() != "bearer":
        return None
    if not token.strip():
        raise NotLoggedIn("the header Authorization has no token after Bearer; add it")
    return token.strip()


class TokenLogin:
    """Takes the tokens of a file."""

    remedy = (
        "send the header `Authorization: Bearer TOKEN`; `saga token add NAME --scopes SCOPES` "
        "makes a token, and the command line sends that in SAGA_TOKEN"
    )

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens

    async def principal(self, request: Request, bearer: str | None) -> Principal | None:
        """See `LoginWay`."""
        if bearer is None or not TOKEN.fullmatch(bearer):
            return None
        found = self._tokens.find(bearer)
        if found is None:
            raise NotLoggedIn(
                "this token is not known here; it was revoked, or made for another process: make "
                "one with `saga token add`"
            )
        if self._tokens.is_expired(found):
            raise NotLoggedIn(
                f"the token of {found.name} has expired at {found.expires.isoformat()}; make a new "
                "one with `saga token add`"
            )
        return found.principal

    def fault(self) -> str | None:
        """See `LoginWay`."""
        return self._tokens.fault()


class HeaderLogin:
    """Believes a header of a proxy that logs people in, if the request comes from its network."""

    def __init__(self, header: str, trusted: Sequence[Network], scopes: frozenset[Scope]) -> None:
        self._header, self._trusted, self._scopes = header, trusted, scopes
        self.remedy = f"the proxy in front has to set {header} once"

    async def principal(self, request: Request, bearer: str | None) -> Principal | None:
        """See `LoginWay`."""
        given = request.headers.getlist(self._header)
        if not given:
            return None
        peer = request.client.host if request.client else ""
        if not self._trusts(peer):
            raise NotLoggedIn(
                f"{self._header} is not believed from {peer or 'there'}; add the proxy's network "
                "to SAGA_USER_HEADER_FROM"
            )
        if len(given) != 1 or not given[0].strip():
            raise NotLoggedIn(f"nobody is logged in: {self.remedy}")
        try:
            return Principal(personal_actor(_decoded(given[0].strip())), self._scopes)
        except ValueError as error:
            raise ReservedSubject(f"{self._header}: {error}") from None

    def fault(self) -> str | None:
        """See `LoginWay`."""
        return None

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._trusted)


def _decoded(value: str) -> str:
    """Return a header's text: UTF-8 where it is, else Latin-1, as HTTP reads it."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
