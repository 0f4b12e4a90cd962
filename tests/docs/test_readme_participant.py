"""The README's participant is the file it names, and behaves as the README says."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from examples.fraud_check.participant import Screening, decide, evolve
from sagakit.decider import Do, Observed, Trigger, Undo, fold
from sagakit.flow.routing import Router
from schemas import FLOWS
from schemas.events import (
    FraudCleared,
    FraudRejected,
    FraudWithdrawn,
    OrderFacts,
    OrderLine,
    OrderPlaced,
    PaymentDeclined,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = ROOT / "examples" / "fraud_check" / "participant.py"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def facts(score: float) -> OrderFacts:
    """An order whose fraud score is `score`."""
    return OrderFacts(
        customer_id="c1",
        email="ada@customer.example",
        currency="EUR",
        total_minor=1250,
        lines=(OrderLine(sku="TEA-100", quantity=1, unit_price_minor=1250),),
        card_token="tok_ok",
        ship_to="1 Main Street, Springfield",
        fraud_score=score,
    )


def placed(score: float = 0.1) -> OrderPlaced:
    return OrderPlaced(order_id="o1", placed_at=NOW, order=facts(score))


DECLINED = PaymentDeclined(order_id="o1", code="declined", reason="no funds")
CLEARED = FraudCleared(order_id="o1", order=facts(0.1))
WITHDRAWN = FraudWithdrawn(order_id="o1", reason="no funds")


def play(*triggers: Trigger) -> list[tuple[Any, ...]]:
    """The events that answer each trigger in turn, from a new order on."""
    state, events = Screening(), []
    for trigger in triggers:
        decision = decide(state, trigger, NOW)
        assert decision.effects == ()
        state = fold(evolve, state, decision.events)
        events.append(decision.events)
    return events


def block(language: str) -> str:
    """The one block of the README in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.S | re.M)
    return str(found)


def test_the_python_block_of_the_readme_is_the_example_file() -> None:
    assert f"({EXAMPLE.relative_to(ROOT)})" in README
    assert block("python") == EXAMPLE.read_text()


def test_the_flow_snippet_is_the_flow_file() -> None:
    shown = tomllib.loads(block("toml"))
    flow = tomllib.loads((ROOT / "schemas/flows/order.toml").read_text())
    for number, places in shown["versions"].items():
        assert flow["versions"][number] == places
    assert shown["steps"] == {"fraud": flow["steps"]["fraud"]}


def test_an_order_with_a_low_score_is_cleared() -> None:
    assert play(Do(placed())) == [(CLEARED,)]


def test_an_order_with_a_high_score_is_rejected() -> None:
    ((rejected,),) = play(Do(placed(0.99)))
    assert isinstance(rejected, FraudRejected)


def test_an_undo_after_the_do_withdraws_the_clearance() -> None:
    assert play(Do(placed()), Undo(DECLINED, "no funds")) == [(CLEARED,), (WITHDRAWN,)]


def test_undo_before_done_leaves_a_fence() -> None:
    assert play(Undo(DECLINED, "no funds"), Do(placed())) == [(WITHDRAWN,), ()]


def test_an_undo_again_is_answered_again() -> None:
    undo = Undo(DECLINED, "no funds")
    assert play(Do(placed()), undo, undo)[-1] == (WITHDRAWN,)


@pytest.mark.parametrize("trigger", [Do(placed()), Observed("completed", CLEARED)])
def test_a_repeat_and_what_does_not_concern_it_change_nothing(trigger: Trigger) -> None:
    assert play(Do(placed()), trigger)[-1] == ()


def test_the_flow_triggers_the_participant_of_the_readme() -> None:
    router = Router(FLOWS, "fraud")
    assert router.route("order/3", placed()).triggers == (Do(placed()),)
    assert router.route("order/3", DECLINED).triggers == (Undo(DECLINED, "no funds"),)
