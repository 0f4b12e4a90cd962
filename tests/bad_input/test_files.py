"""Bad flow files, settings and command lines: a line for people, never a traceback."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from saga_monitor.saga.other_deadlines import shortened
from saga_monitor.service import MonitorSettings
from sagakit.errors import ConfigurationError, FlowError
from sagakit.flow.loader import load
from sagakit.service.settings import load as load_settings
from schemas import FLOWS as GOOD_FLOWS
from schemas import OWNERS
from services.payment.service import PaymentSettings
from tests.bad_input.case import Case
from tests.bad_input.files import (
    COMMANDS,
    CONFIGURATION,
    FLOWS,
    GOOD_ENV,
    GOOD_FLOW,
    Ran,
    env,
)
from tests.bad_input.manifests import MANIFESTS
from tests.stack import PATIENCE_S

SAGA = str(Path(sys.executable).with_name("saga"))


def test_the_good_ones_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(GOOD_FLOW, OWNERS).name == "order"
    settings = read(monkeypatch, PaymentSettings, env())
    assert isinstance(settings, PaymentSettings)


@pytest.mark.parametrize("case", FLOWS, ids=str)
def test_a_bad_flow_file_says_where_and_what_to_do(case: Case) -> None:
    with pytest.raises(FlowError) as raised:
        load(case.given, OWNERS)
    for word in case.words:
        assert word in str(raised.value)
    assert len(str(raised.value)) < 1000


def read(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], given: Mapping[str, str]
) -> BaseSettings:
    """The settings of an environment that holds nothing else of ours."""
    for name in [n for n in os.environ if n.startswith("SAGA_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return load_settings(kind)


@pytest.mark.parametrize("case", CONFIGURATION, ids=str)
def test_a_bad_setting_is_named_and_nothing_starts(
    case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monitors = "SAGA_DEADLINES" in case.given
    try:
        settings = read(monkeypatch, MonitorSettings if monitors else PaymentSettings, case.given)
        assert isinstance(settings, MonitorSettings), "it was taken"
        with pytest.raises(ConfigurationError) as refused:
            shortened(GOOD_FLOWS, settings.deadlines)
        text = str(refused.value)
    except SystemExit as left:
        text = f"exit {left.code} {capsys.readouterr().err}"
    if not monitors:
        assert case.gets in text
    for word in case.words:
        assert word in text
    assert GOOD_ENV["SAGA_WEBHOOK_SECRET"] not in text
    assert "pass@" not in text


@pytest.mark.parametrize("case", [*COMMANDS, *MANIFESTS], ids=str)
def test_a_bad_command_says_what_to_do(case: Case, tmp_path: Path) -> None:
    ran: Ran = case.given
    if ran.stack is not None:
        (tmp_path / "stack.json").write_text(ran.stack)
    words = ran.words
    if ran.manifest is not None:
        (tmp_path / "saga.toml").write_text(ran.manifest)
        words = ("--app", str(tmp_path), *words)
    around = {k: v for k, v in os.environ.items() if not k.startswith("SAGA_")}
    done = subprocess.run(
        [SAGA, *words],
        env={**around, "SAGA_HOME": str(tmp_path), "COLUMNS": "200", **ran.env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert f"exit {done.returncode}" == case.gets, done.stderr
    for word in case.words:
        assert word in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
