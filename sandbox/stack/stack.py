"""The whole stack of one home directory: up and down."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.stack import infra as infras
from sandbox.stack import ports as port_table
from sandbox.stack.containers import ContainerInfra
from sandbox.stack.disks import disks_of
from sandbox.stack.errors import StackError
from sandbox.stack.infra import EmbeddedInfra, ExternalInfra, Infra
from sandbox.stack.manifest import FILE_NAME, manifest, probe_of, read_manifest, write_manifest
from sandbox.stack.options import Kind, StackOptions
from sandbox.stack.processes import (
    SERVICES,
    Process,
    Stage,
    Surroundings,
    declare,
    replicas_of,
    selected,
    stage_of,
)
from sandbox.stack.readiness import await_ready
from sandbox.stack.registry import registry_url
from sandbox.stack.supervisor import Supervisor, end_survivors, survivors
from sandbox.stack.topics import DEFAULT_PARTITIONS, Topic, create_topics, shared_topics

READY_DEADLINE_S = 120.0

# The world needs neither Kafka nor PostgreSQL, so it starts beside them.
_FIRST_WAVE = frozenset({Stage.POSTGRES, Stage.KAFKA, Stage.WORLD})
_LATER_WAVES = (Stage.REGISTRY, Stage.SERVICES, Stage.MONITOR)


def default_home() -> Path:
    """`$SAGA_HOME`, else `.saga` in the working directory."""
    return Path(os.environ.get("SAGA_HOME") or ".saga").expanduser().absolute()


class Stack:
    """The stack of one home directory, which holds its data, logs and `stack.json`."""

    def __init__(self, home: Path, say: Callable[[str], None] = print) -> None:
        self.home = home.absolute()
        self.supervisor = Supervisor(self.home)
        self._say = say

    @classmethod
    def up(
        cls,
        home: Path,
        options: StackOptions | None = None,
        *,
        say: Callable[[str], None] = print,
        deadline_s: float = READY_DEADLINE_S,
    ) -> "Stack":
        """Start what is not running yet, and return when all of it is ready.

        Safe to call again: a running stack is brought in line with the options, a stopped or
        crashed one goes on with its data. If it is not ready within `deadline_s` seconds, a
        stack that did not run before is stopped again, and `StackError` says which process it
        was, with the end of its log.
        """
        stack = cls(home, say)
        with stack._locked():
            was_running = stack.supervisor.running()
            try:
                stack._start(options or StackOptions(), was_running, deadline_s)
            except BaseException:
                if not was_running:
                    stack._stop()
                raise
        return stack

    def down(self) -> bool:
        """Stop everything, services first, keeping all data. False if nothing was running.

        Its disks are unmounted, also those that a start or a gameday that was killed has left.
        """
        if not (self.home / FILE_NAME).exists() and not disks_of(self.home / "data"):
            return False
        with self._locked():
            return self._stop()

    def read(self) -> dict[str, Any]:
        """The content of `stack.json`; empty before the first start."""
        return read_manifest(self.home)

    def wait_ready(self, names: Iterable[str] = (), deadline_s: float = READY_DEADLINE_S) -> None:
        """Wait until these processes of a running stack are ready (none named: all of them)."""
        content = self.read()
        probes = {
            name: probe_of(name, content) for name in tuple(names) or self.supervisor.processes()
        }
        await_ready(probes, self.supervisor.processes, time.monotonic() + deadline_s)

    def put_up(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Have this process of a service or the monitor run, with `env` besides the stack's own.

        One that is not there yet (`payment-2`, `monitor-2`) is added, on a free port, until
        `take_down`; one that runs with another environment is restarted. Raises `StackError` when
        it does not become ready.
        """
        with self._locked():
            content = self.read()
            port_name = name.removesuffix("-1")
            ports = {**content["ports"], **port_table.assign([port_name], 0, content["ports"])}
            around = surroundings_of(self.home, {**content, "ports": ports})
            (process,) = declare([name], around, {**content["env"], **(env or {})})
            self.supervisor.update([process], remove_others=False)
            self._start_wave([process], time.monotonic() + READY_DEADLINE_S)

    def take_down(self, name: str) -> None:
        """Stop a process that `put_up` added, and forget it."""
        with self._locked():
            if name in self.supervisor.processes():
                self.supervisor.remove([name])

    def _start(self, options: StackOptions, running: bool, deadline_s: float) -> None:
        deadline = time.monotonic() + deadline_s
        before = self.read()
        options = replace(options, partitions=_partitions(options, before))
        names = selected(options)
        if running:
            _check_compatible(options, before)
        else:
            end_survivors(self.home)
        base, ports = _assign_ports(options, before)
        infra = self._infra(options.kind, ports, disks=options.disks)
        around = self._surroundings(options, infra, ports, before)
        optional = ["registry"] if options.registry else []
        known = self.supervisor.processes() if running else {}
        listening = [*infra.listens, *optional, *names]
        needed = port_table.listening([name for name in listening if name not in known], ports)
        # What a process that goes away holds is free by the time it is needed.
        freed = set() if options.only else set(port_table.listening(known, ports).values())
        port_table.check_free({name: port for name, port in needed.items() if port not in freed})
        processes = [
            *(infras.registry(self.home / "data", ports[name], self._say) for name in optional),
            *declare(names, around, options.env),
            *infra.prepare(),
        ]
        if not running:
            self.supervisor.start()
        self.supervisor.update(processes, remove_others=not options.only)
        write_manifest(self.home, manifest(options, base, around, self.supervisor.processes()))
        topics = shared_topics(options.partitions or DEFAULT_PARTITIONS)
        self._start_in_waves(processes, infra, topics, deadline)
        write_manifest(self.home, manifest(options, base, around, self.supervisor.processes()))

    def _start_in_waves(
        self, processes: list[Process], infra: Infra, topics: list[Topic], deadline: float
    ) -> None:
        first = [process for process in processes if process.stage in _FIRST_WAVE]
        self._start_wave(first, deadline)
        # Whoever runs Kafka and PostgreSQL, nothing goes on before they answer.
        await_ready(infra.probes, self.supervisor.processes, deadline)
        infra.create_databases()
        create_topics(infra.bootstrap_servers, topics)
        for stage in _LATER_WAVES:
            self._start_wave([item for item in processes if item.stage == stage], deadline)

    def _start_wave(self, processes: list[Process], deadline: float) -> None:
        started = self.supervisor.start_processes([process.name for process in processes])
        if started:
            self._say(f"starting {', '.join(started)}")
        probes = {process.name: process.ready for process in processes}
        await_ready(probes, self.supervisor.processes, deadline)

    def _stop(self) -> bool:
        running = self.supervisor.running()
        if running:
            names = list(self.supervisor.processes())
            for stage in reversed(Stage):
                self.supervisor.stop(name for name in names if stage_of(name) is stage)
            self.supervisor.shutdown()
        left = survivors(self.home)
        end_survivors(self.home)
        for disk in disks_of(self.home / "data"):
            disk.unmount()
        content = self.read()
        if content:
            kind = Kind(content["stack"])
            if kind is Kind.CONTAINERS:
                self._infra(kind, content["ports"]).stop()
            write_manifest(self.home, {**content, "processes": {}})
        return running or bool(left)

    def _infra(self, kind: Kind, ports: Mapping[str, int], *, disks: bool = False) -> Infra:
        match kind:
            case Kind.EMBEDDED:
                return EmbeddedInfra(self.home / "data", ports, self._say, disks=disks)
            case Kind.CONTAINERS:
                return ContainerInfra(self.home, ports)
            case Kind.EXTERNAL:
                return ExternalInfra(os.environ)

    def _surroundings(
        self,
        options: StackOptions,
        infra: Infra,
        ports: Mapping[str, int],
        before: Mapping[str, Any],
    ) -> Surroundings:
        return Surroundings(
            data=self.home / "data",
            ports=ports,
            bootstrap_servers=infra.bootstrap_servers,
            databases=infra.databases,
            # Kept from the last run: a webhook signed then may be delivered now.
            webhook_secrets=before.get("secrets")
            or {name: secrets.token_hex(16) for name in ("provider", "carrier")},
            schema_registry_url=registry_url(ports["registry"]) if options.registry else None,
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up` or `down` of this home at a time."""
        try:
            (self.home / "data").mkdir(parents=True, exist_ok=True)
            file = (self.home / "lock").open("w")
        except OSError as error:
            raise StackError(
                f"cannot write to {self.home}: {error}. Free some space or set SAGA_HOME to a "
                "directory that can be written."
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def surroundings_of(home: Path, content: Mapping[str, Any]) -> Surroundings:
    """What the processes of the stack that `content` describes know of each other."""
    return Surroundings(
        data=home / "data",
        ports=content["ports"],
        bootstrap_servers=content["bootstrap_servers"],
        databases=content["databases"],
        webhook_secrets=content["secrets"],
        schema_registry_url=content["urls"].get("registry"),
    )


def _assign_ports(options: StackOptions, before: Mapping[str, Any]) -> tuple[int, dict[str, int]]:
    """The base and a port for each name; those of the last run, unless the base changed."""
    last_base = before.get("port_base", port_table.DEFAULT_BASE)
    base = last_base if options.port_base is None else options.port_base
    kept = before.get("ports", {}) if base == last_base else {}
    replicas = [name for service in SERVICES for name in replicas_of(service, options.replicas)]
    brokers = _brokers(options, before)
    kafka = port_table.of_brokers(("kafka", "controller"), brokers)
    links = port_table.links(brokers) if options.links else ()
    names = dict.fromkeys(
        (*port_table.OFFSETS, *kafka, *links, *(n for n in replicas if not n.endswith("-1")))
    )
    return base, port_table.assign(names, base, kept)


def _brokers(options: StackOptions, before: Mapping[str, Any]) -> int:
    """How many brokers this home has, or is to have. Raises `StackError`: that cannot change."""
    if (options.brokers or 1) > 1 and options.kind is not Kind.EMBEDDED:
        raise StackError(
            f"--brokers {options.brokers} is for the embedded stack, not for "
            f"--stack={options.kind}: leave one of the two options away."
        )
    if not before:
        return options.brokers or 1
    present: int = before.get("brokers", 1)
    if options.brokers not in (None, present):
        raise StackError(
            f"this home's Kafka was made with --brokers {present}, not {options.brokers}, and its "
            "records stay where they are. Use another SAGA_HOME, or remove this one."
        )
    return present


def _partitions(options: StackOptions, before: Mapping[str, Any]) -> int:
    """How many partitions an event topic of this home has, or is to have. Raises `StackError`: that
    cannot change, an order's events would lie on two."""
    if not before:
        return options.partitions or DEFAULT_PARTITIONS
    present: int = before.get("partitions", DEFAULT_PARTITIONS)
    if options.partitions not in (None, present):
        raise StackError(
            f"this home's topics were made with {present} partitions, not {options.partitions}. "
            "Use another SAGA_HOME, or remove this one."
        )
    return present


def _check_compatible(options: StackOptions, before: Mapping[str, Any]) -> None:
    changes = {
        "--stack": (str(options.kind), before["stack"]),
        "--port-base": (options.port_base, before["port_base"]),
    }
    for option, (wanted, present) in changes.items():
        if wanted is not None and wanted != present:
            raise StackError(
                f"the stack is running with {option} {present}, not {wanted}. "
                "Stop it with `saga down` first; its data is kept."
            )
