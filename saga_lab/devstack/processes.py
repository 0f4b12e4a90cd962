"""Declares every process of the stack, with its command, environment and probe."""

import json
import re
import sys
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from saga_lab.application import MONITOR, Application, OutsideSpec, ParticipantSpec
from saga_lab.application.model import fill
from saga_lab.application.references import python_path
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.ports import HOST, of_broker
from saga_lab.devstack.readiness import Probe, http_ready
from saga_lab.devstack.roles import role_of, role_secret
from saga_lab.devstack.stack_file import TOKENS_FILE, token_secret

LINKS = "links"


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


@dataclass(frozen=True)
class StackAddresses:
    """Addresses and secrets that participants and fakes of an application need of each other."""

    application: Application
    data: Path
    ports: Mapping[str, int]
    bootstrap_servers: str
    databases: Mapping[str, str]
    secrets: Mapping[str, str]
    schema_registry_url: str | None = None

    @property
    def tokens_file(self) -> Path:
        """The file of the tokens that every process takes."""
        return self.data.parent / TOKENS_FILE

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
        if password := self.secrets.get(role_secret(service)):
            database = direct.rpartition("/")[2]
            direct = re.sub(r"//[^@]*@", f"//{role_of(database)}:{password}@", direct)
        return re.sub(r"@[^/]*", f"@{link}", direct) if link else direct

    def url_for(self, caller: str, server: str) -> str:
        """Return the URL under which a process reaches another, through its link if any."""
        link = self.link(caller, server)
        return f"http://{link}" if link else self.url(server)

    def fill(self, caller: str, env: Mapping[str, str]) -> dict[str, str]:
        """Return the declared environment of a process, its placeholders filled in."""

        def value(name: str, attribute: str) -> str:
            match attribute:
                case "url":
                    return self.url_for(caller, name)
                case "host":
                    return HOST
                case "port":
                    return str(self.ports[name])
            return self.secrets[name]

        return {variable: fill(text, value) for variable, text in env.items()}


def stage_of(name: str, fakes: Container[str]) -> Stage:
    """Return the stage of the process of this name; `fakes` are the names of the fakes."""
    if name in fakes:
        return Stage.WORLD
    return _OWN_STAGE.get("kafka" if is_instance_of(name, "kafka") else name, Stage.SERVICES)


def is_instance_of(name: str, first: str) -> bool:
    """Return True if `name` is `first` or `first-n`: kafka-2 is of kafka."""
    return name == first or name.startswith(f"{first}-")


def replicas_of(participant: ParticipantSpec, options: StackOptions) -> list[str]:
    """Return process names: `runner`, or `runner-1`, `runner-2`, ... if there are several."""
    if options.replicas == 1 or not participant.replicas:
        return [participant.name]
    return [f"{participant.name}-{number}" for number in range(1, options.replicas + 1)]


def selected(application: Application, options: StackOptions) -> list[str]:
    """Return the names of the fakes, links, participants and monitor to run.

    Raises `StackError` if `options.only` has an unknown name.
    """
    replicas = {name: replicas_of(p, options) for name, p in application.participants.items()}
    services = [name for of_one in replicas.values() for name in of_one]
    fakes = list(application.outside)
    groups = {
        "infra": [],
        "world": fakes,
        "services": [*services, MONITOR],
        "kafka": [],
        "postgres": [],
        **replicas,
    }
    names = [*fakes, *([LINKS] if options.links else []), *services, MONITOR]
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

    `env` is added to the environment of participants and monitor.
    """
    fakes = around.application.outside
    return [
        _links(around)
        if name == LINKS
        else _fake(fakes[name], around)
        if name in fakes
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


def _fake(fake: OutsideSpec, around: StackAddresses) -> ProcessSpec:
    env = {
        "PYTHONPATH": python_path(around.application),
        "SANDBOX_HOST": HOST,
        "SANDBOX_PORT": str(around.ports[fake.name]),
        "SANDBOX_DB": str(around.data / f"{fake.name}.sqlite"),
    }
    return ProcessSpec(
        name=fake.name,
        command=(sys.executable, "-m", fake.module),
        ready=http_ready(f"{around.url(fake.name)}/health/ready"),
        env={**env, **around.fill(fake.name, fake.env)},
    )


def _service(name: str, around: StackAddresses, extra_env: Mapping[str, str]) -> ProcessSpec:
    service, _, replica = name.partition("-")
    # The first replica keeps the service's own port, which webhooks and callers use.
    port_name = service if replica in ("", "1") else name
    application = around.application
    env = {
        "PYTHONPATH": python_path(application),
        "SAGA_CONTRACT": ",".join(application.contract),
        "SAGA_BOOTSTRAP_SERVERS": around.kafka_for(service),
        "SAGA_DATABASE_URL": around.database_for(service),
        "SAGA_HTTP_HOST": HOST,
        "SAGA_HTTP_PORT": str(around.ports[port_name]),
        "SAGA_HTTP_AUTH": "tokens",
        "SAGA_HTTP_TOKENS_FILE": str(around.tokens_file),
        "SAGA_TOKEN": around.secrets[token_secret(service)],
        "SAGA_INSTANCE_ID": f"{service}-{replica or 1}",
        "SAGA_STATIC_MEMBERSHIP": "true",  # a replica keeps its name, and returns at once
        "SAGA_LOG_JSON": "true",
        "MALLOC_ARENA_MAX": "2",  # see docs/reference/environment.md
    }
    if around.schema_registry_url:
        env["SAGA_SCHEMA_REGISTRY_URL"] = around.schema_registry_url
    if service == MONITOR:
        module, own = "saga_monitor", _of_monitor(around)
    else:
        participant = application.participants[service]
        module, own = participant.module, around.fill(service, participant.env)
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", "sagakit", module),
        ready=http_ready(f"{around.url(port_name)}/health/ready"),
        env={**env, **own, **extra_env},
    )


def _of_monitor(around: StackAddresses) -> dict[str, str]:
    """Return the environment by which the monitor reaches participants, and reconciles."""
    application = around.application
    urls = {name: around.url(name) for name in application.participants if name in around.ports}
    rules = application.reconciliation
    return {
        "SAGA_PARTICIPANTS": json.dumps(urls),
        **({"SAGA_RECONCILIATION": rules} if rules else {}),
    }
