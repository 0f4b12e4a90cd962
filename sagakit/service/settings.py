"""Reads a service's settings from environment variables with the prefix `SAGA_`."""

import re
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

T = TypeVar("T", bound=BaseSettings)
HOSTS = r"^[^\s,]+:[0-9]{1,5}(,\s*[^\s,]+:[0-9]{1,5})*$"
URL = r"^https?://[^\s/]+"
KAFKA_NAME = r"^[A-Za-z0-9._-]{1,200}$"


def _postgres(value: str) -> str:
    """Check that a value is a PostgreSQL URL, without connecting to it."""
    try:
        good = make_url(value).drivername.startswith("postgres")
    except (ArgumentError, ValueError):
        good = False
    if not good:
        raise ValueError("is no PostgreSQL URL")
    return value


def _no_blank(value: SecretStr) -> SecretStr:
    """Check that a secret has a character that is no space: anybody could sign with a blank one."""
    if not value.get_secret_value().strip():
        raise ValueError("is blank")
    return value


Secret = Annotated[SecretStr, AfterValidator(_no_blank)]
PostgresUrl = Annotated[str, AfterValidator(_postgres)]


class ServiceSettings(BaseSettings):
    """Holds the settings every service needs. A service adds its own fields in a subclass."""

    model_config = SettingsConfigDict(env_prefix="SAGA_", extra="ignore")

    bootstrap_servers: str = Field(pattern=HOSTS, description="Kafka, host:port[,host:port]")
    database_url: PostgresUrl = Field(description="postgresql://user[:password]@host:port/database")
    schema_registry_url: str | None = Field(
        default=None,
        pattern=URL,
        description="Confluent-compatible API; without it single-object encoding",
    )
    http_host: str = "0.0.0.0"
    http_port: int = Field(default=8080, ge=0, le=65535)
    instance_id: str = Field(
        default_factory=socket.gethostname,
        pattern=KAFKA_NAME,
        description="Stable per replica: static membership",
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
    except SettingsError as error:  # invalid JSON in a variable of several values
        named = re.search('field "([a-z_]+)"', str(error))
        place = (named[1],) if named else ()
        problems = [_problem_text(settings, {"loc": place, "msg": "is no JSON", "type": "json"})]
    print("\n".join(problems), file=sys.stderr)
    raise SystemExit(2)


def _problem_text(settings: type[BaseSettings], problem: Mapping[str, Any]) -> str:
    """Describe a wrong variable: its name, what it should hold, the fault and the remedy.

    The value of a URL, secret or password is not shown: it may contain a password.
    """
    prefix = str(settings.model_config.get("env_prefix", ""))
    name = prefix + "_".join(str(part) for part in problem["loc"]).upper()
    field = settings.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
    log_fields = f" ({field.description})" if field and field.description else ""
    shown = "input" in problem and problem["type"] != "missing"
    if shown and not re.search("URL|SECRET|PASSWORD", name):
        log_fields += f" is {ascii(problem['input'])[:80]}"
    return f"{name}{log_fields}: {problem['msg']}; set it in the environment"
