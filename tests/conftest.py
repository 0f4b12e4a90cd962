"""Test configuration shared by every layer: markers by folder, who runs beside whom, figures."""

from collections.abc import Callable
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.stack", "tests.browser"]

_TESTS = Path(__file__).parent
_LONGEST_FIRST = ("e2e", "simulation", "integration")
"""Folders whose tests begin first, so that no worker is left with a long one at the end."""
_FIGURE = "figure"


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """With `-n`, the tests of a file run in one worker. So do all tests of the whole that share a
    stack, and all that start their own: more stacks at a time would only share the cores."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        own, shared = "tests/e2e/own_stack", "tests/e2e"
        return next((folder for folder in (own, shared) if file.startswith(f"{folder}/")), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByFile:
    """The scheduler of `-n`; it keeps the order of the tests."""
    config.option.loadscopereorder = False
    return _ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder (`pytest -m "unit or properties"`); put the longest first."""
    for item in items:
        item.add_marker(getattr(pytest.mark, _folder(item)))
    items.sort(key=_turn)


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(_TESTS).parts[0]


def _turn(item: pytest.Item) -> tuple[int, bool]:
    """Tests with a stack of their own come before those that share one, which then stays up."""
    folder = _folder(item)
    turn = _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)
    return turn, "_whole" in getattr(item, "fixturenames", ())


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes a figure, to be printed at the end for whoever runs the tests."""
    return lambda line: record_property(_FIGURE, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures. A test's reports of set-up, call and end repeat what came before."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lines = {
        (report.nodeid, value): None
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _FIGURE
    }
    if lines:
        terminalreporter.section("figures")
    for _, line in lines:
        terminalreporter.write_line(str(line))
