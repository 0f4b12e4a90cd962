"""docs/tutorial/your-own-saga.md, done as it says, in an empty folder and on real servers."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.source import ROOT, TEMPLATE
from tests.tutorial import PAGE, Command, Shown, own_steps
from tests.typed_command import SAGA, environment

PYTHON = shlex.quote(sys.executable)


def run(line: str, folder: Path, home: Path) -> str:
    """What a line of the page prints; fails with it where the status is not 0."""
    test = f"{PYTHON} -m pytest -p no:cacheprovider"
    words = {"saga": shlex.join(SAGA), "python": PYTHON, "pytest": test}
    first, _, rest = line.partition(" ")
    command = f"{words[first]} {rest}"
    if line.startswith("saga up"):
        command += " --port-base 0"  # other stacks run on this machine
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment(SAGA_HOME=str(home)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def follow(folder: Path) -> list[tuple[str, str]]:
    """Do every step of the page; each command with its output."""
    outputs = []
    here, home = folder, folder / "home"
    for step in own_steps():
        match step:
            case Command(line) if line.startswith("cd "):
                here /= line.removeprefix("cd ")
            case Command(line):
                outputs.append((line, run(line, here, home)))
            case Shown(name, text):
                path = here / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{path.read_text()}\n{text}" if step.added else text)
    return outputs


def test_every_step_of_the_tutorial_works(tmp_path: Path) -> None:
    outputs = follow(tmp_path)

    lines = [line for line, _ in outputs]
    assert "saga down" in lines
    tests = [found for line, found in outputs if line.startswith("pytest")]
    before, after = (int(re.findall(r"(\d+) passed", found)[0]) for found in tests)
    assert before > 60
    assert after > before, "the tests of the third participant run as well"
    first, second = (found for line, found in outputs if line.startswith("saga demo"))
    assert "60 on errand/1" in first
    assert "33 on errand/1, 27 on errand/2" in second
    for check in ("check", "format --check"):
        run(f"python -m ruff {check}", tmp_path / "errand", tmp_path)


def test_the_page_changes_of_the_flow_only_what_it_says() -> None:
    (shown,) = (s for s in own_steps() if isinstance(s, Shown) and "flows/" in s.name)
    flow = tomllib.loads(shown.text)
    of_template = tomllib.loads((ROOT / TEMPLATE / shown.name).read_text())
    assert flow["steps"].pop("insurance")
    assert flow["versions"].pop("2")
    assert flow == {**of_template, "default_version": 2}


def test_the_page_names_its_own_test() -> None:
    assert Path(__file__).name in PAGE.read_text()
