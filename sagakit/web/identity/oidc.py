"""Takes JWTs that an OpenID Connect issuer has signed for this system."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from starlette.requests import Request

from sagakit.actors import personal_actor
from sagakit.bounded_http import HttpClient, NoAnswer
from sagakit.foreign_text import printable
from sagakit.urls import is_safe
from sagakit.web.identity.authenticator import LoginUnavailable, NotLoggedIn, ReservedSubject
from sagakit.web.identity.scopes import Principal, known_scopes

log = structlog.get_logger(__name__)
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519"),
)
"""Asymmetric ones only: who can verify a token must not be able to make one."""
MAX_TOKEN_CHARS = 16 * 1024
LEEWAY_S = 60
"""How far the issuer's clock and this one may differ."""
DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT_S = 5.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 100
FRESH_S = 3600.0
"""Age at which keys are read again."""
STALE_S = 86400.0
"""Age to which known keys are used while the issuer does not answer."""
AGAIN_S = 30.0
"""Shortest time between two reads for keys that are not known: tokens name any key they like."""
RETRY_S = 2.0
"""Shortest time between two reads while the issuer does not answer."""

Key = RSAKey | ECKey | OKPKey


class _IssuerAway(Exception):
    """The issuer's keys cannot be read; the message says why."""


class IssuerKeys:
    """Reads and keeps the public keys of an issuer. Use it in one event loop."""

    def __init__(
        self,
        issuer: str,
        client: HttpClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._client, self._clock = issuer, client, clock
        self._keys: Mapping[str, Key] = {}
        self._read_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()
        self.fault: str | None = None

    async def find(self, kid: str | None) -> Key | None:
        """Return the key of this id, None if the issuer has no such key.

        Without an id it is the only key. Raises LoginUnavailable while it cannot be told.
        """
        known, age = self._known(kid), self._clock() - self._read_at
        if known is not None and (age < FRESH_S or (age < STALE_S and self._lock.locked())):
            return known
        async with self._lock:
            known = self._known(kid)
            if known is None or self._clock() - self._read_at >= FRESH_S:
                await self._read_if_due()
                known = self._known(kid)
        if known is not None and self._clock() - self._read_at < STALE_S:
            return known
        if self.fault:
            raise LoginUnavailable(self.fault)
        return None

    def _known(self, kid: str | None) -> Key | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _read_if_due(self) -> None:
        if self._clock() - self._tried_at < (RETRY_S if self.fault else AGAIN_S):
            return
        self._tried_at = self._clock()
        try:
            self._keys = await self._read()
        except _IssuerAway as away:
            self.fault = f"the keys of {self._issuer} (SAGA_OIDC_ISSUER) cannot be read: {away}"
            log.warning("keys of the issuer not read", reason=self.fault)
        else:
            self._read_at, self.fault = self._clock(), None

    async def _read(self) -> Mapping[str, Key]:
        described = await self._json(self._issuer.rstrip("/") + DISCOVERY)
        if described.get("issuer") != self._issuer:
            name = printable(str(described.get("issuer")))[:200]
            raise _IssuerAway(f"it calls itself {name}; set SAGA_OIDC_ISSUER to that, if it is it")
        where = described.get("jwks_uri")
        if not isinstance(where, str) or not is_safe(where):
            raise _IssuerAway("its jwks_uri is no https URL")
        listed = (await self._json(where)).get("keys")
        if not isinstance(listed, list):
            raise _IssuerAway(f"{where} lists no keys")
        return dict(_usable(listed[:MAX_KEYS]))

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            answer = await self._client.answer(
                "GET", url, most_bytes=MAX_BYTES, timeout_s=TIMEOUT_S
            )
            body: Any = orjson.loads(answer.body)
        except NoAnswer as error:
            raise _IssuerAway(f"{url}: {error}") from error
        except orjson.JSONDecodeError:
            body = None
        if answer.status != 200 or not isinstance(body, dict):
            raise _IssuerAway(f"{url} answers {answer.status}, and no JSON object with 200")
        return body


def _usable(listed: list[Any]) -> list[tuple[str, Key]]:
    """Return the public keys that may sign tokens, by their ids; others are left out."""
    found: list[tuple[str, Key]] = []
    for raw in listed:
        if not isinstance(raw, dict) or raw.get("use", "sig") != "sig":
            continue
        try:
            keys = list(KeySet.import_key_set({"keys": [raw]}))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            log.warning("key of the issuer not usable", error=type(error).__name__)
            continue
        found += [(key.kid or "", key) for key in keys if isinstance(key, RSAKey | ECKey | OKPKey)]
    return found


class OidcLogin:
    """Takes JWTs of an issuer, for an audience."""

    def __init__(
        self,
        keys: IssuerKeys,
        issuer: str,
        audience: str,
        now: Callable[[], datetime],
        subject_claim: str = "sub",
    ) -> None:
        self._keys, self._issuer, self._now = keys, issuer, now
        self._subject_claim = subject_claim
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )
        self.remedy = f"send the header `Authorization: Bearer JWT` with a JWT of {issuer}"

    async def principal(self, request: Request, bearer: str | None) -> Principal | None:
        """See `LoginWay`."""
        if bearer is None or bearer.count(".") != 2:
            return None
        if len(bearer) > MAX_TOKEN_CHARS:
            raise NotLoggedIn(f"the JWT has more than {MAX_TOKEN_CHARS} characters")
        header = _header_of(bearer)
        if header.get("alg") not in ALGORITHMS:
            raise NotLoggedIn(
                f"the JWT is signed with {str(header.get('alg'))[:20]!a}; sign it with one of "
                f"{', '.join(ALGORITHMS)}"
            )
        kid = header.get("kid")
        key = await self._keys.find(kid if isinstance(kid, str) else None)
        if key is None:
            raise NotLoggedIn(
                f"the JWT is signed with a key that {self._issuer} does not publish; log in again"
            )
        return self._principal(self._verified(bearer, key))

    def _verified(self, bearer: str, key: Key) -> dict[str, Any]:
        """Return the claims of a JWT. Raises NotLoggedIn that says what is wrong with it."""
        try:
            token = jwt.decode(bearer, key, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError, TypeError) as error:
            reason = printable(str(error))[:200]
            raise NotLoggedIn(f"the JWT is not valid ({reason}); log in again") from None
        try:
            self._claims.validate(token.claims)
        except (JoseError, ValueError, TypeError) as error:
            reason = printable(str(error))[:200]
            raise NotLoggedIn(
                f"the JWT is not for here or not for now ({reason}); it has to be of "
                f"{self._issuer}, for the audience in SAGA_OIDC_AUDIENCE, and not expired: log in "
                "again"
            ) from None
        return dict(token.claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        subject = claims.get(self._subject_claim)
        if not isinstance(subject, str) or not subject:
            raise NotLoggedIn(
                f"the JWT has no text in the claim {self._subject_claim}; name another in "
                "SAGA_OIDC_SUBJECT"
            )
        try:
            personal_actor(subject)
        except ValueError as error:
            raise ReservedSubject(f"the claim {self._subject_claim}: {error}") from None
        given = claims.get("scope", "")
        names = given.split() if isinstance(given, str) else given
        texts = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        return Principal(subject, known_scopes(texts))

    def fault(self) -> str | None:
        """See `LoginWay`."""
        return self._keys.fault


def _header_of(bearer: str) -> dict[str, Any]:
    """Return the header of a JWT, which nobody has verified yet. Raises NotLoggedIn."""
    first = bearer.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise NotLoggedIn("the bearer token looks like a JWT, but its header cannot be read")
    return header
