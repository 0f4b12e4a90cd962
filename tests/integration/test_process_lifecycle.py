"""A service and the monitor end with status 0 at SIGTERM, whatever they are waiting for."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest

from saga_lab.devstack.ports import free_port
from sagakit.store.migrate import MIGRATION_LOCK
from tests.stack import PATIENCE_S, TestInfra, fresh_database, until

MODULES = ("services.fraud", "saga_monitor")
ROOT = Path(__file__).parents[2]
DRAIN_S = 20
"""The deadline of a stop; its end is waited for with more patience, the machine may be busy."""


class Program:
    """`python -m sagakit MODULE` in a process of its own."""

    def __init__(self, module: str, infra: TestInfra, log: Path, **settings: str) -> None:
        port = free_port()
        self.url, self.log = f"http://127.0.0.1:{port}", log
        env = {
            **os.environ,
            "SAGA_BOOTSTRAP_SERVERS": infra.bootstrap_servers,
            "SAGA_DATABASE_URL": infra.database_url,
            "SAGA_CONTRACT": "schemas",
            "SAGA_HTTP_HOST": "127.0.0.1",
            "SAGA_HTTP_PORT": str(port),
            "SAGA_DRAIN_S": str(DRAIN_S),
            "SAGA_INSTANCE_ID": log.stem,
            "SAGA_GROUP": log.stem,
            **settings,
        }
        with log.open("w") as out:
            command = [sys.executable, "-m", "sagakit", module]
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)

    def wrong(self, path: str) -> tuple[int, Mapping[str, str]] | None:
        """What /health says: status, and what is wrong; None while nobody answers."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            answer = httpx2.get(f"{self.url}/health/{path}", timeout=PATIENCE_S)
        except httpx2.TransportError:
            return None
        return answer.status_code, answer.json()["wrong"]

    def hears(self) -> bool:
        """True once SIGTERM has a handler: before that the interpreter itself is starting."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def terminate(self) -> int:
        """Its exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def program(module: str, infra: TestInfra, log: Path, **settings: str) -> Iterator[Program]:
    """A program that is gone at the end."""
    started = Program(module, infra, log, **settings)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> str:
    """Each program in turn."""
    return str(request.param)


@pytest.fixture
def log(tmp_path: Path, topic_prefix: str) -> Path:
    """A log whose name is the program's own."""
    return tmp_path / f"{topic_prefix}log"


def children(pid: int) -> str:
    """The ids of a process's children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def test_a_process_stops_while_it_imports_its_modules(
    module: str, infra: TestInfra, log: Path
) -> None:
    with program(module, infra, log) as started:
        until(started.hears, "it hears SIGTERM")
        assert started.terminate() == 0, log.read_text()


def test_a_process_stops_while_its_database_does_not_answer(
    module: str, infra: TestInfra, log: Path
) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:9/none"
    with program(module, infra, log, SAGA_DATABASE_URL=nowhere) as started:
        status, wrong = until(lambda: started.wrong("ready"), "it answers while it waits")
        assert status == 503
        assert wrong["process"] == "the process starts: the database is migrated"
        assert "does not answer" in wrong["database"]
        assert started.wrong("live") == (200, {})
        for path in ("admin/parked" if module != "saga_monitor" else "sagas", "metrics"):
            refused = httpx2.get(f"{started.url}/{path}", timeout=PATIENCE_S)
            assert refused.status_code == 503
            assert refused.headers["Retry-After"] == "2"
        assert started.terminate() == 0, log.read_text()


def test_a_process_stops_while_another_replica_migrates(
    module: str, infra: TestInfra, log: Path
) -> None:
    url = fresh_database(infra)
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        with program(module, infra, log, SAGA_DATABASE_URL=url) as started:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until(lambda: other.execute(waiting).fetchone() != (0,), "it waits for the lock")
            until(lambda: started.wrong("ready"), "it answers while it waits")
            child = children(started.process.pid).split()
            assert started.terminate() == 0, log.read_text()
            assert child
            assert not any(Path(f"/proc/{pid}").exists() for pid in child)


def test_a_process_stops_while_no_broker_answers(module: str, infra: TestInfra, log: Path) -> None:
    url = fresh_database(infra)
    nowhere = {"SAGA_DATABASE_URL": url, "SAGA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    with program(module, infra, log, **nowhere) as started:
        waits = "the process starts: a broker is waited for"

        def waiting() -> bool:
            found = started.wrong("ready")
            phase = found and found[1].get("process", "")
            return phase == (waits if module == "saga_monitor" else "")

        until(waiting, "nothing is missing but the broker")
        assert started.wrong("live") == (200, {})
        assert started.terminate() == 0, log.read_text()


def test_a_process_stops_when_it_is_ready(module: str, infra: TestInfra, log: Path) -> None:
    with program(module, infra, log, SAGA_DATABASE_URL=fresh_database(infra)) as started:
        until(lambda: started.wrong("ready") == (200, {}), "it is ready")
        assert not children(started.process.pid), "Alembic's process has ended"
        assert started.terminate() == 0, log.read_text()
        assert '"event": "stopped"' in log.read_text()


def test_a_port_in_use_is_reported(infra: TestInfra, log: Path) -> None:
    url = fresh_database(infra)
    with program("services.fraud", infra, log, SAGA_DATABASE_URL=url) as first:
        until(lambda: first.wrong("live"), "it listens")
        port = first.url.rpartition(":")[2]
        second_log = log.with_name("second.log")
        with program(
            "services.fraud", infra, second_log, SAGA_DATABASE_URL=url, SAGA_HTTP_PORT=port
        ) as second:
            assert second.process.wait(PATIENCE_S) == 2
        assert f"SAGA_HTTP_PORT: cannot listen at 127.0.0.1:{port}" in second_log.read_text()
