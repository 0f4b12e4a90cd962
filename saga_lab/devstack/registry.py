"""Runs a schema registry on this machine: Apicurio, which serves the Confluent API."""

from pathlib import Path

from saga_lab.devstack.class_archive import archive_flags
from saga_lab.devstack.jars import cache_dir
from saga_lab.devstack.ports import HOST
from saga_lab.devstack.processes import ProcessSpec
from saga_lab.devstack.readiness import http_ready


def registry_url(port: int) -> str:
    """Return the base URL of the Confluent compatible API."""
    return f"http://{HOST}:{port}/apis/ccompat/v7"


def registry_process(java: Path, program: Path, data: Path, port: int) -> ProcessSpec:
    """Return the registry as a supervised process; it keeps its schemas in files under `data`."""
    data.mkdir(parents=True, exist_ok=True)
    flags = (
        "-Xmx256m",
        "-XX:+UseSerialGC",
        # It answers some hundred requests at each start of the stack and few later: the optimising
        # compiler would cost twice the CPU time that they take.
        "-XX:TieredStopAtLevel=1",
        f"-Djava.io.tmpdir={data}",
        *archive_flags(java, "registry", data, cache_dir()),
    )
    return ProcessSpec(
        name="registry",
        command=(str(java), *flags, "-jar", str(program / "quarkus-run.jar")),
        ready=http_ready(f"{registry_url(port)}/subjects"),
        env={
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(port),
            # Its health and metrics have a port of their own, 9000 on all interfaces by default.
            "QUARKUS_MANAGEMENT_HOST": HOST,
            "QUARKUS_MANAGEMENT_PORT": "0",
            # On disk, not in memory: records in Kafka refer to these schema ids for ever.
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{data / 'schemas'};WRITE_DELAY=0",
        },
    )
