"""What is called pure reads no clock, no randomness, no environment, and touches no file."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import TEMPLATE, Source, sources

PURE = (
    "sagakit/handling/inbox.py",
    "sagakit/decider.py",
    "sagakit/flow/model.py",
    "sagakit/flow/loader.py",
    "sagakit/messages/envelope.py",
    "sagakit/flow/routing.py",
    "schemas/rules.py",
    "services/payment/ledger.py",
    "saga_lab/fakes/machine.py",
    "shop/outside/carrier_machine.py",
    "shop/outside/provider_machine.py",
    "saga_monitor/saga/interventions.py",
    "saga_monitor/saga/balance.py",
    "saga_monitor/saga/deadlines.py",
    "saga_monitor/saga/evidence.py",
    "saga_monitor/saga/facts.py",
    "saga_monitor/ingest/watermark.py",
    "saga_monitor/saga/blockers.py",
    "saga_monitor/saga/event_matrix.py",
    "saga_monitor/saga/measures.py",
    "saga_monitor/saga/commands.py",
    "saga_monitor/saga/flow_plan.py",
    "saga_monitor/saga/interpreter.py",
    "saga_monitor/saga/flow_versions.py",
    "saga_monitor/saga/view.py",
)
IMPURE_MODULES = frozenset(
    {"asyncio", "os", "random", "secrets", "socket", "subprocess", "sys", "threading", "time"}
)
IMPURE_NAMES = frozenset({"open", "print", "input", "uuid1", "uuid4", "getnode"})
CLOCKS = frozenset({"now", "utcnow", "today"})


def pure_sources() -> list[Source]:
    """The files above, and every participant's `decide.py`."""
    homes = ("services/", TEMPLATE)
    decides = [s for s in sources() if s.name.startswith(homes) and s.name.endswith("/decide.py")]
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
