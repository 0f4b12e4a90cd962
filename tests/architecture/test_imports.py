"""Who may import whom: import-linter's contracts in pyproject.toml."""

import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

from tests.architecture.source import PACKAGES, ROOT


def test_the_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_looked_at() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert set(config["root_packages"]) == set(PACKAGES)


def test_no_circle_of_imports() -> None:
    """Type-checking imports count too: who reads one file of a circle has to read them all."""
    graph = grimp.build_graph(*PACKAGES)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200, "the packages are not read"
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules
