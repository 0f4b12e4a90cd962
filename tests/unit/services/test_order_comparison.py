"""The same order, sealed over HTTP and in clear by Kafka, is a repetition and no conflict."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sagakit.decider import EffectResult, Observed
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from sagakit.testing import NOW, given
from schemas.events import OrderFacts, OrderPlaced
from services.order.decide import Order, decide, evolve
from services.order.gateway import FactsComparison
from services.order.privacy import seal_facts
from tests.memory_key_service import MemoryVault
from tests.order_facts import TWO_TEAS

ORDER = Participant("order", decide, evolve, MemoryStore(Order()))
VAULT = MemoryVault()
(SEALED,) = seal_facts(VAULT, [TWO_TEAS], NOW)
OTHER = replace(TWO_TEAS, ship_to="2 Main Street")
(OTHER_SEALED,) = seal_facts(VAULT, [OTHER], NOW)


def placed(facts: OrderFacts) -> OrderPlaced:
    return OrderPlaced(order_id="o1", order=facts, placed_at=NOW)


@pytest.mark.parametrize(
    ("first", "second", "codes"),
    [
        (SEALED, TWO_TEAS, []),
        (TWO_TEAS, SEALED, []),
        (SEALED, OTHER, ["conflict"]),
        (TWO_TEAS, OTHER_SEALED, ["conflict"]),
    ],
    ids=["clear after sealed", "sealed after clear", "another in clear", "another, sealed"],
)
def test_facts_are_compared_with_the_customers_key(
    first: OrderFacts, second: OrderFacts, codes: list[str]
) -> None:
    """Given an order in the log; when it is placed once more in the other form; then it is refused
    as a conflict only if it says something else."""
    known = given(ORDER, Order(), placed(first))
    asked = known.when(Observed("refused", placed(second))).decision
    (effect,) = asked.effects
    assert asked.events == ()
    result = asyncio.run(FactsComparison(VAULT, lambda: NOW).compare(effect))
    events = known.when(EffectResult(effect, result)).decision.events
    assert [event.code for event in events] == codes


@pytest.mark.parametrize(
    "changes", [{"ship_to": "x\0"}, {"lines": (replace(TWO_TEAS.lines[0], sku="T\0"),)}]
)
def test_facts_that_no_effect_can_carry_are_other_facts(changes: dict[str, Any]) -> None:
    """Given an order that the API took; when anybody publishes one with NUL under its id; then it
    is refused at once."""
    event = placed(replace(TWO_TEAS, **changes))
    decision = given(ORDER, Order(), placed(SEALED)).when(Observed("refused", event)).decision
    assert [e.code for e in decision.events] == ["conflict"]
    assert decision.effects == ()


def test_a_customer_whose_key_is_gone_has_other_facts() -> None:
    vault = MemoryVault()
    (sealed,) = seal_facts(vault, [TWO_TEAS], NOW)
    vault.erase(TWO_TEAS.customer_id, "ada", "asked", NOW)
    known = given(ORDER, Order(), placed(sealed))
    (effect,) = known.when(Observed("refused", placed(TWO_TEAS))).decision.effects
    result = asyncio.run(FactsComparison(vault, lambda: NOW).compare(effect))
    assert not result.same
