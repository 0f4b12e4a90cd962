"""A process's clock is that of the machine, or off by what a rehearsal says."""

from datetime import UTC, datetime, timedelta

import pytest

from sagakit.service.settings import ServiceSettings


@pytest.mark.parametrize("offset_s", [0, 3600, -3600])
def test_a_clock_is_off_by_as_much_as_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, offset_s: int
) -> None:
    monkeypatch.setenv("SAGA_CLOCK_OFFSET_S", str(offset_s))
    settings = ServiceSettings(
        bootstrap_servers="k:1", database_url="postgresql://h/d", contract="schemas"
    )
    off = settings.now() - datetime.now(UTC)
    assert abs(off - timedelta(seconds=offset_s)) < timedelta(seconds=30)
