"""Files and functions one holds in the head at once; the rooms of a participant; docstrings."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import CONTRACT
from tests.architecture.source import ROOT, TEMPLATE, Function, Source, functions, length, sources

MAX_FILE_LINES = 500
"""A file is split by reason to change; past this it has more than one."""
MAX_FUNCTION_LINES = 60
ROOMS = {"__init__.py", "decide.py", "store.py", "service.py", "migrations"}
GATEWAY = "gateway.py"
OWN_ROOMS = {
    "order": {"api.py", "batch.py", "problem.py", "privacy.py", "vault.py"},
    "payment": {
        "captures.py",
        "disputes.py",
        "ledger.py",
        "own_events.py",
        "refund_reports.py",
        "refunds.py",
        "statement.py",
    },
}
"""The order API has an API for people, for one order and for many, with errors they can read, and
keeps the keys of customers; what payment knows of its money is a file of its own, and each kind of
report about it has one beside the triggers of the flow; so has the provider's ledger."""
VERBS = ("get", "post", "put", "delete")


def every_test_file() -> list[Path]:
    """The tests with their helpers, and those of the examples and the template."""
    return [
        *sorted((ROOT / "tests").rglob("*.py")),
        *sorted((ROOT / "examples").rglob("test_*.py")),
        *sorted((ROOT / TEMPLATE).rglob("test_*.py")),
    ]


def test_no_file_is_too_long() -> None:
    lines = {source.name: len(source.text.splitlines()) for source in sources()}
    long = {name: count for name, count in lines.items() if count > MAX_FILE_LINES}
    assert not long, f"lines of each; split it by idea: {long}"


def test_no_test_file_is_too_long() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in every_test_file()}
    long = {path.name: count for path, count in lines.items() if count > MAX_FILE_LINES}
    assert not long, f"lines of each; split it by what is tested: {long}"


def test_no_function_is_too_long() -> None:
    lines = {f"{s.name}: {f.name}": length(f) for s in sources() for f in functions(s.tree)}
    long = {name: count for name, count in lines.items() if count > MAX_FUNCTION_LINES}
    assert not long, f"lines of each; the limit is {MAX_FUNCTION_LINES}: {long}"


@pytest.mark.parametrize(
    "folder",
    [
        *(ROOT / "services" / name for name in CONTRACT.participants),
        *(ROOT / TEMPLATE / name for name in ("dispatch", "courier")),
    ],
    ids=lambda folder: folder.name,
)
def test_a_participant_has_exactly_the_rooms(folder: Path) -> None:
    found = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
    wanted = ROOMS | OWN_ROOMS.get(folder.name, set())
    if found != wanted:  # who calls nobody has no gateway
        wanted = wanted | {GATEWAY}
    assert found == wanted
    assert (GATEWAY in found) == ("Calls        nobody" not in (folder / "__init__.py").read_text())


def test_every_service_takes_part_in_a_flow() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/service.py")}
    assert folders == set(CONTRACT.participants)


def test_what_is_public_says_what_it_is() -> None:
    silent = [f"{s.name}: {name}" for s in sources() for name, spoken in public(s) if not spoken]
    assert not silent, "\n".join(["without a docstring:", *silent])


def public(source: Source) -> Iterator[tuple[str, bool]]:
    """Public names with whether they are documented.

    Not asked of programs' `main`, migrations' `upgrade` and routes (their module says it), nor of
    methods in the lab and of fakes. A method may be told of in its class's docstring instead.
    """
    if source.text.strip():
        yield "the module", bool(ast.get_docstring(source.tree))
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and node.name[0] != "_":
            yield node.name, bool(ast.get_docstring(node))
            if not source.name.startswith(("saga_lab/", "shop/", f"{TEMPLATE}/fakes/")):
                yield from _methods(node)
        elif isinstance(node, Function) and not _documented_by_its_module(node):
            yield node.name, bool(ast.get_docstring(node))


def _methods(of: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    text = ast.get_docstring(of) or ""
    for node in of.body:
        if isinstance(node, Function) and node.name[0] != "_":
            yield (
                f"{of.name}.{node.name}",
                bool(ast.get_docstring(node) or f"`{node.name}`" in text),
            )


def _documented_by_its_module(node: Function) -> bool:
    routed = any(
        isinstance(d, ast.Call) and isinstance(d.func, ast.Attribute) and d.func.attr in VERBS
        for d in node.decorator_list
    )
    return routed or node.name[0] == "_" or node.name in ("main", "upgrade")
