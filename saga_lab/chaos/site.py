"""The stack as a fault takes hold of it."""

import signal
import threading
import time
import xmlrpc.client
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import psycopg
from psycopg import sql
from sqlalchemy import exc

from saga_lab.chaos.load import Load
from saga_lab.devstack import Stack
from saga_lab.devstack.disks import Disk
from saga_lab.devstack.manifest import probe_of
from saga_lab.devstack.ports import BROKERS
from sagakit.outbox.republish import QuietOutbox, RelayLeads
from sagakit.store.postgres import engine_for

PATIENCE_S = 600.0
"""How long anything may take that a fault waits for. Past it something is broken: starting on the
busiest machine seen took 90 s."""
LOOK_AGAIN_S = 0.1


class NotReached(Exception):
    """What was waited for did not come; the message says what."""


def until(condition: Callable[[], bool], what: str, deadline_s: float = PATIENCE_S) -> None:
    """Wait for the condition. Raises NotReached."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotReached(f"not within {deadline_s:g} s: {what}")
        time.sleep(LOOK_AGAIN_S)


class Site:
    """Handles on a running stack and the load it is under. For several threads."""

    def __init__(self, stack: Stack, load: Load) -> None:
        self.stack, self.load = stack, load
        self.content = stack.read()
        self.bootstrap_servers = str(self.content["bootstrap_servers"])
        self.brokers = BROKERS[: int(self.content["brokers"])]
        self._held: dict[str, psycopg.Connection[Any] | QuietOutbox] = {}
        self._lock = threading.Lock()
        self._moving: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    # --- processes ------------------------------------------------------------------------------

    def ready(self, name: str) -> bool:
        """Whether this process of the stack says it is ready."""
        return probe_of(name, self.content)() is None

    def down(self) -> list[str]:
        """Names of the processes that do not run."""
        return [i.name for i in self.stack.supervisor.processes().values() if not i.running]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal, as soon as there is a process to take it. Raises NotReached."""

        def sent() -> bool:
            try:
                self.stack.supervisor.signal(name, number)
            except xmlrpc.client.Fault:
                return False  # between two lives
            return True

        until(sent, f"{name} runs, to get {number.name}")

    def stop(self, *names: str) -> None:
        """Stop in good order, until `start`."""
        with self._alone(*names):
            self.stack.supervisor.stop(names)

    def start(self, *names: str) -> None:
        """Start again; returns at once."""
        with self._alone(*names):
            self.stack.supervisor.start_processes(names)

    @contextmanager
    def away(self, name: str) -> Iterator[None]:
        """A process is stopped in good order, and started again at the end."""
        with self._alone(name):
            self.stop(name)
            try:
                yield
            finally:
                self.start(name)

    def put_up(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """See `Stack.put_up`."""
        with self._alone(name):
            self.stack.put_up(name, env)

    @contextmanager
    def _alone(self, *names: str) -> Iterator[None]:
        """Two faults may want to stop and start the same process: one after the other."""
        with ExitStack() as held:
            for name in sorted(names):
                with self._lock:
                    moving = self._moving[name]
                held.enter_context(moving)
            yield

    # --- servers --------------------------------------------------------------------------------

    def post(self, server: str, path: str, body: dict[str, Any]) -> None:
        """Have a server of the outside world do something, as soon as it listens."""

        def taken() -> bool:
            try:
                answer = self.request("POST", server, path, json=body)
            except httpx.TransportError:
                return False
            answer.raise_for_status()
            return True

        until(taken, f"{server} takes {path}")

    def request(self, method: str, server: str, path: str, **more: Any) -> httpx.Response:
        """Any HTTP request to any part. Raises httpx.TransportError."""
        url = f"{self.content['urls'][server]}{path}"
        with httpx.Client(timeout=10, trust_env=False) as client:
            return client.request(method, url, **more)

    def disk(self, name: str) -> Disk:
        """A disk of PostgreSQL's own."""
        return Disk(self.stack.home / "data", name)

    def run(self, statement: sql.SQL) -> None:
        """Run this in PostgreSQL, in a database that no service uses. Raises psycopg.Error."""
        url = next(iter(self.content["databases"].values()))
        with psycopg.connect(url, dbname="postgres", autocommit=True, connect_timeout=5) as server:
            server.execute(statement)

    def hold(self, service: str, *statements: sql.SQL | sql.Composed) -> None:
        """Run these in a service's database, in one transaction that stays open until `let_go`.

        Tried again while PostgreSQL does not let us. Raises NotReached.
        """

        def done() -> bool:
            try:
                url = self.content["databases"][service]
                connection = psycopg.connect(url, connect_timeout=5)
                try:
                    for statement in statements:
                        connection.execute(statement)
                except BaseException:
                    connection.close()
                    raise
            except psycopg.OperationalError:
                return False
            with self._lock:
                self._held[service] = connection
            return True

        until(done, f"the database of {service} takes our transaction")

    def silence(self, service: str) -> None:
        """Stop a service and take its relay's place until `let_go`, so that nothing of it is
        published, whoever starts it meanwhile. Raises NotReached."""
        engine = engine_for(self.content["databases"][service])

        def quiet() -> bool:
            self.stop(service)
            try:
                outbox = QuietOutbox(engine)
            except (exc.OperationalError, RelayLeads):
                return False  # no database yet, or somebody has started the service again
            with self._lock:
                self._held[service] = outbox
            return True

        try:
            until(quiet, f"the relay of {service} is silent")
        finally:
            engine.dispose()  # what is held keeps its connection

    def republish(self, service: str, topic: str) -> None:
        """What a service that is silenced keeps of a topic goes back to its outbox."""

        def moved() -> bool:
            held = self._held[service]
            assert isinstance(held, QuietOutbox)
            try:
                held.republish(topic)
            except exc.OperationalError:
                self.let_go(service)
                self.silence(service)
                return False
            return True

        until(moved, f"{service} has its rows again")

    def let_go(self, service: str) -> None:
        """End what is held in a service's database; nothing uncommitted of it remains."""
        with self._lock:
            connection = self._held.pop(service, None)
        if connection is not None:
            connection.close()
