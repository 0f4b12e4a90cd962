"""A process ends with its migration child, and with the right status, whatever ends it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagakit.service import migrations
from sagakit.service.migrations import MigrationChild, MigrationFailed
from sagakit.stop_signal import StopSignal
from tests.stack import PATIENCE_S

ROOT = Path(__file__).parents[3]
NOWHERE = "postgresql://nobody@127.0.0.1:9/none"
SERVICE = """
import asyncio, os, signal
from sagakit.service.lifecycle import Lifecycle, Loop
from sagakit.service.program import Program
from sagakit.service.settings import ServiceSettings
from sagakit.stop_signal import StopSignal

def wire(settings, migrated):
    stop = StopSignal()

    async def run():
        os.kill(os.getpid(), signal.SIGTERM)
        while not stop.is_set():
            await asyncio.sleep(0.01)

    {first}
    return Lifecycle([[Loop("one", run, stop, early=True)]], drain_s=5, steps=[migrated])

PROGRAM = Program("ends", ServiceSettings, None, wire)
"""


def ended(
    folder: Path, first: str = "pass", redirect: str = ""
) -> subprocess.CompletedProcess[str]:
    """The end of a process whose `wire` begins with `first`, and of its migration child.

    The child holds the process's output: the call returns once both have ended.
    """
    package = folder / "ends"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "service.py").write_text(SERVICE.format(first=first))
    env = {
        **os.environ,
        "PYTHONPATH": f"{folder}:{ROOT}",
        "SAGA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "SAGA_CONTRACT": "schemas",
        "SAGA_DATABASE_URL": NOWHERE,
    }
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m sagakit ends {redirect}', sys.executable],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("raise ValueError('no such region')", 1),
        ("os.kill(os.getpid(), signal.SIGTERM)", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_the_migration_ends_with_a_process_that_ends_while_it_is_wired(
    tmp_path: Path, first: str, status: int
) -> None:
    # Given a database that does not answer, so that the migration goes on
    # When the process ends before its lifecycle runs
    found = ended(tmp_path, first)
    # Then its migration has ended too
    assert found.returncode == status, found.stderr


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full"])
def test_a_stop_ends_with_status_0_although_nobody_reads_its_output(
    tmp_path: Path, redirect: str
) -> None:
    found = ended(tmp_path, redirect=redirect)
    assert found.returncode == 0, found.stderr


def test_a_migration_child_that_a_signal_ended_has_not_migrated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a child that ends as a process does that hears SIGTERM early: with status 0
    monkeypatch.setattr(migrations, "_migrated", lambda *_: 0)
    child = MigrationChild(NOWHERE, None)
    # When the start waits for it, then it is no success
    with pytest.raises(MigrationFailed, match="status 0"):
        child.wait(StopSignal())
