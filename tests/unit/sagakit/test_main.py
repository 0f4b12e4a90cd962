"""What `python -m sagakit` says to a module it cannot run, and what a process does not load."""

import subprocess
import sys
from pathlib import Path

import pytest

from sagakit.errors import ConfigurationError
from sagakit.service.main import main, program_of
from sagakit.service.program import Program
from schemas import CONTRACT
from services.payment.service import PROGRAM


@pytest.mark.parametrize("module", [*(f"services.{name}" for name in CONTRACT.participants)])
def test_every_participant_declares_its_program(module: str) -> None:
    program = program_of(module)
    assert program.name == module.rpartition(".")[2]
    assert program.migrations
    assert list(program.migrations.glob("0*.py"))


def test_the_monitor_is_a_program_likewise() -> None:
    assert program_of("saga_monitor").name == "monitor"


def written(folder: Path, text: str) -> str:
    """A package `wrong` whose service module has this text."""
    package = folder / "wrong"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "service.py").write_text(text)
    return "wrong"


BROKEN = r"wrong: wrong\.service cannot be imported"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1", r"wrong: wrong\.service declares no PROGRAM; assign"),
        ("PROGRAM = 3", r"wrong: wrong\.service declares no PROGRAM; assign"),
        ("import not_there", "wrong: it imports not_there, and there is no such module; correct"),
        ("import wrong.servce", r"wrong: it imports wrong\.servce, and there is no such module"),
        ("from os import nope", f"{BROKEN}: ImportError: cannot import name"),
        ("import os; os.nope", f"{BROKEN}: AttributeError: module 'os' has no attribute"),
        ("int('eight')", f"{BROKEN}: ValueError: invalid literal"),
        ("def x(:", f"{BROKEN}: SyntaxError: "),
        ("raise SystemExit(0)", f"{BROKEN}: SystemExit: 0; correct the place"),
        ("raise KeyboardInterrupt", f"{BROKEN}: KeyboardInterrupt: ; correct the place"),
        ("def __getattr__(name): raise RuntimeError", "declares no PROGRAM; assign"),
    ],
)
def test_a_module_without_a_program_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError, match=expected):
        program_of(written(tmp_path, text))
    for name in ("wrong", "wrong.service"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "module", ["nope", "services", "services.nope", "services/payment", "a..b", ".x", ""]
)
def test_a_module_that_is_not_there_is_reported(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([module])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"sagakit: {module}: ")


def test_the_last_line_names_what_a_module_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main([written(tmp_path, "{}['region']")])
    assert ended.value.code == 2
    trace, last = capsys.readouterr().err.rstrip().rsplit("\n", 1)
    assert "service.py" in trace
    assert last.startswith("sagakit: wrong: wrong.service cannot be imported: KeyError: 'region'; ")
    for name in ("wrong", "wrong.service"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["a", "b"], 2), (["--help"], 0)])
def test_how_to_call_it_is_reported(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == status
    output = capsys.readouterr()
    assert "usage: python -m sagakit MODULE" in (output.err if status else output.out)


def test_a_process_does_not_load_what_it_does_not_use() -> None:
    assert isinstance(PROGRAM, Program)
    loaded = (
        "import runpy, sys; sys.argv[1:] = ['--help']\n"
        "try: runpy.run_module('sagakit', run_name='__main__', alter_sys=True)\n"
        "except SystemExit: pass\n"
        "import services.payment.service, sagakit.service.process\n"
        "heavy = {'alembic', 'mako', 'rich', 'opentelemetry.sdk', 'faust', 'websockets'}\n"
        "print(sorted(n for n in heavy if sys.modules.get(n)))"
    )
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True)
    assert found.stdout.endswith("[]\n"), found.stdout + found.stderr
