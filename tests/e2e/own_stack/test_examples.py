"""An example application's own tests, and its demo, run by the commands of its README."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.typed_command import LIMIT_S, environment

EXAMPLES = tuple(file.parent for file in sorted((ROOT / "examples").glob("*/saga.toml")))


def command_of(example: Path, pattern: str) -> list[str]:
    """The first command of the example's README that matches the pattern, in words."""
    found = re.search(rf"^    ({pattern}.*)$", (example / "README.md").read_text(), re.M)
    assert found, f"{example.name}/README.md shows no command {pattern!r}"
    return shlex.split(found[1], comments=True)


def run(words: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """A command in the root of the clone, as the README says, with the commands of this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        words,
        cwd=ROOT,
        env=environment(PATH=path, SAGA_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_there_are_examples() -> None:
    assert [example.name for example in EXAMPLES] == ["trip"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_its_own_tests_are_green(example: Path, tmp_path: Path) -> None:
    done = run(command_of(example, "pytest"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d{2,} passed", done.stdout)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_its_demo_ends_every_saga_as_its_kind_says_and_every_invariant_holds(
    example: Path, tmp_path: Path
) -> None:
    done = run(command_of(example, r"saga .* demo"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    held = re.findall(r"│ (\d) │.*│ holds │", done.stdout)
    assert {*held} == {*"125678"}, "each that every saga has"
