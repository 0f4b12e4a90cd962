"""Settings of a service, from the environment, prefix `SAGA_`."""

import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

T = TypeVar("T", bound=BaseSettings)


class ServiceSettings(BaseSettings):
    """What every service needs. A service adds its own fields in a subclass."""

    model_config = SettingsConfigDict(env_prefix="SAGA_", extra="ignore")

    bootstrap_servers: str = Field(description="Kafka, host:port[,host:port]")
    database_url: str = Field(description="postgresql://user[:password]@host:port/database")
    schema_registry_url: str | None = Field(
        default=None, description="Confluent-compatible API; without it single-object encoding"
    )
    http_host: str = "0.0.0.0"
    http_port: int = Field(default=8080, ge=0, le=65535)
    instance_id: str = Field(
        default_factory=socket.gethostname, description="Stable per replica: static membership"
    )
    log_json: bool = True
    log_level: str = "INFO"
    drain_s: float = Field(default=20.0, ge=0, description="How long a stop may take")
    clock_offset_s: float = Field(
        default=0.0, description="In rehearsals: how far this process's clock is ahead"
    )

    def now(self) -> datetime:
        """The clock of this process."""
        return datetime.now(UTC) + timedelta(seconds=self.clock_offset_s)


def load(settings: type[T]) -> T:
    """The settings, or exit status 2 with a line for each variable that is missing or wrong."""
    try:
        return settings()
    except ValidationError as error:
        prefix = str(settings.model_config.get("env_prefix", ""))
        for problem in error.errors():
            name = prefix + "_".join(str(p) for p in problem["loc"]).upper()
            field = settings.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
            about = f" ({field.description})" if field and field.description else ""
            print(f"{name}{about}: {problem['msg']}; set it in the environment", file=sys.stderr)
        raise SystemExit(2) from error
