"""A command that waits for a silent monitor ends at Ctrl-C and at SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

PATIENCE_S = 60.0
ENDS_S = 2.0
RUN = "from saga_cli.main import main; main()"
COMMANDS = (["ls"], ["show", "order/1"], ["wait", "order/1"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: str(words[0]))
def test_a_command_ends_whatever_it_waits_for(
    command: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        known = {"SAGA_HOME": str(tmp_path), "SAGA_MONITOR_URL": f"http://{place}"}
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *command],
            cwd=ROOT,
            env={**os.environ, **known},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_heed_interrupts,
        )
        try:
            connection, _ = silent.accept()
            with connection:
                began_s = time.monotonic()
                process.send_signal(number)
                assert process.wait(PATIENCE_S) != 0
                assert time.monotonic() - began_s < ENDS_S
        finally:
            process.kill()
            process.wait()


def _heed_interrupts() -> None:
    """As at a terminal: what a shell starts in the background ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
