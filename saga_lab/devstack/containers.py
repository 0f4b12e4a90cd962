"""Runs Kafka and PostgreSQL in Docker containers, through testcontainers.

Containers are recreated at each start; the data stays in named volumes. They are published on
127.0.0.1 only, on the same ports as the embedded servers.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.kafka import broker_settings
from saga_lab.devstack.ports import HOST
from saga_lab.devstack.postgres import USER, create_databases, database_url
from saga_lab.devstack.processes import ProcessSpec
from saga_lab.devstack.readiness import Probe, postgres_ready
from saga_lab.devstack.roles import role_of, role_password, server_password
from saga_lab.devstack.topics import kafka_ready

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

KAFKA_IMAGE = "apache/kafka:4.1.1"
POSTGRES_IMAGE = "postgres:18"

_KAFKA_PORT, _POSTGRES_PORT = 9092, 5432
_STOP_WAIT_S = 30


class ContainerInfra:
    """Kafka and PostgreSQL as containers that belong to one home directory.

    There is a database for each of `names`.
    """

    listens: tuple[str, ...] = ("kafka", "postgres")

    def __init__(self, home: Path, ports: Mapping[str, int], names: Sequence[str]) -> None:
        self._names = names
        self._suffix = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        self._ports = ports
        self._password = str(server_password(home / "data" / "containers.password", new=True))

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self._ports['kafka']}"

    @property
    def databases(self) -> dict[str, str]:
        port, password = self._ports["postgres"], self._password
        return {name: database_url(port, f"saga_{name}", password) for name in self._names}

    @property
    def role_passwords(self) -> dict[str, str]:
        """Password of each service's role."""
        return {n: role_password(self._password, role_of(f"saga_{n}")) for n in self._names}

    @property
    def probes(self) -> dict[str, Probe]:
        return {
            "postgres": postgres_ready(self._admin_url),
            "kafka": kafka_ready(self.bootstrap_servers),
        }

    def prepare(self) -> list[ProcessSpec]:
        """Start the containers that are not running; none of them is supervised, so return []."""
        try:
            self._start_kafka()
            self._start_postgres()
        except StackError:
            with suppress(StackError):
                self.stop()
            raise
        return []

    def create_databases(self) -> None:
        names = [f"saga_{name}" for name in self._names]
        create_databases(self._admin_url, names, password=self._password)

    def stop(self) -> None:
        """Stop and remove both containers; their volumes stay."""
        with _engine() as engine:
            for part in ("kafka", "postgres"):
                for container in self._containers(engine, part):
                    container.stop(timeout=_STOP_WAIT_S)
                    container.remove()

    def _containers(self, engine: "DockerClient", part: str) -> "list[Container]":
        """Return the container of this part, running or not; an empty list if there is none."""
        filters = {"name": f"^/?{self._name(part)}$"}
        return list(engine.containers.list(all=True, filters=filters))

    @property
    def _admin_url(self) -> str:
        return database_url(self._ports["postgres"], "postgres", self._password)

    def _name(self, part: str) -> str:
        return f"saga-{part}-{self._suffix}"

    def _start_kafka(self) -> None:
        data = "/var/lib/kafka/data"
        settings = broker_settings(
            data, f"0.0.0.0:{_KAFKA_PORT}", self.bootstrap_servers, ["localhost:9093"]
        )
        env = {f"KAFKA_{name.upper().replace('.', '_')}": text for name, text in settings.items()}
        self._start("kafka", KAFKA_IMAGE, env, _KAFKA_PORT, data)

    def _start_postgres(self) -> None:
        self._start(
            "postgres",
            POSTGRES_IMAGE,
            {"POSTGRES_USER": USER, "POSTGRES_PASSWORD": str(self._password)},
            _POSTGRES_PORT,
            "/var/lib/postgresql",
            command="postgres -c max_connections=300",
        )

    def _start(
        self,
        part: str,
        image: str,
        env: Mapping[str, str],
        port: int,
        data: str,
        command: str | None = None,
    ) -> None:
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        # The reaper would remove the containers when this command ends; only `saga down` may.
        testcontainers_config.ryuk_disabled = True
        with _engine() as engine:
            present = self._containers(engine, part)
            if any(container.status == "running" for container in present):
                return
            for container in present:
                container.remove()
            new = DockerContainer(image, name=self._name(part), env=dict(env), command=command)
            new.with_volume_mapping(f"{self._name(part)}-data", data, "rw")
            # Publish on the loopback address only; the library has no API for that.
            new.ports[f"{port}/tcp"] = (HOST, self._ports[part])  # type: ignore[assignment]
            new.start()


@contextmanager
def _engine() -> "Iterator[DockerClient]":
    """Yield a client of the Docker engine. Raises `StackError` for any of its errors."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
        try:
            yield client
        finally:
            client.close()
    except DockerException as error:
        raise StackError(
            f"--stack=containers needs a Docker engine: {error}. Start it (or set DOCKER_HOST), "
            "or leave the option away for the embedded stack."
        ) from error
