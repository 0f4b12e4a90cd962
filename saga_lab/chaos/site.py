"""The operations on a running stack that faults use."""

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import psycopg
from psycopg import sql
from sqlalchemy import exc

from saga_lab.application import contract_of
from saga_lab.chaos.load import Load
from saga_lab.devstack.disks import Disk
from saga_lab.devstack.manifest import probe_of
from saga_lab.devstack.ports import BROKERS
from saga_lab.devstack.stack import Stack
from saga_lab.devstack.stack_file import operator_token
from sagakit.outbox.republish import RelayLock, RelayRunning
from sagakit.retry import is_transient
from sagakit.shared_secret import bearer_header
from sagakit.store.postgres import engine_for

PATIENCE_S = 600.0
"""Longest wait for any condition. Past it something is broken: a start on the busiest machine seen
took 90 s."""
POLL_EVERY_S = 0.1


class NotReached(Exception):
    """A condition did not become true in time; the message names it."""


def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Poll the condition until it is true. Raises NotReached after `patience_s` seconds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotReached(f"did not happen within {patience_s:g} s: {what}")
        time.sleep(POLL_EVERY_S)


class Site:
    """A running stack and its load, with the operations that faults need. Thread-safe."""

    def __init__(self, stack: Stack, load: Load) -> None:
        self.stack, self.load = stack, load
        self.content = stack.read()
        self.contract = contract_of(stack.application)
        self.bootstrap_servers = str(self.content["bootstrap_servers"])
        self.brokers = BROKERS[: int(self.content["brokers"])]
        self._sessions: dict[str, psycopg.Connection[Any] | RelayLock] = {}
        self._lock = threading.Lock()
        self._process_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    # --- processes ------------------------------------------------------------------------------

    def ready(self, name: str) -> bool:
        """Return True if the readiness probe of this process succeeds."""
        return probe_of(name, self.content)() is None

    def down(self) -> list[str]:
        """Return the names of the processes that are not running."""
        return [i.name for i in self.stack.supervisor.processes().values() if not i.running]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal as soon as the process runs. Raises NotReached."""
        supervisor = self.stack.supervisor
        until(
            lambda: supervisor.signal(name, number) is not None,
            f"{name} runs, to get {number.name}",
        )

    def stop(self, *names: str) -> None:
        """Stop these processes cleanly, until `start`."""
        with self._exclusive(*names):
            self.stack.supervisor.stop(names)

    def start(self, *names: str) -> None:
        """Start these processes again, without waiting until they are ready."""
        with self._exclusive(*names):
            self.stack.supervisor.start_processes(names)

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Stop a process cleanly on entry, and start it again on exit."""
        with self._exclusive(name):
            self.stop(name)
            try:
                yield
            finally:
                self.start(name)

    def run_process(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Call `Stack.run_process` under the lock of this process."""
        with self._exclusive(name):
            self.stack.run_process(name, env)

    @contextmanager
    def _exclusive(self, *names: str) -> Iterator[None]:
        """Lock these processes, so that two faults do not stop and start the same one at once."""
        with ExitStack() as locks:
            for name in sorted(names):
                with self._lock:
                    process_lock = self._process_locks[name]
                locks.enter_context(process_lock)
            yield

    # --- servers --------------------------------------------------------------------------------

    def post(self, server: str, path: str, body: dict[str, Any]) -> None:
        """Post a control request to a server as soon as it listens. Raises NotReached."""

        def accepted() -> bool:
            try:
                answer = self.request("POST", server, path, json=body)
            except httpx2.TransportError:
                return False
            answer.raise_for_status()
            return True

        until(accepted, f"{server} accepts {path}")

    def request(self, method: str, server: str, path: str, **more: Any) -> httpx2.Response:
        """Send an HTTP request to any process of the stack. Raises httpx2.TransportError."""
        url = f"{self.content['urls'][server]}{path}"
        headers = bearer_header(operator_token(self.content))
        with httpx2.Client(timeout=10, trust_env=False, headers=headers) as client:
            return client.request(method, url, **more)

    def disk(self, name: str) -> Disk:
        """Return one of PostgreSQL's own disks by name."""
        return Disk(self.stack.home / "data", name)

    def run(self, statement: sql.SQL) -> None:
        """Run a statement in a database that no service uses. Raises psycopg.Error."""
        url = next(iter(self.content["databases"].values()))
        with _session(url, dbname="postgres", autocommit=True) as server:
            server.execute(statement)

    def settle(self, service: str | None, *statements: sql.SQL | sql.Composed) -> None:
        """Run statements in a service's database, or in none of them, as soon as PostgreSQL can.

        Raises NotReached.
        """
        urls = self.content["databases"]
        place = {"dbname": "postgres"} if service is None else {}

        def ran(statement: sql.SQL | sql.Composed) -> bool:
            url = urls[service] if service else next(iter(urls.values()))
            try:
                with _session(url, autocommit=True, **place) as server:
                    server.execute(statement)
            except psycopg.OperationalError:
                return False
            return True

        for statement in statements:
            until(lambda one=statement: ran(one), "PostgreSQL runs a statement")  # type: ignore[misc]

    def open_transaction(self, service: str, *statements: sql.SQL | sql.Composed) -> None:
        """Run statements in a service's database, in a transaction left open until `release`.

        Retries on OperationalError: server down, or lock timeout. Raises NotReached.
        """

        def opened() -> bool:
            try:
                url = self.content["databases"][service]
                connection = _session(url)
                try:
                    for statement in statements:
                        connection.execute(statement)
                except BaseException:
                    connection.close()
                    raise
            except psycopg.OperationalError:
                return False
            with self._lock:
                self._sessions[service] = connection
            return True

        until(opened, f"the database of {service} runs the statements")

    def take_relay_lead(self, service: str) -> None:
        """Stop a service and lead its relay until `release`. Raises NotReached.

        None of its outbox rows is published meanwhile, even if the service is started again.
        """
        engine = engine_for(self.content["databases"][service])

        def leading() -> bool:
            self.stop(service)
            try:
                outbox = RelayLock(engine)
            except (exc.DBAPIError, RelayRunning) as error:
                if isinstance(error, exc.DBAPIError) and not is_transient(error):
                    raise
                return False  # database not up yet, or the service was started again
            with self._lock:
                self._sessions[service] = outbox
            return True

        try:
            until(leading, f"the relay lead of {service} is free")
        finally:
            engine.dispose()  # the lock's own connection stays open until `release`

    def outbox_is_empty(self, service: str) -> bool:
        """Return True if no row of a service waits to be published; False if nobody can tell."""
        try:
            with _session(self.content["databases"][service]) as connection:
                row = connection.execute("SELECT NOT EXISTS (SELECT FROM outbox)").fetchone()
        except psycopg.OperationalError:
            return False
        return row == (True,)

    def republish(self, service: str, topic: str) -> None:
        """Move the sent rows of a topic back to the outbox, holding the relay's lead.

        Raises NotReached.
        """

        def republished() -> bool:
            lock = self._sessions[service]
            assert isinstance(lock, RelayLock)
            try:
                lock.republish(topic)
            except exc.DBAPIError as error:
                if not is_transient(error):
                    raise
                self.release(service)
                self.take_relay_lead(service)
                return False
            return True

        until(republished, f"the outbox of {service} has its rows again")

    def release(self, service: str) -> None:
        """Close the open transaction, which rolls it back, or give up the relay's lead."""
        with self._lock:
            connection = self._sessions.pop(service, None)
        if connection is not None:
            connection.close()


def _session(url: str, **more: Any) -> psycopg.Connection[Any]:
    """Open a session that may write, also on a server whose transactions are made read-only."""
    options = "-c default_transaction_read_only=off"
    return psycopg.connect(url, connect_timeout=5, options=options, **more)
