"""Commands as a person types them, in an environment with nothing of the test run in it."""

import os
import subprocess
import sys
from pathlib import Path

SAGA = (sys.executable, "-c", "from saga_cli.main import main; main()")
"""The words of the command `saga`, with the code of this tree."""
LIMIT_S = 1700.0
"""Ends a command that hangs."""
_OF_THE_TEST_RUN = ("PYTHONPATH", "SAGA_APP", "SAGA_HOME")


def environment(**settings: str) -> dict[str, str]:
    """An environment with nothing of this test run in it, and these settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _OF_THE_TEST_RUN and not name.startswith("PYTEST_")
    }
    return {**kept, "COLUMNS": "200", **settings}


def run_saga(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What `saga` does in a home."""
    return subprocess.run(
        [*SAGA, *words],
        env=environment(SAGA_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
