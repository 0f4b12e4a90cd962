"""The project's own Python files, parsed once."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "sagakit",
    "services",
    "saga_monitor",
    "saga_lab",
    "saga_cli",
    "schemas",
    "shop",
    "benchmarks",
)
TEMPLATE = "saga_cli/template/errand"
"""The application that `saga new` copies."""
GENERATED = frozenset(
    {
        "schemas/events.py",
        "sagakit/contract/platform.py",
        f"{TEMPLATE}/errand_events/events.py",
        "examples/trip/trips/events.py",
    }
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A file: `name` is its path below the repository."""

    name: str
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @property
    def path(self) -> Path:
        return ROOT / self.name


@cache
def sources() -> tuple[Source, ...]:
    """Every file of the packages and the examples; made ones and tests are left out."""
    found = []
    for package in (*PACKAGES, "examples"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if name not in GENERATED and not path.name.startswith("test_"):
                text = path.read_text()
                found.append(Source(name, text, ast.parse(text)))
    return tuple(found)


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods, nested ones too."""
    yield from (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: Function) -> int:
    """Lines of a function, its decorators not counted."""
    return (function.end_lineno or function.lineno) - function.lineno + 1
