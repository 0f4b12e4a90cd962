"""A process's clock is that of the machine, or off by what a rehearsal says."""

from datetime import UTC, datetime, timedelta

import pytest

from sagakit.service.settings import ServiceSettings, WebhookSettings, load


@pytest.mark.parametrize("offset_s", [0, 3600, -3600])
def test_a_clock_is_off_by_as_much_as_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, offset_s: int
) -> None:
    monkeypatch.setenv("SAGA_CLOCK_OFFSET_S", str(offset_s))
    settings = ServiceSettings(bootstrap_servers="k:1", database_url="postgresql://h/d")
    off = settings.now() - datetime.now(UTC)
    assert abs(off - timedelta(seconds=offset_s)) < timedelta(seconds=30)


@pytest.mark.parametrize("name", ["SAGA_WEBHOOK_SECRET", "SAGA_WEBHOOK_SECRET_PREVIOUS"])
@pytest.mark.parametrize("secret", ["", " \t"])
def test_a_blank_secret_stops_the_start_with_its_name_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, secret: str
) -> None:
    monkeypatch.setenv("SAGA_BOOTSTRAP_SERVERS", "k:1")
    monkeypatch.setenv("SAGA_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("SAGA_WEBHOOK_SECRET", "good")
    monkeypatch.setenv(name, secret)
    with pytest.raises(SystemExit):
        load(WebhookSettings)
    (problem,) = capsys.readouterr().err.splitlines()
    assert problem.startswith(f"{name} ")
    assert "is blank" in problem
    assert "set it in the environment" in problem
