"""Reads and writes `stack.json`, which tells people, tests and other commands where things are."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.ports import BROKERS, HOST
from saga_lab.devstack.processes import StackAddresses, is_instance_of
from saga_lab.devstack.readiness import Probe, ProcessInfo, http_ready, postgres_ready
from saga_lab.devstack.topics import broker_ready

_NOT_HTTP = ("kafka", "controller", "postgres", "registry")


def manifest(
    options: StackOptions,
    port_base: int,
    around: StackAddresses,
    running: Mapping[str, ProcessInfo],
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the new content of `stack.json`; `before` is the present one.

    Its keys are a contract with its readers.
    """
    application = around.application
    further = {name for fake in application.outside.values() for name in fake.ports}
    urls = {
        name: f"{HOST}:{port}" if name in further else around.url(name)
        for name, port in around.ports.items()
        if name in further or _speaks_http(name)
    }
    if around.schema_registry_url:
        urls["registry"] = around.schema_registry_url
    return {
        "application": str(application.folder),
        "stack": str(options.kind),
        "brokers": sum(name in BROKERS for name in around.ports),
        "partitions": options.partitions,
        "bootstrap_servers": around.bootstrap_servers,
        "databases": dict(around.databases),
        "outside": list(application.outside),
        "urls": urls,
        "env": dict(options.env),
        "deadlines": with_deadlines(before, json.loads(options.env.get("SAGA_DEADLINES", "{}"))),
        "processes": {
            name: {"pid": info.pid, "log": str(info.log)} for name, info in running.items()
        },
        "port_base": port_base,
        "ports": dict(around.ports),
        "secrets": dict(around.secrets),
    }


def with_deadlines(content: Mapping[str, Any], overrides: Mapping[str, str]) -> list[Any]:
    """Return the history of the monitor's deadlines, with `overrides` in force from now on.

    Each entry is `[since, overrides]`, `since` in ISO 8601. The invariants need to know which
    deadlines were in force when.
    """
    known = [*content.get("deadlines", [])]
    if not known or known[-1][1] != overrides:
        known.append([datetime.now(UTC).isoformat(), dict(overrides)])
    return known


def _speaks_http(name: str) -> bool:
    return not {"<", ">"} & set(name) and not any(
        is_instance_of(name, other) for other in _NOT_HTTP
    )


def probe_of(name: str, content: Mapping[str, Any]) -> Probe:
    """Return the readiness probe of a process of the stack that `content` describes."""
    if is_instance_of(name, "kafka"):
        return broker_ready(content["ports"][name])
    if name == "postgres":
        return postgres_ready(next(iter(content["databases"].values())))
    if name == "registry":
        return http_ready(f"{content['urls']['registry']}/subjects")
    # The first of several replicas has the service's own URL.
    url = content["urls"].get(name) or content["urls"][name.removesuffix("-1")]
    return http_ready(f"{url}/health/ready")
