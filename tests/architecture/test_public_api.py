"""The kit's public names: all there, imported when first used, and enough for the examples."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sagakit
from tests.architecture.source import ROOT, TEMPLATE, Source, sources

HEAVY = ("confluent_kafka", "sqlalchemy", "fastapi", "fastavro", "alembic", "prometheus_client")
EXAMPLES = [
    source
    for source in sources()
    if source.name.startswith(("examples/", TEMPLATE)) and "_lab/" not in source.name
]
"""What a team writes to be deployed; what an application gives the lab may reach deeper."""


def loaded(statement: str) -> set[str]:
    """The heavy libraries that a process has loaded after a statement."""
    probe = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout)) & set(HEAVY)


def test_import_sagakit_loads_no_library() -> None:
    assert loaded("import sagakit") == set()


def test_a_module_of_decisions_loads_no_library() -> None:
    assert loaded("from sagakit import NOTHING, Decision, Do, Effect, EffectFailed, Undo") == set()


def test_the_probe_sees_a_library() -> None:
    assert "sqlalchemy" in loaded("from sagakit import TableStore")


def test_every_public_name_is_there() -> None:
    assert len(set(sagakit.__all__)) == len(sagakit.__all__)
    for name in sagakit.__all__:
        found = getattr(sagakit, name)
        assert getattr(found, "__name__", name) == name or not isinstance(found, type)
    assert set(dir(sagakit)) == set(sagakit.__all__)


def test_type_checker_and_interpreter_find_a_name_in_the_same_module() -> None:
    tree = ast.parse(Path(str(sagakit.__file__)).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == sagakit._HOMES
    assert typed.keys() == set(sagakit.__all__)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'sagakit' has no attribute 'Relay'"):
        _ = sagakit.Relay


def test_there_are_examples() -> None:
    names = {source.name for source in EXAMPLES}
    assert {"examples/fraud_check/participant.py"} < names
    assert f"{TEMPLATE}/courier/service.py" in names


@pytest.mark.parametrize("source", EXAMPLES, ids=lambda source: source.name)
def test_an_example_imports_the_kit_from_the_top(source: Source) -> None:
    assert not list(deep_imports(source.tree))


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial", "docs/how-to"])
def test_a_page_imports_the_kit_from_the_top(page: str) -> None:
    path = ROOT / page
    for each in [path] if path.is_file() else path.glob("*.md"):
        for code in re.findall(r"^ *```python\n(.*?)^ *```", each.read_text(), re.S | re.M):
            # `sagakit.testing` is the other public package: what it exports is in its `__all__`
            deep = r"^\s*(?:from|import) sagakit\.(?!testing import )\S+"
            assert not re.findall(deep, code, re.M), each


def deep_imports(tree: ast.AST) -> Iterator[str]:
    """Modules below `sagakit` that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sagakit."):
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("sagakit."))
