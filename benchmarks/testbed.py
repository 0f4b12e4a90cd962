"""Runs Kafka and PostgreSQL in a home of their own, and the processes of a contender."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.counting.kafka import KafkaConnection
from benchmarks.counting.model import Counts
from benchmarks.counting.postgres import PostgresConnection
from benchmarks.counting.proxy import HOST, Route, run_proxies
from benchmarks.meter import cpu_s, memory_mb
from saga_lab.application import load_application
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.ports import free_ports
from saga_lab.devstack.readiness import Probe, ProcessInfo, await_ready
from saga_lab.devstack.stack import Stack
from saga_lab.devstack.stack_file import operator_token
from sagakit.shared_secret import bearer_header

ROOT = Path(__file__).parent.parent
READY_S, STOP_S = 180.0, 30.0
COUNTED: ContextVar[bool] = ContextVar("COUNTED", default=False)
"""Set it, and the contender's processes reach PostgreSQL and Kafka through proxies that count."""
READY = "BENCH_READY"
"""Environment variable with the file that a process creates when it is ready. A process with a
health endpoint does not need it."""


class Testbed:
    """Kafka and PostgreSQL with the settings of `saga up`, and the processes of a contender.

    `counts`: of what these processes ask of the servers. `postgres_port`: where they reach
    PostgreSQL, if it is not the server's own port.
    """

    def __init__(
        self,
        home: Path,
        content: dict[str, Any],
        counts: Counts | None = None,
        postgres_port: int | None = None,
    ) -> None:
        self.home, self._content, self._postgres_port = home, content, postgres_port
        self.counts = counts or Counts()
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self.pids: dict[str, int] = {n: p["pid"] for n, p in content["processes"].items()}

    @property
    def bootstrap_servers(self) -> str:
        """Return Kafka's address for the benchmark itself."""
        return str(self._content["bootstrap_servers"])

    def database(self, name: str) -> str:
        """Return the database URL of a service or the monitor for the benchmark itself."""
        return str(self._content["databases"][name])

    def kafka_for(self, service: str) -> str:
        """Return Kafka's address for the processes of a service."""
        port = self._content["ports"].get(f"{service}>kafka")
        return f"{HOST}:{port}" if port else self.bootstrap_servers

    def database_for(self, service: str) -> str:
        """Return the URL of a service's database for its processes."""
        url = self.database(service)
        return _at_port(url, self._postgres_port) if self._postgres_port else url

    def secret(self, name: str) -> str:
        """Return a secret of the stack: of a fake whose webhooks it signs, or of a service."""
        return str(self._content["secrets"][name])

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers by which the benchmark logs in to services."""
        return bearer_header(operator_token(self._content))

    @property
    def outside(self) -> Sequence[str]:
        """Return the names of the fakes of the outside world."""
        return [name for name in self._content["outside"] if name in self.pids]

    def port(self, name: str) -> int:
        """Return the port assigned to a service, a replica of it (`payment-2`) or a server."""
        ports: dict[str, int] = self._content["ports"]
        if name not in ports:
            ports.update(free_ports([name], ports))
        return ports[name]

    def url(self, name: str) -> str:
        """Return the URL of a process that listens on its `port`."""
        return f"http://127.0.0.1:{self.port(name)}"

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Probe:
        """Start a process in the repository's root.

        The returned probe succeeds once the process has created its ready file.
        """
        ready = self.home / f"{name}.ready"
        with (self.home / f"{name}.log").open("wb") as log:
            self._started[name] = subprocess.Popen(
                argv,
                cwd=ROOT,
                env={**os.environ, **env, READY: str(ready)},
                stdout=log,
                stderr=log,
            )
        self.pids[name] = self._started[name].pid
        return lambda: None if ready.exists() else f"{ready} is not there yet"

    def wait(self, probes: Mapping[str, Probe]) -> None:
        """Wait until all probes succeed. Raises `StackError` with the log of an unready process."""
        await_ready(probes, self._seen, standstill_s=READY_S)

    def check_alive(self) -> None:
        """Raise ChildProcessError, with the end of its log, if a process has ended."""
        for name, process in self._started.items():
            if process.poll() is not None:
                log = (self.home / f"{name}.log").read_text(errors="replace")
                raise ChildProcessError(f"{name} ended with {process.returncode}: {log[-3000:]}")

    def stop(self) -> None:
        """Terminate the processes, last started first; kill one still running after `STOP_S`."""
        for process in reversed(self._started.values()):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _seen(self) -> dict[str, ProcessInfo]:
        """Return the processes with their logs, which `await_ready` reports for an unready one."""
        self.check_alive()
        return {
            name: ProcessInfo(name, "STARTED", process.pid, self.home / f"{name}.log", "")
            for name, process in self._started.items()
        }


class Meter:
    """Measures CPU and memory of a testbed's processes over a run.

    `idle`: processes that do not count, such as a server that the contender does not use. `only`:
    the processes that count; all by default.
    """

    def __init__(
        self, testbed: Testbed, idle: Sequence[str] = (), only: Sequence[str] | None = None
    ) -> None:
        counted = testbed.pids if only is None else only
        self._pids = {name: testbed.pids[name] for name in counted if name not in idle}
        self._before = cpu_s(self._pids)

    def read(self, orders: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return, by process, the CPU milliseconds per order since the start, and the MiB now."""
        spent = cpu_s(self._pids)
        spent.subtract(self._before)
        cpu = {name: round(1000 * s / orders, 3) for name, s in spent.items()}
        return cpu, {name: round(mb) for name, mb in memory_mb(self._pids).items()}


@contextmanager
def start_testbed(
    home: Path | None = None, partitions: int | None = None, only: Sequence[str] = ("infra",)
) -> Iterator[Testbed]:
    """Start the servers; at exit stop them and all processes of the testbed.

    `home`: the servers continue with the data of this folder. Without it they are fresh, and their
    data is removed at exit. `partitions`: of each event topic. `only`: see `StackOptions`; empty:
    the whole stack.
    """
    with nullcontext(home) if home else new_home() as folder:
        options = StackOptions(
            port_base=0, only=frozenset(only), partitions=partitions, links=COUNTED.get()
        )
        stack = Stack.up(folder, load_application(ROOT), options, say=lambda text: None)
        try:
            with _testbed(folder, stack.read()) as testbed:
                try:
                    yield testbed
                finally:
                    testbed.stop()
        finally:
            stack.down()


@contextmanager
def _testbed(folder: Path, content: dict[str, Any]) -> Iterator[Testbed]:
    """Yield the testbed, with counting proxies before its servers if `COUNTED` is set.

    The broker then has a listener for each service, and names the port of that one's proxy to the
    clients that come through it: that is what `links` of `StackOptions` are.
    """
    if not COUNTED.get():
        yield Testbed(folder, content)
        return
    counts, ports = Counts(), content["ports"]
    routes = [
        Route(0, (HOST, ports["postgres"]), lambda: PostgresConnection(counts)),
        *(
            Route(
                ports[f"{name}>kafka"],
                (HOST, ports[f"kafka<{name}"]),
                partial(KafkaConnection, counts, name),
            )
            for name in content["databases"]
        ),
    ]
    with run_proxies(routes) as (postgres_port, *_):
        yield Testbed(folder, content, counts, postgres_port)


def _at_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    who, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{who}{at}{parts.hostname}:{port}").geturl()


@contextmanager
def new_home() -> Iterator[Path]:
    """Yield an empty folder for servers; remove it at exit."""
    with tempfile.TemporaryDirectory(prefix="saga-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
