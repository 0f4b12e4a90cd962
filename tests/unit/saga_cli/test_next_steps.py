"""What the demo prints about its progress and its end, and how it says to call `saga`."""

import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from saga_cli.application import from_any_folder
from saga_cli.lab import demo_run
from saga_cli.output import command_name
from saga_lab.workload.outcomes import Progress


def test_the_next_steps_can_be_copied_where_saga_is_not_on_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("SAGA_APP", raising=False)
    monkeypatch.setattr(sys, "argv", [".venv/bin/saga", "demo"])
    output = demo_run._where_next(Path("/tmp/a home"), running=False)
    assert "  SAGA_HOME='/tmp/a home' .venv/bin/saga up --detach" in output
    assert "  SAGA_HOME='/tmp/a home' .venv/bin/saga ls --limit 20\n" in output
    assert "export" not in output


def test_the_next_steps_name_the_application_that_was_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAGA_APP", "/tmp/a trip")
    output = demo_run._where_next(Path("/tmp/home"), running=False)
    assert "  SAGA_APP='/tmp/a trip' SAGA_HOME=/tmp/home " in output
    assert from_any_folder("saga sim") == "SAGA_APP='/tmp/a trip' saga sim"


def test_saga_on_the_path_is_called_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "saga").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_name() == "saga"


def test_a_line_of_progress_counts_ended_orders_by_their_end() -> None:
    console = Console(file=StringIO(), width=100)
    progress = Progress(4, ended=4, ends={"refused": 1, "completed": 3})
    with demo_run._progress_reporter(console, 4) as report_progress:
        report_progress(progress)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == "4 of 4 ended: 3 completed, 1 refused\n"
