"""Declares every process of the stack, with its command, environment and probe."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.ports import HOST, of_broker
from saga_lab.devstack.readiness import Probe, http_ready
from schemas import CONTRACT

ENTRY_SERVICE = "order"
# Every participant of a flow runs. The order API has one replica; the others can have several.
SERVICES = (ENTRY_SERVICE, *(name for name in CONTRACT.participants if name != ENTRY_SERVICE))
REPLICATED = frozenset(SERVICES) - {ENTRY_SERVICE}
MONITOR = "monitor"
WORLD = ("provider", "carrier", "mail")
LINKS = "links"
DATABASES = (*SERVICES, MONITOR)


class Stage(IntEnum):
    """The stage in which a process starts; stopping goes through the stages in reverse."""

    POSTGRES = 0
    KAFKA = 1
    REGISTRY = 2
    WORLD = 3
    SERVICES = 4
    MONITOR = 5


_OWN_STAGE = {
    "postgres": Stage.POSTGRES,
    "kafka": Stage.KAFKA,
    LINKS: Stage.WORLD,
    "registry": Stage.REGISTRY,
    MONITOR: Stage.MONITOR,
}


@dataclass(frozen=True)
class ProcessSpec:
    """One supervised process. `ready`: its probe; `stop_wait_s`: seconds to stop before KILL."""

    name: str
    command: tuple[str, ...]
    ready: Probe
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_wait_s: int = 30

    @property
    def stage(self) -> Stage:
        return stage_of(self.name)


@dataclass(frozen=True)
class StackAddresses:
    """Addresses and secrets that services and fake servers need of each other."""

    data: Path
    ports: Mapping[str, int]
    bootstrap_servers: str
    databases: Mapping[str, str]
    webhook_secrets: Mapping[str, str]
    schema_registry_url: str | None = None

    def url(self, name: str) -> str:
        """Return the base URL of a process that serves HTTP."""
        return f"http://{HOST}:{self.ports[name]}"

    def link(self, service: str, server: str) -> str | None:
        """Return `host:port` of the link from a service to a server; None without links."""
        port = self.ports.get(f"{service}>{server}")
        return f"{HOST}:{port}" if port else None

    def kafka_for(self, service: str) -> str:
        """Return the bootstrap servers for a service: those of its links if there are any."""
        link = f"{service}>kafka"
        ends = [f"{HOST}:{port}" for name, port in self.ports.items() if is_instance_of(name, link)]
        return ",".join(ends) or self.bootstrap_servers

    def database_for(self, service: str) -> str:
        """Return the URL under which a service reaches its database, through its link if any."""
        direct, link = self.databases[service], self.link(service, "postgres")
        return re.sub(r"@[^/]*", f"@{link}", direct) if link else direct

    def url_for(self, service: str, server: str) -> str:
        """Return the URL under which a service reaches a fake server, through its link if any."""
        link = self.link(service, server)
        return f"http://{link}" if link else self.url(server)


def stage_of(name: str) -> Stage:
    """Return the stage of the process of this name."""
    if name in WORLD:
        return Stage.WORLD
    return _OWN_STAGE.get("kafka" if is_instance_of(name, "kafka") else name, Stage.SERVICES)


def is_instance_of(name: str, first: str) -> bool:
    """Return True if `name` is `first` or `first-n`: kafka-2 is of kafka."""
    return name == first or name.startswith(f"{first}-")


def replicas_of(service: str, replicas: int) -> list[str]:
    """Return process names: `payment`, or `payment-1`, `payment-2`, ... if there are several."""
    if replicas == 1 or service not in REPLICATED:
        return [service]
    return [f"{service}-{number}" for number in range(1, replicas + 1)]


def selected(options: StackOptions) -> list[str]:
    """Return the names of the fake servers, links, services and monitor to run.

    Raises `StackError` if `options.only` has an unknown name.
    """
    services = [name for service in SERVICES for name in replicas_of(service, options.replicas)]
    groups = {
        "infra": [],
        "world": list(WORLD),
        "services": [*services, MONITOR],
        "kafka": [],
        "postgres": [],
        **{name: replicas_of(name, options.replicas) for name in SERVICES},
    }
    names = [*WORLD, *([LINKS] if options.links else []), *services, MONITOR]
    if not options.only:
        return names
    known = sorted({*groups, *names})
    unknown = sorted(options.only - set(known))
    if unknown:
        raise StackError(
            f"--only names {', '.join(unknown)}, which is no process of this stack. "
            f"Choose from: {', '.join(known)}."
        )
    chosen = {name for choice in options.only for name in groups.get(choice, [choice])}
    return [name for name in names if name in chosen]


def declare(
    names: Iterable[str], around: StackAddresses, env: Mapping[str, str]
) -> list[ProcessSpec]:
    """Return the processes of these names, ready to be supervised.

    `env` is added to the environment of services and monitor.
    """
    return [
        _links(around)
        if name == LINKS
        else _world(name, around)
        if name in WORLD
        else _service(name, around, env)
        for name in names
    ]


def _links(around: StackAddresses) -> ProcessSpec:
    def ends(link: str) -> tuple[int, int]:
        service, _, server = link.partition(">")
        behind = (
            of_broker(f"kafka<{service}", server) if is_instance_of(server, "kafka") else server
        )
        return around.ports[link], around.ports[behind]

    links = [name for name in around.ports if ">" in name]
    return ProcessSpec(
        name=LINKS,
        command=(sys.executable, "-m", "saga_lab.fakes.link"),
        ready=http_ready(f"{around.url(LINKS)}/health/ready"),
        env={
            "SANDBOX_HOST": HOST,
            "SANDBOX_PORT": str(around.ports[LINKS]),
            "SANDBOX_LINKS": json.dumps({link: ends(link) for link in links}),
        },
    )


def _world(name: str, around: StackAddresses) -> ProcessSpec:
    env = {
        "SANDBOX_HOST": HOST,
        "SANDBOX_PORT": str(around.ports[name]),
        "SANDBOX_DB": str(around.data / f"{name}.sqlite"),
    }
    if name == "mail":
        env["SANDBOX_SMTP_PORT"] = str(around.ports["smtp"])
    else:
        listener = "payment" if name == "provider" else "shipping"
        env["SANDBOX_WEBHOOK_URL"] = f"{around.url(listener)}/webhooks/{name}"
        env["SANDBOX_WEBHOOK_SECRET"] = around.webhook_secrets[name]
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", f"saga_lab.outside.{name}"),
        ready=http_ready(f"{around.url(name)}/health/ready"),
        env=env,
    )


def _service(name: str, around: StackAddresses, extra_env: Mapping[str, str]) -> ProcessSpec:
    service, _, replica = name.partition("-")
    # The first replica keeps the service's own port, which webhooks and callers use.
    port_name = service if replica in ("", "1") else name
    env = {
        "SAGA_BOOTSTRAP_SERVERS": around.kafka_for(service),
        "SAGA_DATABASE_URL": around.database_for(service),
        "SAGA_CONTRACT": "schemas",
        "SAGA_HTTP_HOST": HOST,
        "SAGA_HTTP_PORT": str(around.ports[port_name]),
        "SAGA_INSTANCE_ID": f"{service}-{replica or 1}",
        "SAGA_LOG_JSON": "true",
        "MALLOC_ARENA_MAX": "2",  # see docs/reference/environment.md
    }
    if around.schema_registry_url:
        env["SAGA_SCHEMA_REGISTRY_URL"] = around.schema_registry_url
    module = "saga_monitor" if service == MONITOR else f"services.{service}"
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", "sagakit", module),
        ready=http_ready(f"{around.url(port_name)}/health/ready"),
        env={**env, **_outside(service, around), **extra_env},
    )


def _outside(service: str, around: StackAddresses) -> dict[str, str]:
    """Return the environment by which a service reaches fake servers, and the monitor services."""
    match service:
        case "payment":
            return {
                "SAGA_PROVIDER_URL": around.url_for("payment", "provider"),
                "SAGA_WEBHOOK_SECRET": around.webhook_secrets["provider"],
            }
        case "shipping":
            return {
                "SAGA_CARRIER_URL": around.url_for("shipping", "carrier"),
                "SAGA_VAULT_URL": around.url("order"),
                "SAGA_WEBHOOK_SECRET": around.webhook_secrets["carrier"],
            }
        case "notification":
            smtp = {"SAGA_SMTP_HOST": HOST, "SAGA_SMTP_PORT": str(around.ports["smtp"])}
            return {**smtp, "SAGA_VAULT_URL": around.url("order")}
        case "monitor":
            addresses = {name: around.url(name) for name in SERVICES if name in around.ports}
            return {"SAGA_PARTICIPANTS": json.dumps(addresses)}
        case _:
            return {}
