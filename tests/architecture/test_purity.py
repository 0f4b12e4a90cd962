"""What is called pure reads no clock, no randomness, no environment, and touches no file."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import Source, sources

PURE = (
    "sagakit/admission.py",
    "sagakit/decision.py",
    "sagakit/flow.py",
    "sagakit/flow_file.py",
    "sagakit/message.py",
    "sagakit/routing.py",
    "schemas/rules.py",
    "services/payment/ledger.py",
    "saga_monitor/cases.py",
    "saga_monitor/conservation.py",
    "saga_monitor/deadlines.py",
    "saga_monitor/evidence.py",
    "saga_monitor/fold.py",
    "saga_monitor/gate.py",
    "saga_monitor/held.py",
    "saga_monitor/late.py",
    "saga_monitor/measures.py",
    "saga_monitor/people.py",
    "saga_monitor/plan.py",
    "saga_monitor/reading.py",
    "saga_monitor/versions.py",
    "saga_monitor/view.py",
)
IMPURE_MODULES = frozenset(
    {"asyncio", "os", "random", "secrets", "socket", "subprocess", "sys", "threading", "time"}
)
IMPURE_NAMES = frozenset({"open", "print", "input", "uuid1", "uuid4", "getnode"})
CLOCKS = frozenset({"now", "utcnow", "today"})


def pure_sources() -> list[Source]:
    """The files above, and every participant's `decide.py`."""
    decides = [s for s in sources() if "services/" in s.name and s.name.endswith("/decide.py")]
    named = [s for s in sources() if s.name in PURE]
    assert len(named) == len(PURE), "a pure file is gone: mend the list"
    return named + decides


def impurities(tree: ast.AST) -> Iterator[str]:
    """Whatever makes a module depend on more than its arguments, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = [a.name for a in names if a.name.split(".")[0] in IMPURE_MODULES]
            case ast.ImportFrom(module=str(module), names=names):
                deep = module.split(".")[0] in IMPURE_MODULES
                found = [a.name for a in names if deep or a.name in IMPURE_NAMES]
            case ast.Attribute(attr=attr, value=ast.Name(id=owner)):
                clock = attr in CLOCKS and owner in ("datetime", "date")
                found = [f"{owner}.{attr}"] if clock or attr in IMPURE_NAMES else []
            case ast.Name(id=name) if name in IMPURE_NAMES:
                found = [name]
            case _:
                found = []
        yield from (f"line {getattr(node, 'lineno', 0)}: {name}" for name in found)


@pytest.mark.parametrize("source", pure_sources(), ids=lambda source: source.name)
def test_it_is_pure(source: Source) -> None:
    found = list(impurities(source.tree))
    assert not found, f"{source.name} is called pure but uses {found}; pass it in as an argument"


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "from time import monotonic",
        "import random",
        "from os import environ",
        "import os.path",
        "from datetime import datetime\nx = datetime.now()",
        "x = date.today()",
        "from uuid import uuid4",
        "import uuid\nx = uuid.uuid4()",
        "open('f')",
        "print(1)",
    ],
)
def test_the_check_sees_it(text: str) -> None:
    assert list(impurities(ast.parse(text)))


@pytest.mark.parametrize("text", ["def decide(now): return now", "from uuid import uuid5", "x.now"])
def test_the_check_lets_the_rest_be(text: str) -> None:
    assert not list(impurities(ast.parse(text)))
