"""`saga down` stops what runs in a home, whatever its stack.json says of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from saga_cli.main import saga
from saga_lab.devstack.supervisor import HOME_MARK, Supervisor, survivors


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of a supervisor that runs, without processes and without a stack.json."""
    monkeypatch.setenv("SAGA_HOME", str(tmp_path))
    supervisor = Supervisor(tmp_path)
    supervisor.start()
    yield tmp_path
    if supervisor.running():
        supervisor.shutdown()


def down() -> tuple[int, str]:
    result = CliRunner().invoke(saga, ["down"])
    return result.exit_code, result.output


def test_a_stack_without_its_file_is_stopped(home: Path) -> None:
    assert down() == (0, "stopped\n")
    assert not Supervisor(home).running()


def test_a_stack_whose_file_is_of_another_version_is_stopped(home: Path) -> None:
    (home / "stack.json").write_text('{"processes": {"x": {}}, "urls": {"x": "y"}}')
    assert down() == (0, "stopped\n")
    assert not Supervisor(home).running()


def test_a_damaged_file_leaves_open_whether_there_are_containers(home: Path) -> None:
    (home / "stack.json").write_text('{"processes": {"kaf')
    status, output = down()
    assert status == 1
    assert "no process of the stack runs any more, but its containers" in output
    assert f"{home / 'stack.json'} cannot be read" in output
    assert not Supervisor(home).running()


def test_a_process_that_outlived_its_supervisor_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_HOME", str(tmp_path))
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleeper, env={**os.environ, HOME_MARK: str(tmp_path)}) as process:
        try:
            assert survivors(tmp_path) == [process.pid]
            assert down() == (0, "stopped\n")
        finally:
            process.kill()


def test_where_nothing_runs_the_home_is_named_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("SAGA_HOME", str(home))
    status, output = down()
    assert status == 0
    assert output.startswith(f"nothing is running in {home}\n")
    assert f"{home / 'stack.json'} is not there" in output
    assert "set SAGA_HOME" in output
    assert not home.exists()


def test_a_stack_without_its_file_is_not_started_again(home: Path) -> None:
    result = CliRunner().invoke(saga, ["up", "--detach"])
    assert result.exit_code == 1
    assert "Stop them with `saga down` first" in result.output
    assert Supervisor(home).running()
