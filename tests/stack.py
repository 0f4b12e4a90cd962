"""Real Kafka and PostgreSQL for tests, and whole stacks to be mistreated.

`infra` is one Kafka and one PostgreSQL for the whole test session; a test takes a
`fresh_database` of its own and names its topics with a `topic_prefix` of its own.
`LiveStack` is a whole stack in a temporary home, for tests of the whole.
"""

import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from saga_lab.application import Application
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.postgres import create_databases
from saga_lab.devstack.readiness import ProcessInfo
from saga_lab.devstack.stack import Stack
from saga_lab.devstack.stack_file import operator_token
from saga_lab.workload.deadlines import Deadlines
from sagakit.shared_secret import bearer_header
from tests.application import ORDER

T = TypeVar("T")
_POLL_S = 0.05
PATIENCE_S = 600.0
"""How long a test waits for anything. It ends a broken test; no verdict depends on being fast."""


@dataclass(frozen=True)
class TestInfra:
    """Addresses of the session's Kafka and PostgreSQL.

    `database_url` is one existing database of the server; make others from it.
    """

    __test__ = False  # not a test class, whatever its name says

    bootstrap_servers: str
    database_url: str
    stack: "LiveStack"


class LiveStack:
    """A stack in a temporary home, on free ports, with handles to break it."""

    def __init__(
        self, home: Path, options: StackOptions | None = None, application: Application = ORDER
    ) -> None:
        self._stack = Stack(home, application)
        self._options = options or StackOptions(port_base=0)

    @property
    def home(self) -> Path:
        return self._stack.home

    @property
    def json(self) -> Mapping[str, Any]:
        """The content of `stack.json`."""
        return self._stack.read()

    def url(self, name: str) -> str:
        """Base URL of a service or of a part of the outside world."""
        return str(self.json["urls"][name])

    @property
    def token(self) -> str:
        """The operator's token."""
        found = operator_token(self.json)
        assert found is not None
        return found

    @property
    def headers(self) -> Mapping[str, str]:
        """What logs the operator in."""
        return bearer_header(self.token)

    def database_url(self, service: str) -> str:
        """The database of a service."""
        return str(self.json["databases"][service])

    def up(self, options: StackOptions | None = None) -> "LiveStack":
        """Start, or bring in line with other options, and wait until all is ready."""
        self._options = options or self._options
        Stack.up(self.home, self._stack.application, self._options, say=lambda _line: None)
        return self

    def down(self) -> None:
        """Stop everything, keeping the data."""
        self._stack.down()

    def kill(self, name: str) -> None:
        """kill -9; the supervisor starts it again. Returns once that process is gone."""
        pid = self.signal(name, signal.SIGKILL)
        until(lambda: self.process(name).pid != pid, f"{name} (pid {pid}) gone")

    def signal(self, name: str, number: signal.Signals) -> int:
        """Any other signal, such as SIGSTOP and SIGCONT, as soon as there is a process to take it;
        the process's id."""
        supervisor = self._stack.supervisor
        return until(lambda: supervisor.signal(name, number), f"{name} runs, to get {number.name}")

    def stop(self, *names: str) -> None:
        """Stop processes in good order, until `start`."""
        self._stack.supervisor.stop(names)

    def start(self, *names: str) -> None:
        """Start stopped processes and wait until they are ready."""
        self._stack.supervisor.start_processes(names)
        self.wait_ready(*names)

    def run_process(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """See `Stack.run_process`: a replica more, or one with another environment."""
        self._stack.run_process(name, env)

    def restart(self, *names: str) -> None:
        """Stop and start."""
        self.stop(*names)
        self.start(*names)

    def wait_ready(self, *names: str) -> None:
        """Wait until these are ready (none named: everything that is running)."""
        self._stack.wait_ready(names)

    @property
    def deadlines(self) -> Deadlines:
        """Those of its monitor."""
        return Deadlines(self._stack)

    def process(self, name: str) -> ProcessInfo:
        """What the supervisor says of a process: state, pid, log."""
        return self._stack.supervisor.processes()[name]


def until(look: Callable[[], T | None], what: str | Callable[[], str]) -> T:
    """Look until what is seen is true, and return it; fail the test saying what did not come.

    `what` may be a function, to say at the end what was seen instead.

    The deadline ends a test that is broken. None that is not is anywhere near it, also where five
    others want the processor.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        if time.monotonic() > deadline:
            missing = what if isinstance(what, str) else what()
            pytest.fail(f"not within {PATIENCE_S:g} s: {missing}")
        time.sleep(_POLL_S)
    return seen


def until_printed(text: str, output: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until a process has printed a text to a file, and fail with all that it has printed.

    A process that ends without it is not waited for.
    """
    until(
        lambda: text in output.read_text() or process.poll() is not None,
        lambda: f"{text!r} in what the process prints:\n{output.read_text()}",
    )
    printed = output.read_text()
    assert text in printed, f"the process ended without {text!r}; it printed:\n{printed}"


def fresh_database(infra: TestInfra) -> str:
    """URL of a new empty database on the session's server."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    create_databases(infra.database_url, [name])
    return f"{infra.database_url.rpartition('/')[0]}/{name}"


def unique_prefix() -> str:
    """A prefix for topics and groups that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}."


def has_unique_prefix(topic: str) -> bool:
    """Whether a test made this topic for itself: the session's broker keeps them all."""
    return re.match(r"t[0-9a-f]{8}\.", topic) is not None


@contextmanager
def live_stack(
    home: Path, options: StackOptions | None = None, application: Application = ORDER
) -> Iterator[LiveStack]:
    """A running stack, stopped whatever happens."""
    stack = LiveStack(home, options, application)
    try:
        yield stack.up()
    finally:
        stack.down()


@contextmanager
def live_infra(home: Path) -> Iterator[TestInfra]:
    """Kafka and PostgreSQL alone."""
    options = StackOptions(port_base=0, only=frozenset({"infra"}))
    with live_stack(home, options) as stack:
        yield TestInfra(stack.json["bootstrap_servers"], stack.database_url("order"), stack)


@pytest.fixture(scope="session")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Kafka and PostgreSQL for the session, started when the first test asks for them."""
    with live_infra(tmp_path_factory.mktemp("infra")) as found:
        yield found


@pytest.fixture
def database_url(infra: TestInfra) -> str:
    """An empty database for this test."""
    return fresh_database(infra)


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for this test's topics and groups."""
    return unique_prefix()
