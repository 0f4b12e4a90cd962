"""Every participant's table of phases and triggers holds what the flow can bring about, all of it.

tests/unit/services/test_<participant>.py holds each table as SITUATIONS, TRIGGERS and TABLE, and
plays every cell. Here they are held against what the router, the gateway and the phases say.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Any, get_args

import pytest

from sagakit.decider import Callback, Command, Do, EffectResult, Observed, Trigger, Undo
from sagakit.flow.routing import rules_of
from schemas import CONTRACT, FLOWS
from schemas.asyncapi import participants
from tests.architecture.source import ROOT

KINDS = {"do": Do, "undo": Undo, "verdict": Command}
CALLERS = [p for p in participants() if (ROOT / "services" / p / "gateway.py").exists()]


@dataclass(frozen=True)
class Matrix:
    """A participant's table, as its unit test shows it."""

    module: ModuleType

    @property
    def triggers(self) -> list[Trigger]:
        """The columns; some tables add to each what is in flight, or in stock."""
        columns: list[Any] = list(self.module.TRIGGERS.values())
        return [c[0] if isinstance(c, tuple) else c for c in columns]

    @property
    def cells(self) -> set[tuple[str, str]]:
        """Trigger and situation of every cell that is filled in."""
        return {(t, s) for t, row in self.module.TABLE.items() for s in row}


def matrix(participant: str) -> Matrix:
    """The table of a participant."""
    return Matrix(importlib.import_module(f"tests.unit.services.test_{participant}"))


@pytest.mark.parametrize("participant", participants())
def test_no_cell_is_blank(participant: str) -> None:
    table = matrix(participant)
    assert table.cells == set(product(table.module.TRIGGERS, table.module.SITUATIONS))


@pytest.mark.parametrize("participant", participants())
def test_all_that_the_flow_can_tell_is_in_it(participant: str) -> None:
    triggers = matrix(participant).triggers
    observed = {t.name for t in triggers if isinstance(t, Observed)}
    for kind, name in routed(participant):
        if kind == "observe":
            assert name in observed, f"no Observed({name!r}) in {participant}'s table"
        else:
            found = any(isinstance(t, KINDS[kind]) for t in triggers)
            assert found, f"no {KINDS[kind].__name__} in {participant}'s table"


def routed(participant: str) -> Iterator[tuple[str, str]]:
    """Kinds of triggers, and the names of those observed, in every version of every flow."""
    for flow in FLOWS:
        for version in flow.versions:
            for rules in rules_of(flow, version, participant).values():
                # pause and resume are the kit's: `decide` never hears of them
                told = (r for r in rules if r.kind not in ("pause", "resume"))
                yield from ((rule.kind, rule.name) for rule in told)


@pytest.mark.parametrize("participant", participants())
def test_decide_is_total_every_kind_of_trigger_is_in_it(participant: str) -> None:
    found = {type(trigger) for trigger in matrix(participant).triggers}
    assert found == set(get_args(Trigger))


@pytest.mark.parametrize("participant", CALLERS)
def test_every_answer_of_the_outside_world_is_in_it(participant: str) -> None:
    gateway = importlib.import_module(f"services.{participant}.gateway")
    unions = [value for name, value in vars(gateway).items() if name.endswith("Answer")]
    answers = {answer for union in unions for answer in get_args(union)}
    assert answers, f"{participant}'s gateway names its answers in unions called ...Answer"
    told = [t for t in matrix(participant).triggers if isinstance(t, EffectResult | Callback)]
    missing = answers - {type(trigger.result) for trigger in told}
    assert not missing, f"not in {participant}'s table: {missing}"


@pytest.mark.parametrize("participant", CALLERS)
def test_every_effect_has_somebody_who_performs_it(participant: str) -> None:
    """Kinds of effects are named by constants of `decide.py`; the composition root has them all."""
    told = [t for t in matrix(participant).triggers if isinstance(t, EffectResult)]
    service = (ROOT / "services" / participant / "service.py").read_text()
    decide = importlib.import_module(f"services.{participant}.decide")
    named = {
        value: name
        for name, value in vars(decide).items()
        if name.isupper() and isinstance(value, str)
    }
    for kind in {t.effect.kind for t in told} & named.keys():
        assert f"{named[kind]}:" in service, f"{participant}: nobody performs {kind!r}"


@pytest.mark.parametrize("participant", participants())
def test_whoever_is_to_do_something_is_told_the_facts(participant: str) -> None:
    """No service asks another: what makes a step due carries the order (event-carried state)."""
    for flow in FLOWS:
        for version in flow.versions:
            for event, rules in rules_of(flow, version, participant).items():
                fields = {
                    field["name"]: field["type"] for field in CONTRACT.schemas[event]["fields"]
                }
                if any(rule.kind == "do" for rule in rules):
                    assert fields.get("order") == "OrderFacts", f"{event} makes {participant} due"
                if any(rule.kind == "undo" for rule in rules):
                    assert "order_id" in fields
