"""The HTTP apps run once per session."""

from collections.abc import Iterator

import pytest

from tests.bad_input.apps import RunningApps, running_apps


@pytest.fixture(scope="session")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApps]:
    """Every HTTP app, on one PostgreSQL."""
    with running_apps(tmp_path_factory.mktemp("apps")) as found:
        yield found
