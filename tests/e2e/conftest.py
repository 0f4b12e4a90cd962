"""One whole stack for the session, on the deadlines of the demo."""

from collections.abc import Iterator

import pytest

from saga_monitor.cli.demo import OPTIONS
from tests.stack import LiveStack, live_stack

TIMEOUT_S = 400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the whole wait for real deadlines and outages."""
    for item in items:
        if item.path.parent.name == "e2e":
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The whole stack, where `saga demo` looks for it when SAGA_HOME is its parent folder."""
    with live_stack(tmp_path_factory.mktemp("whole") / "demo", OPTIONS) as stack:
        yield stack
