"""A schema registry on this machine: Apicurio, which speaks the Confluent API."""

from pathlib import Path

from saga_lab.devstack.ports import HOST
from saga_lab.devstack.processes import Process
from saga_lab.devstack.readiness import http_ready


def registry_url(port: int) -> str:
    """Base URL of the Confluent compatible API."""
    return f"http://{HOST}:{port}/apis/ccompat/v7"


def registry_process(java: Path, program: Path, data: Path, port: int) -> Process:
    """The registry as a supervised process; its schemas are files under `data`."""
    data.mkdir(parents=True, exist_ok=True)
    flags = ("-Xmx256m", "-XX:+UseSerialGC", f"-Djava.io.tmpdir={data}")
    return Process(
        name="registry",
        command=(str(java), *flags, "-jar", str(program / "quarkus-run.jar")),
        ready=http_ready(f"{registry_url(port)}/subjects"),
        env={
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(port),
            # A file instead of memory: events in the log refer to these schema ids for ever.
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{data / 'schemas'};WRITE_DELAY=0",
        },
    )
