"""Every participant's decision matrix covers all that flows and gateways can bring.

tests/unit/services/test_<participant>.py holds the matrix as MATRIX and plays every cell of it.
"""

import importlib
from typing import get_args

import pytest

from sagakit.decider import EffectResult
from sagakit.flow.routing import rules_of
from sagakit.testing import DecisionMatrix
from schemas import CONTRACT, FLOWS
from tests.architecture.source import ROOT

CALLERS = [p for p in CONTRACT.participants if (ROOT / "services" / p / "gateway.py").exists()]


def matrix(participant: str) -> DecisionMatrix:
    """The matrix of a participant."""
    module = importlib.import_module(f"tests.unit.services.test_{participant}")
    found = module.MATRIX
    assert isinstance(found, DecisionMatrix)
    assert found.participant.name == participant
    return found


@pytest.mark.parametrize("participant", CONTRACT.participants)
def test_no_cell_is_blank(participant: str) -> None:
    matrix(participant).check_complete()


@pytest.mark.parametrize("participant", CONTRACT.participants)
def test_all_that_a_flow_routes_is_a_column(participant: str) -> None:
    matrix(participant).check_routing(FLOWS)


@pytest.mark.parametrize("participant", CONTRACT.participants)
def test_every_kind_of_trigger_is_a_column(participant: str) -> None:
    matrix(participant).check_triggers()


@pytest.mark.parametrize("participant", CALLERS)
def test_every_answer_of_a_gateway_is_in_a_column(participant: str) -> None:
    gateway = importlib.import_module(f"services.{participant}.gateway")
    unions = [value for name, value in vars(gateway).items() if name.endswith("Answer")]
    answers = {answer for union in unions for answer in get_args(union) or (union,)}
    assert answers, f"{participant}'s gateway names its answers in types called ...Answer"
    matrix(participant).check_results(answers)


@pytest.mark.parametrize("participant", CALLERS)
def test_every_kind_of_effect_is_performed(participant: str) -> None:
    """Kinds of effects are named by constants of `decide.py`; the composition root has them all."""
    results = [t for t in matrix(participant).columns if isinstance(t, EffectResult)]
    service = (ROOT / "services" / participant / "service.py").read_text()
    decide = importlib.import_module(f"services.{participant}.decide")
    named = {
        value: name
        for name, value in vars(decide).items()
        if name.isupper() and isinstance(value, str)
    }
    for kind in {t.effect.kind for t in results} & named.keys():
        assert f"{named[kind]}:" in service, f"{participant} performs no {kind!r}"


@pytest.mark.parametrize("participant", CONTRACT.participants)
def test_an_event_that_makes_a_step_due_carries_the_order(participant: str) -> None:
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
                    assert CONTRACT.event_types[event].saga_id_field
