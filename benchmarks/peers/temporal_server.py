"""Builds Temporal's server from its Go module at first use, and configures it for PostgreSQL."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from benchmarks.peers.environment import bench_cache
from saga_lab.devstack.ports import free_ports

MODULE, VERSION = "go.temporal.io/server", "1.32.1"
PROGRAMS = ("cmd/server", "cmd/tools/sql")
VISIBILITY = Path("schema/postgresql/v12/visibility")
PLUGIN, STORES = "postgres12_pgx", ("temporal", "temporal_visibility")
SHARDS = 512
"""Temporal's recommendation for a small production cluster, and its Helm chart's value."""
CONNECTIONS = 50
SERVICES = ("frontend", "history", "matching", "worker")
LIFTED = (
    "frontend.rps",
    "frontend.namespaceRPS",
    "frontend.namespaceRPS.visibility",
    "frontend.persistenceMaxQPS",
    "history.rps",
    "history.persistenceMaxQPS",
    "matching.rps",
    "matching.persistenceMaxQPS",
)
"""Limits of the dynamic configuration. Their defaults would throttle the load."""


class TemporalUnavailable(Exception):
    """The server cannot be installed or set up here. The message gives the reason."""


def install() -> Path:
    """Return the folder with `server`, `sql` and the visibility schema, building it if missing.

    Go verifies the sources with its checksum database. Raises `TemporalUnavailable`.
    """
    home = bench_cache() / f"temporal-{VERSION}"
    if home.exists():
        return home
    go = shutil.which("go")
    if go is None:
        raise TemporalUnavailable(
            "Temporal is built from its Go module and there is no `go`; install Go"
        )
    print(f"benchmarks: building Temporal {VERSION}, once; some minutes")
    unfinished = home.with_name(f"{home.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    env = {**os.environ, "GOBIN": str(unfinished), "GOFLAGS": "-p=2", "CGO_ENABLED": "0"}
    wanted = [f"{MODULE}/{program}@v{VERSION}" for program in PROGRAMS]
    _run("building", ("nice", "-n", "19", go, "install", *wanted), env)
    output = _run("finding", (go, "mod", "download", "-json", f"{MODULE}@v{VERSION}"), env)
    _copy_schema(
        Path(orjson.loads(output)["Dir"]) / VISIBILITY / "versioned", unfinished / "visibility"
    )
    unfinished.rename(home)
    return home


def _copy_schema(source: Path, target: Path) -> None:
    """Copy the visibility schema, adapted to a PostgreSQL without the extension `btree_gin`.

    The extension lets GIN indexes begin with the namespace. There is one namespace here, so the
    indexes omit it.
    """
    for file in source.rglob("*.*"):
        if file.is_file():
            to = target / file.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text().replace("CREATE EXTENSION btree_gin;", "NULL;")
            to.write_text(text.replace("GIN (namespace_id, ", "GIN ("))


def make_databases(home: Path, url: str) -> None:
    """Create Temporal's databases and schemas on the server of this URL.

    Raises `TemporalUnavailable`.
    """
    parts = urlsplit(url)
    server = ("--plugin", PLUGIN, "--ep", str(parts.hostname), "-p", str(parts.port))
    schemas = {
        "temporal": ("--schema-name", "postgresql/v12/temporal"),
        "temporal_visibility": ("--schema-dir", str(home / "visibility")),
    }
    for database in STORES:
        tool = (str(home / "sql"), *server, "-u", str(parts.username), "--db", database)
        for command in (
            ("create-database",),
            ("setup-schema", "-v", "0.0"),
            ("update-schema", *schemas[database]),
        ):
            _run(f"{command[0]} of {database}", (*tool, *command), os.environ)


def _run(what: str, command: Sequence[str], env: Mapping[str, str]) -> bytes:
    done = subprocess.run(command, env=env, capture_output=True)
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        raise TemporalUnavailable(f"{what} failed: {output}")
    return done.stdout


def write_config(home: Path, url: str) -> tuple[Path, str]:
    """Write the server's configuration; return its path and the address of the front end."""
    names = [f"{service}-{kind}" for service in SERVICES for kind in ("grpc", "membership")]
    ports = free_ports(names, {})
    limits = home / "temporal-dynamic.yaml"
    limits.write_bytes(orjson.dumps({name: [{"value": 1_000_000}] for name in LIFTED}))
    address = f"127.0.0.1:{ports['frontend-grpc']}"
    config = home / "temporal.yaml"  # JSON is YAML
    config.write_bytes(orjson.dumps(_config(url, ports, address, limits)))
    return config, address


def _config(url: str, ports: Mapping[str, int], address: str, limits: Path) -> dict[str, object]:
    parts = urlsplit(url)
    store = {
        "pluginName": PLUGIN,
        "connectAddr": f"{parts.hostname}:{parts.port}",
        "connectProtocol": "tcp",
        "user": parts.username,
        "maxConns": CONNECTIONS,
        "maxIdleConns": CONNECTIONS,
        "maxConnLifetime": "1h",
    }
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "temporal",
            "visibilityStore": "temporal_visibility",
            "numHistoryShards": SHARDS,
            "datastores": {name: {"sql": {**store, "databaseName": name}} for name in STORES},
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}},
        "services": {
            name: {
                "rpc": {
                    "grpcPort": ports[f"{name}-grpc"],
                    "membershipPort": ports[f"{name}-membership"],
                    "bindOnLocalHost": True,
                }
            }
            for name in SERVICES
        },
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": address,
                }
            },
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "archival": {"history": {"state": "disabled"}, "visibility": {"state": "disabled"}},
        "dynamicConfigClient": {"filepath": str(limits), "pollInterval": "60s"},
    }
