"""Payment against a provider in every interleaving: calls whose answers are lost or come late,
webhooks early, late and twice, undos at any moment. The ledgers agree and no cent is left."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagakit.contract.platform import VerdictGiven
from sagakit.decider import Callback, Command, Do, Effect, EffectResult, Trigger, Undo, fold
from sagakit.errors import EffectFailed
from sagakit.testing import NOW
from schemas.events import (
    InventoryReserved,
    OrderFacts,
    OrderLine,
    PaymentCaptured,
    PaymentRefunded,
    PaymentRefundProgressed,
    ShipmentFailed,
)
from services.payment.decide import decide
from services.payment.ledger import (
    CHARGE,
    LOOK,
    REFUND,
    Payment,
    Phase,
    evolve,
)
from shop.outside.memory import MemoryProvider
from shop.outside.provider_machine import CardPlan, card_plan

TOKENS = (
    "tok_ok",
    "tok_declined",
    "tok_action_auto:9",
    "tok_async:9",
    "tok_async_declined:9",
    "tok_late:9",
    "tok_lost",
    "tok_500:2",
    "tok_refund_partial",
    "tok_refund_async:9",
)
SAGA = "order/o1"
STEPS = ("do", "undo", "approve", "reject", "call", "lose", "answer", "settle", "hook", "again")


def plan_of(token: str) -> CardPlan:
    """As the fakes, but a late charge is captured whether it is voided before or not."""
    return replace(card_plan(token), counted_from_void=False)


@dataclass
class World:
    """One order, its pending effects, answers and webhooks under way, and the provider."""

    facts: OrderFacts
    provider: MemoryProvider = field(default_factory=lambda: MemoryProvider(plan_of))
    state: Payment = field(default_factory=Payment)
    events: list[Any] = field(default_factory=list)
    effects: dict[str, Effect] = field(default_factory=dict)
    answers: list[tuple[Effect, Any]] = field(default_factory=list)
    hooks: list[Any] = field(default_factory=list)
    old_hooks: list[Any] = field(default_factory=list)

    def tell(self, trigger: Trigger) -> None:
        seen = replace(self.state, in_flight=frozenset(self.effects))
        decision = decide(seen, trigger, NOW)
        self.events += decision.events
        self.state = fold(evolve, self.state, decision.events)
        for effect in decision.effects:
            self.effects.setdefault(effect.key, replace(effect, saga=SAGA))

    def step(self, name: str, pick: int) -> None:
        order = {"saga_id": "o1", "step": "payment", "actor": "bob", "reason": "so"}
        match name:
            case "do":
                self.tell(Do(InventoryReserved(order_id="o1", order=self.facts)))
            case "undo":
                self.tell(Undo(ShipmentFailed(order_id="o1", code="x", reason="x"), "x"))
            case "approve" | "reject":
                self.tell(Command(name, "bob", "so", VerdictGiven(**order, verdict=name)))
            case "call" | "lose" if self.effects:
                effect = list(self.effects.values())[pick % len(self.effects)]
                self.call(effect, lost=name == "lose")
            case "answer" if self.answers:
                self.answer(*self.answers.pop(pick % len(self.answers)))
            case "settle" if self.provider.charges:
                self.hooks += self.provider.settle(SAGA)
            case "hook" if self.hooks:
                self.old_hooks.append(self.hooks.pop(pick % len(self.hooks)))
                self.hook(self.old_hooks[-1])
            case "again" if self.old_hooks:
                self.hook(self.old_hooks[pick % len(self.old_hooks)])

    def call(self, effect: Effect, lost: bool) -> None:
        perform = getattr(self.provider, effect.kind)
        assert effect.kind in (CHARGE, LOOK, REFUND)
        try:
            result = asyncio.run(perform(effect))
        except EffectFailed:
            return
        if not lost:
            self.answers.append((effect, result))

    def answer(self, effect: Effect, result: Any) -> None:
        """Only the first answer to a pending effect is taken (the lease)."""
        if self.effects.get(effect.key) is effect:
            del self.effects[effect.key]
            self.tell(EffectResult(effect, result))

    def hook(self, result: Any) -> None:
        """As the webhook route does: an order never heard of is not taken, and told again."""
        if self.state.phase is Phase.NEW and not self.effects:
            self.hooks.append(result)
        else:
            self.tell(Callback(result))

    def drain(self) -> None:
        """Everything that is under way arrives."""
        for _ in range(100):
            self.step("settle", 0)
            if not (self.effects or self.answers or self.hooks):
                return
            for effect in list(self.effects.values()):
                self.call(effect, lost=False)
            while self.answers:
                self.step("answer", 0)
            for _ in range(len(self.hooks)):
                self.step("hook", 0)
        pytest.fail(f"does not settle: {self.state}, {self.effects}")

    def reported_minor(self) -> tuple[int, int]:
        """Captured and refunded, by our own events."""
        captured = sum(e.amount_minor for e in self.events if isinstance(e, PaymentCaptured))
        kinds = (PaymentRefunded, PaymentRefundProgressed)
        return captured, sum(e.amount_minor for e in self.events if isinstance(e, kinds))

    def real_minor(self) -> tuple[int, int]:
        """Captured and refunded, by the provider's ledger."""
        charges = self.provider.charges.values()
        captured = sum(c.amount_minor for c in charges if c.status == "captured")
        return captured, sum(c.refunded_minor for c in charges)


worlds = st.builds(
    lambda token, dear: World(
        OrderFacts(
            customer_id="c1",
            email="ada@customer.example",
            currency="EUR",
            total_minor=dear,
            lines=(OrderLine(sku="tea", quantity=1, unit_price_minor=dear),),
            card_token=token,
            ship_to="1 Main Street",
        )
    ),
    st.sampled_from(TOKENS),
    st.sampled_from([1, 2501, 100_001]),
)
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3)), max_size=40)


def check(world: World) -> None:
    captured, refunded = world.reported_minor()
    assert 0 <= refunded <= captured
    assert world.state.left_minor == captured - refunded
    assert world.state == fold(evolve, Payment(), tuple(world.events))


@settings(max_examples=400, deadline=None)
@given(worlds, steps)
def test_an_undone_payment_keeps_no_cent(world: World, steps: list[tuple[str, int]]) -> None:
    for name, pick in steps:
        world.step(name, pick)
        check(world)
    world.step("undo", 0)
    world.drain()
    world.step("undo", 0)
    world.drain()
    assert world.state.phase in (Phase.REFUNDED, Phase.DECLINED)
    assert world.reported_minor() == world.real_minor()
    captured, refunded = world.real_minor()
    assert captured == refunded


@settings(max_examples=200, deadline=None)
@given(worlds, steps)
def test_a_payment_left_alone_is_captured_once_or_declined(
    world: World, steps: list[tuple[str, int]]
) -> None:
    for name, pick in [("do", 0), *steps]:
        if name not in ("undo", "reject"):
            world.step(name, pick)
            check(world)
    world.step("approve", 0)
    world.drain()
    expected = world.facts.total_minor if world.state.phase is Phase.CAPTURED else 0
    assert world.state.phase in (Phase.CAPTURED, Phase.DECLINED)
    assert world.reported_minor() == world.real_minor() == (expected, 0)


@settings(max_examples=200, deadline=None)
@given(worlds, steps, steps)
def test_a_database_rebuilt_from_the_topic_gives_everything_back(
    world: World, before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    """The pending effects are lost with the database; what the bus told is told again."""
    for name, pick in before:
        world.step(name, pick)
    world.effects.clear()
    world.answers.clear()
    retold = [(n, p) for n, p in before if n in ("do", "approve", "undo")]
    for name, pick in retold + after:
        world.step(name, pick)
        check(world)
    world.step("undo", 0)
    world.drain()
    world.step("undo", 0)
    world.drain()
    captured, refunded = world.real_minor()
    assert captured == refunded
