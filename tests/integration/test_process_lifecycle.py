"""A service and the monitor end with status 0 at SIGTERM, whatever they are waiting for."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest

from sagakit.store.migrate import MIGRATION_LOCK
from tests.programs import program
from tests.stack import PATIENCE_S, TestInfra, fresh_database, live_infra, until

MODULES = ("services.fraud", "saga_monitor")
STOPPED_S = 2.0
"""The longest stop of a process that waits for a database since its start."""


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestInfra]:
    """Of its own: a service refuses an empty database where others have published in its name."""
    with live_infra(tmp_path_factory.mktemp("infra")) as found:
        yield found


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
        path = "admin/parked" if module != "saga_monitor" else "sagas"
        refused = httpx2.get(f"{started.url}/{path}", timeout=PATIENCE_S)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "2"
        known = httpx2.get(f"{started.url}/metrics", timeout=PATIENCE_S)
        assert known.status_code == 200
        assert "\nsaga_database_up{" in known.text
        assert started.terminate() == 0, log.read_text()


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a database that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/none"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_stops_at_once_while_its_database_is_silent(
    module: str, number: signal.Signals, infra: TestInfra, log: Path, silent_url: str
) -> None:
    with program(module, infra, log, SAGA_DATABASE_URL=silent_url) as started:
        status, wrong = until(lambda: started.wrong("ready"), "it answers while it waits")
        assert status == 503
        assert "does not answer within" in wrong["database"]
        began_s = time.monotonic()
        started.process.send_signal(number)
        assert started.process.wait(PATIENCE_S) == 0, log.read_text()
        assert time.monotonic() - began_s < STOPPED_S, log.read_text()


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
