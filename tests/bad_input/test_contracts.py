"""Bad contracts: one line that names file, place, reason and remedy, and exit status 2."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from sagakit.contract import load_contract
from sagakit.contract.generate import main as generate
from sagakit.errors import ContractError, FlowError
from tests.bad_input.case import Case
from tests.bad_input.contracts import CONTRACTS, Packages
from tests.bad_input.files import env
from tests.contract_packages import TOUR, TRIP, importable, write

ROOT = Path(__file__).parents[2]
SAGA = str(Path(sys.executable).with_name("saga"))
BY_NAME = {case.name: case for case in CONTRACTS}


def made(root: Path, packages: Packages) -> list[str]:
    """Write the packages, with classes where they can be generated; what SAGA_CONTRACT names."""
    for package, files in packages.files.items():
        write(root, package, files)
        with suppress(ContractError):
            generate([package])
    return packages.named.split(",")


def test_the_good_ones_are_good(tmp_path: Path) -> None:
    with importable(tmp_path):
        both = Packages({"trips": TRIP, "tours": TOUR}, "trips,tours")
        contract = load_contract(*made(tmp_path, both))
    assert [flow.name for flow in contract.flows] == ["trip", "tour"]


@pytest.mark.parametrize("case", CONTRACTS, ids=str)
def test_a_bad_contract_says_where_and_what_to_do(case: Case, tmp_path: Path) -> None:
    with importable(tmp_path):
        names = made(tmp_path, case.given)
        with pytest.raises((ContractError, FlowError)) as refused:
            assert load_contract(*names).flows
    text = str(refused.value)
    for word in case.words:
        assert word in text
    assert "\n" not in text
    assert len(text) < 500


def run(root: Path, packages: Packages, *command: str) -> "subprocess.CompletedProcess[str]":
    """`python -m ...` beside the packages, with SAGA_CONTRACT."""
    with importable(root):
        made(root, packages)
    around = {k: v for k, v in os.environ.items() if not k.startswith("SAGA_")}
    given = env(CONTRACT=packages.named)
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**around, **given, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("name", ["start event of two flows", "package that cannot be imported"])
@pytest.mark.parametrize("module", ["saga_monitor", "services.fraud"])
def test_a_process_ends_with_status_2_and_one_line(module: str, name: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    done = run(tmp_path, case.given, "sagakit", module)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    for word in case.words:
        assert word in lines[0]


def test_a_module_that_loads_a_bad_contract_itself_ends_so_too(tmp_path: Path) -> None:
    files = {**TRIP, "flows/visit.toml": TRIP["flows/flow.toml"]}
    service = "from sagakit.contract import load_contract\nload_contract('trips')\n"
    packages = {"trips": {**files, "front/__init__.py": "", "front/service.py": service}}
    done = run(tmp_path, Packages(packages, "trips"), "sagakit", "trips.front")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("sagakit: trips/flows/visit.toml: flow trip, name: ")
    assert done.stderr.count("\n") == 1


def test_a_command_on_a_bad_contract_ends_so_too(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    flow = (ROOT / "schemas/flows/order.toml").read_text()
    (tmp_path / "schemas/flows/visit.toml").write_text(flow.replace('"order"', '"visit"', 1))
    done = subprocess.run(
        [SAGA, "sim", "--seeds", "1"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(
        "Error: schemas/flows/visit.toml: flow visit, start: OrderPlaced starts the flow order of "
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("tool", ["generate", "compat", "docs", "asyncapi"])
def test_a_tool_ends_with_status_2_and_one_line(tool: str, tmp_path: Path) -> None:
    case = BY_NAME["event without a saga id"]
    done = run(tmp_path, case.given, f"sagakit.contract.{tool}", "trips")
    assert done.returncode == 2, done.stderr
    for word in case.words:
        assert word in done.stderr
    assert done.stderr.count("\n") == 1
