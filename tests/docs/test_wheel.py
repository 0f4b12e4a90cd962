"""The wheel built from the tree: the packages it holds, and installations of it alone."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from saga_cli.lab.new import template_files
from tests import typed_command
from tests.architecture.source import ROOT, TEMPLATE

HELD = {"sagakit", "saga_monitor", "saga_cli", "saga_lab"}
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
PUBLIC = "import sagakit; print(*(getattr(sagakit, name) for name in sagakit.__all__))"


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, without anything of this tree on its path; fails with its output."""
    done = subprocess.run(
        command, cwd=cwd, env=typed_command.environment(), capture_output=True, text=True
    )
    shown = f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, shown
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    name = run(sys.executable, "-c", BUILD, folder, cwd=ROOT).split()[-1]
    return folder / name


@pytest.fixture(scope="module")
def bin_(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that has the wheel and what it requires, nothing else."""
    return environment(tmp_path_factory.mktemp("empty"), wheel)


def environment(folder: Path, *packages: str | Path) -> Path:
    """The programs of a new environment with these packages."""
    venv, uv = folder / "venv", Path(sys.executable).parent / "uv"
    run(uv, "venv", "-q", "--python", sys.executable, venv, cwd=folder)
    run(uv, "pip", "install", "-q", "--python", venv / "bin/python", *packages, cwd=folder)
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


def test_it_holds_the_template_of_new_applications(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    template = {str(path.relative_to(ROOT)) for path in template_files()}
    assert {f"{TEMPLATE}/saga.toml", f"{TEMPLATE}/.gitignore"} <= template <= names


def test_the_command_says_how_it_is_used(bin_: Path, tmp_path: Path) -> None:
    assert "Usage: saga" in run(bin_ / "saga", "--help", cwd=tmp_path)


def test_the_public_names_can_be_imported(bin_: Path, tmp_path: Path) -> None:
    assert "Participant" in run(bin_ / "python", "-c", PUBLIC, cwd=tmp_path)


def test_a_new_application_runs_from_nothing_but_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """`shop` is a name that cannot be used in this tree, where it is a package."""
    bin_ = environment(tmp_path, f"saga-choreography[lab] @ {wheel.as_uri()}", "pytest")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "cd shop" in run(bin_ / "saga", "new", "shop", cwd=empty)
    shop = empty / "shop"

    assert re.search(r"\d{2,} passed", run(bin_ / "pytest", "-q", cwd=shop))

    run(bin_ / "saga", "up", "--detach", "--port-base", "0", cwd=shop)
    try:
        assert "completed" in run(bin_ / "saga", "request", cwd=shop)
        assert "cancelled" in run(bin_ / "saga", "request", "--note", "[refuse]", cwd=shop)
        assert "ShopRefused" in run(bin_ / "saga", "show", *saga_ids(bin_, shop)[:1], cwd=shop)
    finally:
        run(bin_ / "saga", "down", cwd=shop)

    printed = run(bin_ / "saga", "demo", "--sagas", "48", cwd=shop)
    kinds = ("plain", "too_long", "refused", "repeated", "lost_answer", "cancelled")
    assert all(re.search(rf"│ {kind} +│", printed) for kind in kinds)
    assert {*re.findall(r"│ (\d) │.*│ holds │", printed)} >= {*"15678"}


def saga_ids(bin_: Path, folder: Path) -> list[str]:
    """The sagas that `saga ls` lists, the newest first."""
    return re.findall(r"^(\S*my-\w+) ", run(bin_ / "saga", "ls", cwd=folder), re.M)
