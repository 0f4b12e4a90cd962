"""docs/how-to/add-a-participant.md, done as it says, in a copy of the project."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from saga_lab.devstack.ports import free_ports
from sagakit.contract import docs
from tests.kafka import create_topic
from tests.stack import PATIENCE_S, TestInfra, fresh_database, until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "giftwrap"
PAGE = ROOT / "docs" / "how-to" / "add-a-participant.md"
COPIED = (
    *(
        "sagakit",
        "schemas",
        "services",
        "saga_monitor",
        "saga_lab",
        "saga_cli",
        "shop",
        "tests",
        "examples",
        "docs",
    ),
    *("README.md", "CHANGELOG.md", "saga.toml", "Makefile", "pyproject.toml"),
)
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
NO_CACHES = shutil.ignore_patterns("__pycache__")


def run(tree: Path, *words: str) -> str:
    """`python ...` in the copy; its output. Fails the test with it where the status is not 0."""
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def flow_commands() -> list[str]:
    """The page's two commands that put the version and the step into the flow file."""
    return re.findall(r"^ {7}((?:grep|sed) .*)$", PAGE.read_text(), re.M)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with giftwrap put in, by the steps of the page."""
    tree = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=NO_CACHES)
        else:
            shutil.copyfile(source, tree / name)

    for schema in (EXAMPLE / "schemas").glob("*.avsc"):
        shutil.copy(schema, tree / "schemas")
    run(tree, "-m", "sagakit.contract.generate", "schemas")
    for command in flow_commands():
        subprocess.run(command, shell=True, cwd=tree, check=True)
    shutil.copytree(
        EXAMPLE / "services" / "giftwrap", tree / "services" / "giftwrap", ignore=NO_CACHES
    )
    with (tree / "saga.toml").open("a") as manifest:
        manifest.write('\n[participants.giftwrap]\nmodule = "services.giftwrap"\n')
    shutil.copy(EXAMPLE / "test_giftwrap.py", tree / "tests" / "unit" / "services")
    return tree


def test_the_page_shows_the_addition_to_the_flow_as_it_is() -> None:
    block = re.search(r"^ *```toml\n(.*?)```", PAGE.read_text(), re.S | re.M)
    assert block
    assert tomllib.loads(block[1]) == tomllib.loads((EXAMPLE / "flow.toml").read_text())


def test_the_commands_of_the_page_add_the_flow_version_and_the_step(tree: Path) -> None:
    flow = tomllib.loads((tree / "schemas" / "flows" / "order.toml").read_text())
    addition = tomllib.loads((EXAMPLE / "flow.toml").read_text())
    assert len(flow_commands()) == 2
    assert flow["versions"].items() >= addition["versions"].items()
    assert flow["steps"]["giftwrap"] == addition["steps"]["giftwrap"]


def test_the_fake_wrapper_answers_a_repeated_call_alike_and_wraps_nothing_that_was_unwrapped() -> (
    None
):
    (port,) = free_ports(["giftwrap-8"], {}).values()
    command = [sys.executable, str(EXAMPLE / "fake_wrapper.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert str(port) in process.stdout.readline()

            def answer(path: str) -> str:
                url = f"http://127.0.0.1:{port}/{path}"
                found = httpx2.post(url, json={"reference": "order/o1"}, timeout=PATIENCE_S)
                return str(found.raise_for_status().json()["status"])

            calls = ("wraps", "wraps", "unwraps", "wraps")
            assert [answer(path) for path in calls] == [
                "wrapped",
                "wrapped",
                "no_paper",
                "no_paper",
            ]
        finally:
            process.kill()


def test_its_own_tests_are_green(tree: Path) -> None:
    output = run(tree, *PYTEST, "tests/unit/services/test_giftwrap.py")
    assert re.search(r"\d{2,} passed", output)


def test_it_is_built_like_the_other_participants(tree: Path) -> None:
    checks = [
        f"tests/architecture/test_{what}.py" for what in ("matrix", "shape", "purity", "words")
    ]
    output = run(tree, *PYTEST, *checks, "-k", "giftwrap")
    assert re.search(r"\d{2,} passed", output)


def test_old_topics_stay_readable(tree: Path) -> None:
    run(tree, "-m", "sagakit.contract.compat", "schemas")


def test_the_manifest_has_it(tree: Path) -> None:
    command = "from tests.application import ORDER; print(*ORDER.participants)"
    assert "giftwrap" in run(tree, "-c", command).split()


def test_it_passes_the_type_checker(tree: Path) -> None:
    run(tree, "-m", "mypy", "services/giftwrap", "tests/unit/services/test_giftwrap.py")


def test_documents_are_drawn_again(tree: Path) -> None:
    run(tree, "-m", "sagakit.contract.docs", "schemas")
    assert '-->|"GiftWrapped"| shipping' in (tree / docs.GRAPHS).read_text()
    page = (tree / docs.FLOW_PAGE).read_text()
    assert "### giftwrap" in page
    assert "`giftwrap.events`" in page
    run(tree, "-m", "sagakit.contract.docs", "schemas", "--check")


def test_it_runs_and_makes_its_tables(tree: Path, infra: TestInfra) -> None:
    create_topic(infra.bootstrap_servers, "giftwrap.dlt", 1)  # other tests' garbage is parked
    (port,) = free_ports(["giftwrap-9"], {}).values()
    env: Mapping[str, str] = {
        **os.environ,
        "SAGA_BOOTSTRAP_SERVERS": infra.bootstrap_servers,
        "SAGA_DATABASE_URL": fresh_database(infra),
        "SAGA_CONTRACT": "schemas",
        "SAGA_HTTP_HOST": "127.0.0.1",
        "SAGA_HTTP_PORT": str(port),
        "SAGA_WRAPPER_URL": "http://127.0.0.1:9",
    }
    log = tree / "giftwrap.log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "sagakit", "services.giftwrap"]
        process = subprocess.Popen(command, cwd=tree, env=env, stdout=out, stderr=out)
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return (
                    httpx2.get(
                        f"http://127.0.0.1:{port}/health/ready", timeout=PATIENCE_S
                    ).status_code
                    == 200
                )
            except httpx2.TransportError:
                return False

        until(ready, f"giftwrap is ready; its log: {log}")
        effects = httpx2.get(f"http://127.0.0.1:{port}/admin/effects", timeout=PATIENCE_S)
        assert effects.json() == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    stopped = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert stopped[-1]["event"] == "stopped"
