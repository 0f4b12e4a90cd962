"""The wheel built from the tree: the packages it holds, and an installation of it alone."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

HELD = {"sagakit", "saga_monitor", "saga_cli", "saga_lab"}
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
PUBLIC = "import sagakit; print(*(getattr(sagakit, name) for name in sagakit.__all__))"


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; fails with its error output."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    name = run(sys.executable, "-c", BUILD, folder, cwd=ROOT).split()[-1]
    return folder / name


@pytest.fixture(scope="module")
def bin_(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that has the wheel and what it requires, nothing else."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    uv = Path(sys.executable).parent / "uv"
    run(uv, "venv", "-q", "--python", sys.executable, venv, cwd=wheel.parent)
    run(uv, "pip", "install", "-q", "--python", venv / "bin/python", wheel, cwd=wheel.parent)
    return venv / "bin"


def test_it_holds_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    (metadata,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops - {metadata} == HELD
    assert {f"{metadata}/licenses/LICENSE", "sagakit/py.typed"} <= set(names)


def test_it_holds_the_migrations(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    revisions = {str(path.relative_to(ROOT)) for path in ROOT.glob("saga*/**/[0-9]*_*.py")}
    assert {"sagakit/store/migrations/0001_first.py"} <= revisions <= names


def test_the_command_says_how_it_is_used(bin_: Path, tmp_path: Path) -> None:
    assert "Usage: saga" in run(bin_ / "saga", "--help", cwd=tmp_path)


def test_the_public_names_can_be_imported(bin_: Path, tmp_path: Path) -> None:
    assert "Participant" in run(bin_ / "python", "-c", PUBLIC, cwd=tmp_path)
