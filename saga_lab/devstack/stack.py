"""Starts, changes and stops the whole stack of one home directory."""

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from saga_lab.application import MONITOR, Application
from saga_lab.devstack import infra as infras
from saga_lab.devstack.containers import ContainerInfra
from saga_lab.devstack.disks import disks_of
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.home import (
    assign_ports,
    check_application,
    check_compatible,
    partitions_of,
)
from saga_lab.devstack.infra import EmbeddedInfra, ExternalInfra, Infra
from saga_lab.devstack.manifest import manifest, probe_of, with_deadlines
from saga_lab.devstack.options import StackKind, StackOptions
from saga_lab.devstack.ports import PortTable, check_free, free_ports
from saga_lab.devstack.private_files import close_home
from saga_lab.devstack.processes import (
    ProcessSpec,
    StackAddresses,
    Stage,
    declare,
    is_instance_of,
    selected,
    stage_of,
)
from saga_lab.devstack.readiness import STANDSTILL_S, await_ready
from saga_lab.devstack.registry import registry_url
from saga_lab.devstack.roles import role_secret
from saga_lab.devstack.stack_file import FILE_NAME, read_manifest, write_manifest
from saga_lab.devstack.supervisor import Supervisor, end_survivors, survivors
from saga_lab.devstack.tokens import tokens_of, write_tokens
from saga_lab.devstack.topics import DEFAULT_PARTITIONS, Topic, create_topics, shared_topics

# The schema registry and the fake servers need neither Kafka nor PostgreSQL, and the monitor needs
# no participant: what needs nothing of each other starts in one wave, so that no core is idle.
_FIRST_WAVE = (Stage.POSTGRES, Stage.KAFKA, Stage.REGISTRY, Stage.WORLD)
_SECOND_WAVE = (Stage.SERVICES, Stage.MONITOR)


class StackHome:
    """The stack of one home directory, which holds its data, logs and `stack.json`.

    Whatever application it runs, it can be looked at and stopped without that one's manifest.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.supervisor = Supervisor(self.home)

    def down(self) -> bool:
        """Stop everything, services before infra, keeping all data. False if nothing was running.

        Its disks are unmounted, also those left mounted by a start or chaos run that was killed.
        Processes are found by themselves, not by `stack.json`. Raises `StackError` if they are
        stopped but the file cannot tell whether containers belong to them.
        """
        known = (self.home / FILE_NAME).exists() or disks_of(self.home / "data")
        if not (known or self.supervisor.running() or survivors(self.home)):
            return False
        with self._locked():
            return self._stop()

    def read(self) -> dict[str, Any]:
        """Return the content of `stack.json`; empty before the first start."""
        return read_manifest(self.home)

    def wait_ready(self, names: Iterable[str] = ()) -> None:
        """Wait until these processes of a running stack are ready; no names means all.

        Raises `StackError` when one makes no progress.
        """
        content = self.read()
        probes = {
            name: probe_of(name, content) for name in tuple(names) or self.supervisor.processes()
        }
        await_ready(probes, self.supervisor.processes)

    @contextmanager
    def at_rest(self, remedy: str) -> Iterator[None]:
        """Hold the home while nothing of its stack runs; nobody can start it meanwhile.

        Raises `StackError`, which ends with `remedy`, if something runs.
        """
        with self._locked():
            if self.supervisor.running() or survivors(self.home):
                raise StackError(f"the stack in {self.home} is running; {remedy}")
            yield

    def _stop(self) -> bool:
        running = self.supervisor.running()
        content, unreadable = self._read_if_possible()
        if running:
            names, fakes = list(self.supervisor.processes()), content.get("outside", ())
            for stage in reversed(Stage):
                self.supervisor.stop(name for name in names if stage_of(name, fakes) is stage)
            self.supervisor.shutdown()
        left = survivors(self.home)
        end_survivors(self.home)
        for disk in disks_of(self.home / "data"):
            disk.unmount()
        if unreadable:
            raise StackError(
                "no process of the stack runs any more, but its containers, if it has any, may: "
                f"{unreadable} See `docker ps`, and stop them with `docker stop`."
            ) from unreadable
        if content:
            if content.get("stack") == StackKind.CONTAINERS:
                ContainerInfra(self.home, content["ports"], ()).stop()
            write_manifest(self.home, {**content, "processes": {}})
        return running or bool(left)

    def _read_if_possible(self) -> tuple[dict[str, Any], StackError | None]:
        """Return the content of `stack.json`, empty if it cannot be read, and why it cannot."""
        try:
            return self.read(), None
        except StackError as error:
            return {}, error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock file of this home, so that only one command changes the stack at a time."""
        try:
            close_home(self.home)
            file = (self.home / "lock").open("w")
        except OSError as error:
            raise StackError(
                f"cannot write to {self.home}: {error}. Free some space or set SAGA_HOME to a "
                "directory that can be written."
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Stack(StackHome):
    """The stack of one home directory that runs an application."""

    def __init__(
        self, home: Path, application: Application, say: Callable[[str], None] = print
    ) -> None:
        super().__init__(home)
        self.application = application
        self._say = say
        self._ports = PortTable(application)

    @classmethod
    def up(
        cls,
        home: Path,
        application: Application,
        options: StackOptions | None = None,
        *,
        say: Callable[[str], None] = print,
        standstill_s: float = STANDSTILL_S,
    ) -> "Stack":
        """Start the processes that are not running, and return when all are ready.

        Idempotent: a running stack is changed to match the options, a stopped or crashed one
        resumes with its data. There is no deadline: it waits as long as every unready process
        makes progress. Raises `StackError`, with the end of the log, when one has made none for
        `standstill_s` seconds. On any error, a stack that did not run before is stopped again.
        """
        stack = cls(home, application, say)
        with stack._locked():
            was_running = stack.supervisor.running()
            try:
                stack._start(options or StackOptions(), was_running, standstill_s)
            except BaseException:
                if not was_running:
                    stack._stop()
                raise
        return stack

    def run_process(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Run this process of a service or the monitor, with `env` added to the stack's own.

        A process that does not exist yet (`runner-2`, `monitor-2`) is added on a free port, until
        `remove_process`; one that runs with another environment is restarted. Raises `StackError`
        when the process does not become ready.
        """
        with self._locked():
            content = self.read()
            port_name = name.removesuffix("-1")
            ports = {**content["ports"], **free_ports([port_name], content["ports"])}
            around = addresses_of(self.home, self.application, {**content, "ports": ports})
            inherited = dict(content["env"])
            if is_instance_of(name, MONITOR):
                inherited["SAGA_DEADLINES"] = json.dumps(content["deadlines"][-1][1])
            (process,) = declare([name], around, {**inherited, **(env or {})})
            self.supervisor.update([process], remove_others=False)
            self._start_wave([process])

    def set_deadlines(self, overrides: Mapping[str, str]) -> None:
        """Restart the monitor with other deadlines, unless it already has these.

        They apply to events that it reads from now on, so `stack.json` records the time of the
        change. `overrides` has the format of `SAGA_DEADLINES`. Raises `StackError` when the monitor
        does not become ready.
        """
        with self._locked():
            content = self.read()
            deadlines = with_deadlines(content, overrides)
            if deadlines == content["deadlines"]:
                return
            write_manifest(self.home, {**content, "deadlines": deadlines})
        self.run_process(MONITOR)

    def remove_process(self, name: str) -> None:
        """Stop a process that `run_process` added, and remove it from supervision."""
        with self._locked():
            if name in self.supervisor.processes():
                self.supervisor.remove([name])

    def _start(self, options: StackOptions, running: bool, standstill_s: float) -> None:
        before = self.read()
        options = replace(options, partitions=partitions_of(options, before))
        names = selected(self.application, options)
        check_application(self.application, before)
        if running and "stack" not in before:
            raise StackError(
                f"processes of a stack run in {self.home}, but {FILE_NAME}, which describes it, is "
                "missing or of another version. Stop them with `saga down` first; data is kept."
            )
        if running:
            check_compatible(options, before)
        else:
            end_survivors(self.home)
        base, ports = assign_ports(self.application, options, before)
        infra = self._infra(options, ports)
        around = self._surroundings(options, infra, ports, before)
        optional = ["registry"] if options.registry else []
        known = self.supervisor.processes() if running else {}
        listening = [*infra.listens, *optional, *names]
        needed = self._ports.listening([name for name in listening if name not in known], ports)
        # Running processes that are not kept release their ports before new ones need them.
        freed = set() if options.only else set(self._ports.listening(known, ports).values())
        check_free({name: port for name, port in needed.items() if port not in freed})
        write_tokens(self.home, self.application, around.secrets)
        processes = [
            *(infras.registry(self.home / "data", ports[name], self._say) for name in optional),
            *declare(names, around, options.env),
            *infra.prepare(),
        ]

        def written() -> None:
            content = manifest(options, base, around, self.supervisor.processes(), before)
            write_manifest(self.home, content)

        if not running:
            self.supervisor.start()
        self.supervisor.update(processes, remove_others=not options.only)
        written()
        topics = shared_topics(self.application, options.partitions or DEFAULT_PARTITIONS)
        self._start_in_waves(processes, infra, topics, standstill_s)
        written()

    def _start_in_waves(
        self, processes: list[ProcessSpec], infra: Infra, topics: list[Topic], standstill_s: float
    ) -> None:
        def stage(process: ProcessSpec) -> Stage:
            return stage_of(process.name, self.application.outside)

        first, second = (
            sorted((p for p in processes if stage(p) in stages), key=stage)
            for stages in (_FIRST_WAVE, _SECOND_WAVE)
        )
        self._start_wave(first, standstill_s)
        # Kafka and PostgreSQL must answer first, also those that are not supervised here.
        await_ready(infra.probes, self.supervisor.processes, standstill_s=standstill_s)
        infra.create_databases()
        create_topics(infra.bootstrap_servers, topics)
        self._start_wave(second, standstill_s)

    def _start_wave(self, processes: list[ProcessSpec], standstill_s: float = STANDSTILL_S) -> None:
        """Start these processes, at most one per core at a time: more would compete for cores."""
        idle = self.supervisor.idle(process.name for process in processes)
        if idle:
            self._say(f"starting {', '.join(idle)}")

        def start(name: str) -> None:
            if name in idle:
                self.supervisor.start_processes([name])

        await_ready(
            {process.name: process.ready for process in processes},
            self.supervisor.processes,
            start,
            at_once=os.cpu_count(),
            standstill_s=standstill_s,
        )

    def _surroundings(
        self,
        options: StackOptions,
        infra: Infra,
        ports: Mapping[str, int],
        before: Mapping[str, Any],
    ) -> StackAddresses:
        # Keep the secrets of the last run: a webhook signed then may be delivered now.
        kept: Mapping[str, str] = before.get("secrets", {})
        return StackAddresses(
            application=self.application,
            data=self.home / "data",
            ports=ports,
            bootstrap_servers=infra.bootstrap_servers,
            databases=infra.databases,
            secrets={
                **{n: kept.get(n) or secrets.token_hex(16) for n in self.application.secrets()},
                **{role_secret(n): text for n, text in infra.role_passwords.items()},
                **tokens_of(self.application, kept),
            },
            schema_registry_url=registry_url(ports["registry"]) if options.registry else None,
        )

    def _infra(self, options: StackOptions, ports: Mapping[str, int]) -> Infra:
        databases: Sequence[str] = self.application.databases
        match options.kind:
            case StackKind.EMBEDDED:
                data = self.home / "data"
                return EmbeddedInfra(data, ports, databases, self._say, disks=options.disks)
            case StackKind.CONTAINERS:
                return ContainerInfra(self.home, ports, databases)
            case StackKind.EXTERNAL:
                return ExternalInfra(os.environ, databases)


def addresses_of(
    home: Path, application: Application, content: Mapping[str, Any]
) -> StackAddresses:
    """Return the surroundings of the stack that `content`, a `stack.json`, describes."""
    return StackAddresses(
        application=application,
        data=home / "data",
        ports=content["ports"],
        bootstrap_servers=content["bootstrap_servers"],
        databases=content["databases"],
        secrets=content["secrets"],
        schema_registry_url=content["urls"].get("registry"),
    )
