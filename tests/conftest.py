"""Test configuration shared by every layer: markers by folder, and the stack's fixtures."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["tests.stack"]

_TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the folder it lies in: `pytest -m "unit or properties"`."""
    for item in items:
        folder = item.path.relative_to(_TESTS).parts[0]
        item.add_marker(getattr(pytest.mark, folder))


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a figure for whoever runs the tests, whatever pytest keeps to itself."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def told(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}")

    return told
