"""One word, one meaning: a public class name is defined once in the project."""

import ast
from collections import defaultdict

from tests.architecture.source import TEMPLATE, sources

ROOMS = {"Phase": "each participant's state has phases of its own"}
"""Names that may be defined in several places, and why."""


def test_a_public_class_name_is_defined_once() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for source in sources():
        # an application of its own has the names that any application may have
        if source.name.startswith(("benchmarks/", "examples/", TEMPLATE)):
            continue
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(source.name)
    twice = {name: found for name, found in homes.items() if len(found) > 1 and name not in ROOMS}
    assert not twice, twice
    unused = {name for name in ROOMS if len(homes[name]) < 2}
    assert not unused, f"defined once now: take {unused} out of the list"
