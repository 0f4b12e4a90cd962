"""Reads a service's settings from environment variables with the prefix `SAGA_`."""

import re
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

import orjson
import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from sagakit import urls
from sagakit.service.http_settings import HttpSettings, Secret

T = TypeVar("T", bound=BaseSettings)
KAFKA_NAME = r"^[A-Za-z0-9._-]{1,200}$"
PACKAGES = r"^[A-Za-z_][\w.]*(,\s*[A-Za-z_][\w.]*)*$"
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def _postgres(value: str) -> str:
    """Check that psycopg can use a PostgreSQL URL, without connecting to it."""
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError("is no PostgreSQL URL") from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError("is no PostgreSQL URL: it has to begin with postgresql://")
    if not value.isprintable() or "%00" in value:
        raise ValueError("has control characters")
    options = {name: str(option) for name, option in url.query.items()}
    if "@" in (url.host or ""):
        raise ValueError("has an @ in its user or password; write it as %40")
    if not (url.host or options.get("host")) or not url.database:
        raise ValueError("has no host or no database")
    for name in (url.host or "").split(",") if url.host else ():
        urls.host(name)
    for number in (url.port, options.get("port")):
        if number is not None:
            urls.port(str(number))
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise ValueError(f"has a wrong sslmode; write one of {', '.join(SSL_MODES)}")
    if not str(options.get("connect_timeout", "1")).isdecimal():
        raise ValueError("has a wrong connect_timeout; write a number of seconds")
    try:
        make_conninfo("", **options)
    except psycopg.Error as error:
        raise ValueError(f"has a wrong option: {str(error).strip()}") from None
    return value


def _from_json(value: Any) -> Any:
    """Return the value of a variable that holds JSON."""
    try:
        return orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        raise ValueError("is no JSON") from None


PostgresUrl = Annotated[str, AfterValidator(_postgres)]
HttpUrl = Annotated[str, AfterValidator(urls.http_url)]
HostPorts = Annotated[str, AfterValidator(urls.host_ports)]
TextsByName = Annotated[dict[str, str], NoDecode, BeforeValidator(_from_json)]
UrlsByName = Annotated[dict[str, HttpUrl], NoDecode, BeforeValidator(_from_json)]


class ServiceSettings(HttpSettings):
    """Holds the settings every service needs. A service adds its own fields in a subclass."""

    bootstrap_servers: HostPorts = Field(description="Kafka, host:port[,host:port]")
    database_url: PostgresUrl = Field(description="postgresql://user[:password]@host:port/database")
    contract: str = Field(
        pattern=PACKAGES,
        description="Package of the events and flows, or several separated by commas",
    )
    schema_registry_url: HttpUrl | None = Field(
        default=None,
        description="Confluent-compatible API; without it single-object encoding",
    )
    instance_id: str = Field(
        default_factory=socket.gethostname,
        pattern=KAFKA_NAME,
        description="Name of this replica in Kafka and in traces",
    )
    static_membership: bool = Field(
        default=False,
        description="The replica keeps its partitions over a restart; its instance_id must stay",
    )
    log_json: bool = True
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    drain_s: float = Field(default=20.0, ge=0, le=3600, description="How long a stop may take")
    clock_offset_s: float = Field(
        default=0.0,
        ge=-86_400,
        le=86_400,
        description="In rehearsals: how far this process's clock is ahead",
    )

    @property
    def contracts(self) -> tuple[str, ...]:
        """The packages of `contract`."""
        return tuple(package.strip() for package in self.contract.split(","))

    def now(self) -> datetime:
        """Return the time of this process: UTC plus `clock_offset_s`."""
        return datetime.now(UTC) + timedelta(seconds=self.clock_offset_s)


class WebhookSettings(ServiceSettings):
    """Adds the secrets of signed webhooks. During a rotation the previous one is valid as well."""

    webhook_secret: Secret = Field(description="The key that webhooks are signed with")
    webhook_secret_previous: Secret | None = Field(
        default=None, description="Still accepted while webhook_secret is rotated"
    )

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Return the secrets that are valid now, the current one first."""
        valid = (self.webhook_secret, self.webhook_secret_previous)
        return tuple(secret.get_secret_value() for secret in valid if secret)


def load(settings: type[T]) -> T:
    """Load the settings, or exit with status 2 and a line per missing or wrong variable."""
    try:
        return settings()
    except ValidationError as error:
        problems = [_problem_text(settings, problem) for problem in error.errors()]
    print("\n".join(problems), file=sys.stderr)
    raise SystemExit(2)


def _problem_text(settings: type[BaseSettings], problem: Mapping[str, Any]) -> str:
    """Describe a wrong variable: its name, what it should hold, the fault and the remedy.

    A value that may hold a password is not shown: a secret, a URL, or what looks like one.
    """
    first, *inner = (str(part) for part in problem["loc"])
    name = str(settings.model_config.get("env_prefix", "")) + first.upper()
    field = settings.model_fields.get(first)
    about = "".join(f"[{part}]" for part in inner)
    about += f" ({field.description})" if field and field.description else ""
    hidden = re.search("URL|SECRET|PASSWORD|TOKEN$", name)
    if problem["type"] != "missing" and problem["input"] not in (None, ()) and not hidden:
        found = ascii(problem["input"])
        secret = re.search("@|://", found)
        about += " is not shown, it may hold a password" if secret else f" is {found[:80]}"
    fault = problem["msg"].removeprefix("Value error, ")
    return f"{name}{about}: {fault}; set it in the environment"
