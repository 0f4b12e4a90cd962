"""The environment of a command as a person types it."""

import os

_OF_THE_TEST_RUN = ("PYTHONPATH", "SAGA_APP", "SAGA_HOME")


def environment(**settings: str) -> dict[str, str]:
    """An environment with nothing of this test run in it, and these settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _OF_THE_TEST_RUN and not name.startswith("PYTEST_")
    }
    return {**kept, "COLUMNS": "200", **settings}
