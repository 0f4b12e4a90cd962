"""Reads from the environment where a process listens, and how its callers log in."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sagakit import urls
from sagakit.shared_secret import shared_secret
from sagakit.web.access import Access, access_of, is_loopback
from sagakit.web.identity.authenticator import (
    Authenticator,
    HeaderLogin,
    LoginWay,
    Network,
    TokenLogin,
)
from sagakit.web.identity.scopes import Scope, scopes_of
from sagakit.web.identity.tokens import TokenFile, read_tokens


class AuthWay(StrEnum):
    """Names a way to log in."""

    NONE = "none"
    TOKENS = "tokens"
    OIDC = "oidc"
    HEADER = "header"


def _split(value: Any) -> Any:
    """Return the words of a variable that lists them, separated by commas."""
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _unguessable(secret: SecretStr) -> SecretStr:
    shared_secret(secret.get_secret_value())
    return secret


def _usable(path: Path) -> Path:
    read_tokens(path)
    return path


def _https(url: str) -> str:
    if not urls.is_safe(urls.http_url(url)):
        raise ValueError("is no https URL, so anybody on the way could log in as anybody")
    return url


def _networks(given: Any) -> Any:
    try:
        return tuple(ip_network(one) for one in given)
    except ValueError as error:
        raise ValueError(f"{error}; write networks such as 10.0.0.0/8,fd00::/8") from None


Host = Annotated[str, AfterValidator(urls.host)]
Secret = Annotated[SecretStr, AfterValidator(_unguessable)]
Networks = Annotated[
    tuple[Network, ...], NoDecode, BeforeValidator(lambda given: _networks(_split(given)))
]
Scopes = Annotated[
    frozenset[Scope],
    NoDecode,
    BeforeValidator(lambda given: scopes_of(_split(given))),
]
LOOPBACK = "127.0.0.0/8,::1/128"
NEEDED = {
    AuthWay.TOKENS: ("http_tokens_file",),
    AuthWay.OIDC: ("oidc_issuer", "oidc_audience"),
    AuthWay.HEADER: ("user_header",),
}
"""The settings that a way to log in needs."""


T = TypeVar("T")


def _given(value: T | None) -> T:
    """Return a setting that `http_auth` needs, so that it has been checked to be there."""
    assert value is not None
    return value


class HttpSettings(BaseSettings):
    """Holds the settings of a process that serves HTTP."""

    model_config = SettingsConfigDict(env_prefix="SAGA_", extra="ignore")

    http_host: Host = Field(
        default="127.0.0.1", description="Where it listens; 0.0.0.0 in a container"
    )
    http_port: int = Field(default=8080, ge=0, le=65535)
    http_names: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9.,_\s-]*$",
        description="Further names that URLs of it may have, separated by commas",
    )
    http_tokens_file: Annotated[Path, AfterValidator(_usable)] | None = Field(
        default=None, description="The file of the tokens that are taken, see `saga token`"
    )
    user_header: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9-]{1,100}$",
        description="The header in which a proxy in front names who is logged in",
    )
    user_header_from: Networks = Field(
        default_factory=lambda: _networks(_split(LOOPBACK)),
        description="The networks of proxies whose user_header is believed",
    )
    user_scopes: Scopes = Field(
        default=frozenset({Scope.ADMIN}),
        description="What those may do whom user_header names, separated by commas",
    )
    oidc_issuer: Annotated[str, AfterValidator(_https)] | None = Field(
        default=None, description="The issuer of the JWTs that are taken"
    )
    oidc_audience: str | None = Field(
        default=None, min_length=1, description="For whom JWTs have to be made: this system"
    )
    oidc_subject: str = Field(
        default="sub", min_length=1, description="The claim that names who is logged in"
    )
    token: Secret | None = Field(
        default=None, description="The token that it sends to other processes of the system"
    )
    http_auth: Annotated[tuple[AuthWay, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        validate_default=True,
        description="How callers log in: tokens, oidc, header, several with commas, or none",
    )

    @field_validator("http_auth")
    @classmethod
    def _allows_a_login(
        cls, ways: tuple[AuthWay, ...], info: ValidationInfo
    ) -> tuple[AuthWay, ...]:
        found = info.data
        if not ways and found.get("user_header"):
            ways = (AuthWay.HEADER,)
        if not ways:
            if not is_loopback(found.get("http_host", "localhost")):
                raise ValueError(
                    f"nobody has to log in, and SAGA_HTTP_HOST={found['http_host']} takes requests "
                    "of other machines; write tokens, oidc or header, or none where everybody "
                    "who reaches it may do everything"
                )
            ways = (AuthWay.NONE,)
        if AuthWay.NONE in ways and len(ways) > 1:
            raise ValueError("none excludes every other way to log in; write one or the other")
        for way in ways:
            for needed in NEEDED.get(way, ()):
                if needed in found and not found[needed]:
                    raise ValueError(f"{way} needs SAGA_{needed.upper()} as well")
        return ways

    @property
    def access(self) -> Access:
        """Return by which names and from where this process is called over HTTP."""
        names = [name.strip() for name in self.http_names.split(",") if name.strip()]
        return access_of(self.http_host, names)

    @property
    def token_to_send(self) -> str | None:
        """Return the token that this process sends to others."""
        return self.token.get_secret_value() if self.token else None

    def authenticator(self, now: Callable[[], datetime]) -> Authenticator | None:
        """Return what finds out who calls this process, None if nobody logs in.

        Call it in the event loop that serves HTTP.
        """
        ways = list(self._ways(now))
        return Authenticator(ways) if ways else None

    def _ways(self, now: Callable[[], datetime]) -> Sequence[LoginWay]:
        makers: dict[AuthWay, Callable[[], LoginWay]] = {
            AuthWay.TOKENS: lambda: TokenLogin(TokenFile(_given(self.http_tokens_file), now)),
            AuthWay.OIDC: lambda: self._oidc(now),
            AuthWay.HEADER: lambda: HeaderLogin(
                _given(self.user_header), self.user_header_from, self.user_scopes
            ),
        }
        return [make() for way, make in makers.items() if way in self.http_auth]

    def _oidc(self, now: Callable[[], datetime]) -> LoginWay:
        from sagakit.bounded_http import HttpClient  # who needs no issuer starts faster
        from sagakit.web.identity.oidc import IssuerKeys, OidcLogin

        issuer = _given(self.oidc_issuer)
        keys = IssuerKeys(issuer, HttpClient())
        return OidcLogin(keys, issuer, _given(self.oidc_audience), now, self.oidc_subject)
