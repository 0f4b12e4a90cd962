"""Programs as processes of their own, on the session's Kafka and PostgreSQL."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2

from saga_lab.devstack.ports import free_port
from tests.stack import PATIENCE_S, TestInfra

ROOT = Path(__file__).parents[1]
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
