"""`saga new`: what it writes, and what it refuses."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from saga_cli.lab import new
from saga_cli.main import saga
from sagakit.contract.files import files_of
from sagakit.contract.generate import generate
from tests.architecture.source import ROOT
from tests.contract_packages import importable
from tests.typed_command import environment

LONGEST = "a_name_of_20_letters"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def saga_new(name: str) -> Result:
    return CliRunner().invoke(saga, ["new", name])


def files(folder: Path) -> dict[str, str]:
    """Path -> text."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


# --- what it writes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["errand", "ticket", "x", "home_repair", LONGEST])
def test_the_generated_events_are_those_of_the_schemas(empty: Path, name: str) -> None:
    assert saga_new(name).exit_code == 0
    with importable(empty / name):
        contract = files_of(f"{name}_events")
        assert contract.target.read_text() == generate(contract)


def test_only_the_name_differs_from_the_template(empty: Path) -> None:
    saga_new("home_repair")
    written = files(empty / "home_repair")
    template = {
        str(path.relative_to(new.TEMPLATE)): path.read_text() for path in new.template_files()
    }
    assert written == {
        new.renamed(path, "home_repair"): new.renamed(text, "home_repair")
        for path, text in template.items()
    }
    assert "home_repair_events/HomeRepairRequested.avsc" in written
    assert not [text for text in written.values() if re.search("errand", text, re.IGNORECASE)]
    assert not [path for path in written if "__pycache__" in path]


@pytest.mark.parametrize("name", ["errand", "ticket"])
def test_its_tests_are_green_and_its_code_is_linted(empty: Path, name: str) -> None:
    saga_new(name)
    for words in (["pytest", "-q"], ["ruff", "check"], ["ruff", "format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=empty / name,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def next_steps() -> list[str]:
    printed = saga_new("ticket").output
    return re.findall(r"^  (\S.*?)(?:  .*)?$", printed, re.M)


def test_the_next_steps_are_printed(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "saga").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next_steps() == ["cd ticket", "saga up --detach", "saga demo", "pytest"]


def test_the_next_steps_can_be_copied_where_saga_is_not_on_the_path(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", [".venv/bin/saga", "new", "ticket"])
    saga_, after_cd = f"{empty}/.venv/bin/saga", next_steps()[1:3]
    assert after_cd == [f"{saga_} up --detach", f"{saga_} demo"]


def test_an_empty_folder_of_this_name_is_filled(empty: Path) -> None:
    (empty / "ticket").mkdir()
    assert saga_new("ticket").exit_code == 0
    assert (empty / "ticket" / "saga.toml").is_file()


# --- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Ticket", "no name of an application"),
        ("my-ticket", "no name of an application"),
        ("2nd", "no name of an application"),
        ("../ticket", "no name of an application"),
        ("", "no name of an application"),
        ("émile", "no name of an application"),
        (f"{LONGEST}x", "no name of an application"),
        ("lambda", "a keyword of Python"),
        ("match", "a keyword of Python"),
        ("json", "a module json can be imported"),
        ("sys", "a module sys can be imported"),
        ("sagakit", "a module sagakit can be imported"),
        ("shop", "a module shop can be imported"),
        ("courier", "the name of one of its parts"),
        ("partner", "the name of one of its parts"),
        ("monitor", "the name of one of its parts"),
        ("saga", "the name of one of its parts"),
    ],
)
def test_a_name_that_cannot_be_used(empty: Path, name: str, reason: str) -> None:
    refused = saga_new(name)
    assert refused.exit_code == 2
    assert reason in " ".join(refused.output.split())
    assert list(empty.iterdir()) == []


def test_a_contract_that_another_module_has_the_name_of(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ticket_events.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    refused = saga_new("ticket")
    assert refused.exit_code == 2
    assert "a module ticket_events can be imported" in refused.output


def test_a_folder_that_is_not_empty_is_left_as_it_is(empty: Path) -> None:
    (empty / "ticket").mkdir()
    (empty / "ticket" / "mine.txt").write_text("mine")
    refused = saga_new("ticket")
    assert refused.exit_code == 2
    assert "is not empty" in refused.output
    assert files(empty) == {"ticket/mine.txt": "mine"}


def test_a_file_of_this_name_is_left_as_it_is(empty: Path) -> None:
    (empty / "ticket").write_text("mine")
    refused = saga_new("ticket")
    assert refused.exit_code == 2
    assert "is no folder" in refused.output
    assert files(empty) == {"ticket": "mine"}


def test_nothing_is_left_where_the_disk_is_full(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = Path.write_text

    def full(path: Path, *arguments: str) -> int:
        if path.name == "saga.toml":
            raise OSError(28, "No space left on device")
        return write_text(path, *arguments)

    monkeypatch.setattr(Path, "write_text", full)
    failed = saga_new("ticket")
    assert failed.exit_code == 1
    assert "No space left on device" in failed.output
    assert list(empty.iterdir()) == []


def test_the_template_is_in_the_repository_and_nothing_else_is_copied() -> None:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", new.TEMPLATE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    kept = {ROOT / line for line in done.stdout.splitlines()}
    assert {*new.template_files()} == kept
