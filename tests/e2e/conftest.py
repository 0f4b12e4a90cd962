"""One whole stack for the session, the same as the demo's."""

from collections.abc import Iterator

import pytest

from saga_cli.lab.demo_run import options_of
from tests.application import ORDER
from tests.stack import LiveStack, live_stack


@pytest.fixture(scope="session")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The whole stack, where `saga demo` looks for it when SAGA_HOME is its parent folder."""
    with live_stack(tmp_path_factory.mktemp("whole") / "demo", options_of(ORDER)) as stack:
        yield stack


@pytest.fixture
def whole(_whole: LiveStack) -> LiveStack:
    """The same, where no deadline passes unless the test has it pass."""
    _whole.deadlines.far()
    return _whole
