"""What tests of the monitor share: somebody who says events, and a monitor that reads them."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor import MonitorProcess, Voice, monitor
from tests.stack import TestInfra


@pytest.fixture
def voice(infra: TestInfra) -> Iterator[Voice]:
    """Speaks for all participants."""
    said = Voice(infra)
    yield said
    said.close()


@pytest.fixture
def group() -> str:
    """A consumer group of this test's own."""
    return f"saga-monitor-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def running(
    infra: TestInfra, database_url: str, group: str, tmp_path: Path
) -> Iterator[MonitorProcess]:
    """A monitor with the flow's own deadlines."""
    with monitor(infra, database_url, tmp_path / "monitor.log", group=group) as process:
        yield process.start()
