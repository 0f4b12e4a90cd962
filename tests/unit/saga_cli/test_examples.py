"""`saga examples`: the applications in the folder `examples` of a clone."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from saga_cli.lab import demo_run
from saga_cli.main import saga


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two examples and what is none; a folder within it is the working directory."""
    for name in ("trip", "lending"):
        folder = tmp_path / "examples" / name
        folder.mkdir(parents=True)
        (folder / "saga.toml").touch()
    (tmp_path / "examples" / "trip" / "README.md").write_text("# A trip: four bookings\n\nMore.")
    (tmp_path / "examples" / "notes").mkdir()
    within = tmp_path / "docs" / "tutorial"
    within.mkdir(parents=True)
    monkeypatch.chdir(within)
    monkeypatch.setenv("SAGA_APP", "")  # set back at the end, whatever the command sets
    return tmp_path


def test_the_examples_are_listed_with_the_first_line_of_their_readme(clone: Path) -> None:
    listed = CliRunner().invoke(saga, ["examples"])
    assert listed.exit_code == 0
    assert listed.stdout.splitlines() == ["lending", "trip     A trip: four bookings"]


def test_without_examples_it_says_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in ([], ["run", "trip"]):
        listed = CliRunner().invoke(saga, ["examples", *words])
        assert listed.exit_code == 1
        assert "in the project's repository" in listed.output


def test_an_example_runs_as_its_demo(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, Mapping[str, Any]]] = []
    monkeypatch.setattr(
        demo_run, "run", lambda **options: ran.append((os.environ["SAGA_APP"], options))
    )
    done = CliRunner().invoke(saga, ["examples", "run", "trip", "--sagas", "20"])
    assert done.exit_code == 0, done.output
    defaults = {"seed": 0, "open_transactions": False, "keep_up": False}
    assert ran == [(str(clone / "examples" / "trip"), {**defaults, "count": 20})]


def test_another_name_is_refused_with_those_there_are(clone: Path) -> None:
    refused = CliRunner().invoke(saga, ["examples", "run", "notes"])
    assert refused.exit_code == 2
    assert "choose from lending, trip" in refused.output
