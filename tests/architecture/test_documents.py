"""What the documents name exists: commands with their options, paths, links, targets, variables,
metrics; and what is made from the flow is up to date."""

import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic_settings import BaseSettings

from saga_cli.main import saga
from saga_lab.application import load_application
from saga_lab.devstack.topics import shared_topics
from saga_lab.drills.report import HELP as DRILLS
from saga_monitor.metrics import HELP as MONITORS
from saga_monitor.reconciliation.run import HELP as FINDINGS
from saga_monitor.service import MonitorSettings
from sagakit.contract import docs
from sagakit.contract.files import files_of
from sagakit.contract.texts import read_texts
from sagakit.kafka.topic_guard import HELP as TOPIC_FAULTS
from sagakit.messages.registry_guard import HELP as REGISTRY_FAULTS
from sagakit.service.settings import ServiceSettings
from sagakit.telemetry.metrics import HELP, PROCESS_HELP, SNAPSHOT, exposition
from schemas import CONTRACT, OWNERS
from services.notification.service import NotificationSettings
from services.order.service import OrderSettings
from services.payment.service import PaymentSettings
from services.shipping.service import ShippingSettings
from shop.outside.provider_machine import TOKENS
from tests import tutorial
from tests.application import ORDER
from tests.architecture.source import PACKAGES, ROOT, TEMPLATE
from tests.contract_packages import importable

DOCS = ROOT / "docs"
FILES = files_of("schemas")
MADE = docs.documents(FILES)
FLOW_PAGE = docs.FlowPage(CONTRACT, read_texts(FILES), FILES)
PAPERS = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
IMAGES = "images"
KINDS = ("tutorial", "how-to", "reference", "explanation", "decisions", "runbooks", "reports")
SETTINGS: tuple[type[BaseSettings], ...] = (
    ServiceSettings,
    OrderSettings,
    PaymentSettings,
    ShippingSettings,
    NotificationSettings,
    MonitorSettings,
)
OF_THE_STACK = {"SAGA_APP", "SAGA_HOME", "SAGA_CACHE"}


def papers() -> list[pytest.ParameterSet]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in PAPERS]


def code(text: str) -> Iterator[str]:
    """Lines of code blocks (fenced or indented), and what stands between backticks."""
    fenced = re.compile(r"^ *```.*?^ *```$", re.S | re.M)
    for block in fenced.findall(text):
        yield from block.splitlines()[1:-1]
    text = fenced.sub("", text)
    yield from re.findall(r"^ {4,}(.*)$", text, re.M)
    yield from re.findall(r"`([^`\n]+)`", text)


# --- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", papers())
def test_every_saga_command_is_understood(paper: Path) -> None:
    for line in code(paper.read_text()):
        words = shlex.split(line, comments=True) if line.startswith("saga ") else []
        if len(words) > 1:
            understand(words[1:])


def understand(words: list[str]) -> None:
    """Have the command line parsed, not run. Fails the test where it is not understood.

    A command alone is only spoken of: it has to exist.
    """
    words = words[2:] if words[0] == "--app" else words
    if words in ([], ["--help"]):
        return
    name, *rest = words
    command = saga.get_command(click.Context(saga), name) or template_command(name)
    if command is None:
        pytest.fail(f"there is no command saga {name}")
    try:
        command.make_context(name, rest, resilient_parsing=not rest)
    except click.UsageError as error:
        pytest.fail(f"saga {' '.join(words)}: {error.format_message()}")


def template_command(name: str) -> click.Command | None:
    """A command of the application that `saga new` writes, of which the tutorial speaks."""
    spec = load_application(ROOT / TEMPLATE).commands.get(name)
    if spec is None:
        return None
    with importable(ROOT / TEMPLATE):
        module, _, attribute = spec.call.partition(":")
        command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


@pytest.mark.parametrize("words", [["nonsense"], ["up", "--no-such-option"], ["cancel", "my-1"]])
def test_a_command_that_does_not_exist_is_found_out(words: list[str]) -> None:
    with pytest.raises(pytest.fail.Exception):
        understand(words)


@pytest.mark.parametrize("paper", papers())
def test_every_make_target_and_module_exists(paper: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in code(paper.read_text()):
        if target := re.match(r"make (\w+)", line):
            assert re.search(rf"^{target[1]}:", makefile, re.M), f"{paper.name}: {line}"
        module = re.match(r"python -m ([\w.]+)", line)
        if module and module[1].split(".")[0] in PACKAGES:
            assert importlib.util.find_spec(module[1]), f"{paper.name}: {line}"


# --- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", papers())
def test_every_link_leads_somewhere(paper: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", paper.read_text()):
        path, _, anchor = target.partition("#")
        if path.startswith("https://"):
            continue
        found = (paper.parent / path) if path else paper
        assert found.exists(), f"{paper.name}: {target}"
        if anchor:
            assert anchor in anchors(found.read_text()), f"{paper.name}: {target}"


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("paper", papers())
def test_every_file_named_in_the_text_exists(paper: Path) -> None:
    made_by_the_reader = tutorial.files() if paper == tutorial.PAGE else set[str]()
    for words in code(paper.read_text()):
        for path in re.findall(r"(?<![\w/.])(?:[\w.]+/)+[\w.]*\w", words):
            if path in made_by_the_reader:
                continue
            if path.split("/")[0] in (*PACKAGES, "tests", "docs", "examples"):
                assert (ROOT / path).exists(), f"{paper.name} names {path}"


# --- the environment, the world, the metrics ----------------------------------------------------


def test_every_variable_is_in_its_page_and_the_other_way_round() -> None:
    fields = {name for settings in SETTINGS for name in settings.model_fields}
    real = {f"SAGA_{name.upper()}" for name in fields} | OF_THE_STACK
    tables = re.findall(
        r"^\| (`SAGA_.*?) \|", (DOCS / "reference" / "environment.md").read_text(), re.M
    )
    assert {name for cell in tables for name in re.findall(r"SAGA_\w+", cell)} == real


@pytest.mark.parametrize("paper", papers())
def test_every_card_token_named_is_real(paper: Path) -> None:
    assert set(tokens(paper.read_text())) <= TOKENS.keys()


def tokens(text: str) -> list[str]:
    return re.findall(r"\btok_[a-z0-9_]*[a-z]", text)


def test_every_address_tag_on_the_page_of_test_inputs_is_real() -> None:
    text = (DOCS / "reference" / "test-inputs.md").read_text()
    assert tokens(text)
    tags = set(re.findall(r"`\[([a-z0-9-]+)(?::\d+)?\]`", text))
    carrier = (ROOT / "shop/outside/carrier.py").read_text()
    assert tags
    assert all(re.search(rf"`\[{tag}[:\]]", carrier) for tag in tags)


@pytest.mark.parametrize("paper", papers())
def test_every_metric_named_is_exposed(paper: Path) -> None:
    exposed = exposition().decode() + " ".join(
        [
            *(f"saga_{name}" for name in HELP),
            *(
                *PROCESS_HELP,
                SNAPSHOT,
                *MONITORS,
                *FINDINGS,
                *TOPIC_FAULTS,
                *REGISTRY_FAULTS,
                *DRILLS,
            ),
        ]
    )
    for words in code(paper.read_text()):
        for metric in re.findall(r"\bsaga_[a-z_]+[a-z](?=\{| [<>])", words):
            assert re.search(rf"\b{metric}\b", exposed), f"{paper.name} names {metric}"


# --- made documents, canvases, indexes -----------------------------------------------------------


@pytest.mark.parametrize("path", MADE, ids=str)
def test_what_is_made_from_the_flow_is_up_to_date(path: Path) -> None:
    remedy = f"{path} is stale: run python -m sagakit.contract.docs schemas"
    assert (ROOT / path).read_text() == MADE[path], remedy


@pytest.mark.parametrize("package", ["schemas", "sagakit.contract"])
def test_the_events_are_made_from_their_schemas(package: str) -> None:
    command = [sys.executable, "-m", "sagakit.contract.generate", package, "--check"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("participant", CONTRACT.participants)
def test_a_canvas_names_what_its_service_emits_and_nothing_else(participant: str) -> None:
    emits = re.search(r"^Emits(.*?)^Undoes", docs.canvas(ROOT, participant), re.S | re.M)
    assert emits
    named = {word for word in re.findall(r"\b[A-Z]\w+\b", emits[1]) if word in OWNERS}
    assert named == set(CONTRACT.events_of(participant))


def test_the_stack_makes_every_topic_of_the_page() -> None:
    page = (ROOT / docs.FLOW_PAGE).read_text()
    listed = set(re.findall(r"^\| `([\w.]+)` \|", page, re.M))
    assert listed
    assert listed <= {topic.name for topic in shared_topics(ORDER)}


@pytest.mark.parametrize(
    "command", [("saga_monitor.saga.event_matrix_page", "schemas"), ("tests.bad_input.document",)]
)
def test_the_other_made_pages_are_up_to_date(command: tuple[str, ...]) -> None:
    checked = [sys.executable, "-m", *command, "--check"]
    assert subprocess.run(checked, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("folder", ["decisions", "runbooks"])
def test_every_page_is_in_its_index(folder: str) -> None:
    index = (DOCS / folder / "README.md").read_text()
    pages = {path.name for path in (DOCS / folder).glob("*.md")} - {"README.md"}
    assert pages == set(re.findall(r"\]\(([^)/]+\.md)\)", index))


def test_every_page_is_reached_from_the_index() -> None:
    """Pages of `decisions` and `runbooks` have indexes of their own, see above."""
    listed = set(re.findall(r"\]\(([^)#]+)\)", (DOCS / "README.md").read_text()))
    indexed = ("decisions", "runbooks")
    pages = {
        str(path.relative_to(DOCS))
        for path in DOCS.rglob("*.*")
        if path.parent.name not in (*indexed, IMAGES) or path.name == "README.md"
    } - {"README.md"}
    assert pages <= listed


def test_every_image_is_on_a_page() -> None:
    pages = "".join(path.read_text() for path in PAPERS)
    assert [path.name for path in (DOCS / IMAGES).iterdir() if path.name not in pages] == []


def test_every_page_is_of_a_kind() -> None:
    assert {path.name for path in DOCS.iterdir()} == {*KINDS, IMAGES, "README.md"}


# --- the README ----------------------------------------------------------------------------------


def test_the_readme_is_read_once() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180


def test_the_diagram_of_the_readme_shows_who_reads_which_topic() -> None:
    diagram = re.search(r"```mermaid\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert diagram
    topics = dict(re.findall(r'(\w+)\[\("([\w.]+)"\)\]', diagram[1]))
    arrow = r" (?:-->|-\.->)(?:\|\w+\|)? "
    drawn = re.findall(rf"(\w+)(?:\[\(\S+\)\])?{arrow}(\w+)", diagram[1])
    read = {(topics[source], reader) for source, reader in drawn if source in topics}
    assert len(read) > len(topics)
    readers = {(topic, by) for topic, those in FLOW_PAGE.readers().items() for by in those}
    assert {(topic, by) for topic, by in read if by != "monitor"} <= readers


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    """`pyproject.toml` is the one place that has it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest, *_ = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest == version
