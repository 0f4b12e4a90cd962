"""Everything that can happen to one order at one participant, enumerated: its events in every
order that causality allows, an undo at any place, one of them twice, calls, answers and callbacks
whenever they may come. Every end is consistent."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from saga_lab.simulation.fault_rates import FaultRates
from saga_lab.simulation.process import LEASE
from saga_lab.simulation.world import START
from sagakit.decider import Command
from sagakit.flow.facts import facts_of
from sagakit.messages.envelope import Message, OutboxRow, Record, Trace
from sagakit.store.ports import InboxRow
from schemas.events import (
    InventoryReserved,
    OrderCancelRequested,
    OrderPlaced,
    PaymentCaptured,
    PaymentRefunded,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentPickedUp,
)
from services.inventory.decide import Phase as StockPhase
from services.payment.ledger import Phase as PaymentPhase
from services.shipping.decide import Phase as ShipmentPhase
from shop.simulation import SIMULATION, OrderWorld
from shop.simulation.outside import Behaviour
from shop.simulation.participants import stores
from tests.simulation.single_order import FACTS, ORDER, SAGA

PRISTINE: dict[str, Any] = {
    participant.name: (participant, store) for participant, store in stores()
}
PARCEL: Any = {"order_id": ORDER, "order": FACTS, "label_id": "lb_1", "tracking": "T"}


@dataclass
class Choices:
    """One path through the tree: `given` at first, then always the first branch."""

    given: list[int]
    taken: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, options: int) -> int:
        at = len(self.taken)
        chosen = self.given[at] if at < len(self.given) else 0
        self.taken.append((chosen, options))
        return chosen

    def following(self) -> list[int] | None:
        """The next path; None behind the last."""
        while self.taken and self.taken[-1][0] + 1 == self.taken[-1][1]:
            self.taken.pop()
        if not self.taken:
            return None
        *before, (last, _) = self.taken
        return [*(chosen for chosen, _ in before), last + 1]


def paths(play: Callable[[Choices], None]) -> int:
    """Play every path; how many there were."""
    given: list[int] | None = []
    count = 0
    while given is not None:
        choices = Choices(given)
        play(choices)
        count += 1
        given = choices.following()
    return count


class Scene:
    """One participant with its messages, the outside world, and what was done so far."""

    def __init__(self, name: str, behaviour: Behaviour, events: dict[str, Any]) -> None:
        participant, store = PRISTINE[name]
        self.world = OrderWorld(SIMULATION, 0, [(participant, copy.deepcopy(store))], ["switch"])
        self.world.fault_rates = FaultRates(linger=1.0)  # each step by itself
        self.world.outside.trouble = 0.0
        self.world.outside.behaviours[SAGA] = behaviour
        self.node = self.world.nodes[name]
        self.process = self.node.processes[0]
        if name == "inventory":
            data = {"sku": "apple", "quantity": 5}
            self.world.submit_command(name, "/sku:apple", Command("restock", "keeper", "", data))
        self.waiting = [
            message(n, source, event) for n, (source, event) in enumerate(events.items())
        ]
        starts = [m for m in self.waiting if m.event.type == "OrderPlaced"]
        begun = next((f"{m.id} {facts_of(m.event)}" for m in starts), "")
        self.node.database.tables.inbox_rows[SAGA] = InboxRow(SAGA, facts=begun)
        self.delivered: list[Message] = []
        self.repeats = 0 if behaviour.charge == "late" else 1  # which the provider tells twice

    def play(self, choices: Choices) -> None:
        """To the end."""
        while options := self.options() or self.wait():
            self.world.now += LEASE / 1000
            chosen = options[choices(len(options))]
            self.process.survive(chosen)

    def options(self) -> list[Callable[[], None]]:
        """What could come next."""
        process = self.process
        found: list[Callable[[], None]] = [partial(self.deliver, m) for m in self.waiting]
        if self.repeats:
            found += [partial(self.repeat, m) for m in self.delivered]
        found += [self.call] if process.due_effects() else []
        found += [process.settle] if process.answers else []
        if self.world.later and not self.world.webhook_too_early(self.node, SAGA, None):
            found += [partial(self.call_back, item) for item in self.world.later]
        return found

    def wait(self) -> list[Callable[[], None]]:
        """Nothing could come before an effect is due again: what could come then."""
        if moments := self.process.moments():
            self.world.now = min(moments)
        return self.options()

    def deliver(self, m: Message) -> None:
        self.waiting.remove(m)
        self.delivered.append(m)
        self.node.handler.handle([m])

    def repeat(self, m: Message) -> None:
        self.repeats -= 1
        self.node.handler.handle([m])

    def call(self) -> None:
        self.process.hands += self.node.database.claim(1, LEASE, self.process.now())
        self.process.call()

    def call_back(self, item: Any) -> None:
        self.world.later.remove(item)
        item.work()

    @property
    def own_events(self) -> list[Any]:
        """Own events."""
        log = self.node.unpublished()
        return [event_of(row) for row in log if row.saga == SAGA]


def message(number: int, source: str, event: Any) -> Message:
    return Message(UUID(int=number + 1), SAGA, source, 1, Trace("order/1"), event=event)


def event_of(row: OutboxRow) -> Any:
    return SIMULATION.codec.decode(
        Record(row.topic, 0, 0, 0, row.key.encode(), row.value, row.headers)
    ).event


# --- payment --------------------------------------------------------------------------------------


CHARGES = ("captured", "told_first", "declined", "action", "later", "later_declined", "late")
WAYS = [
    *((charge, "refunded") for charge in CHARGES),
    ("captured", "partial"),
    ("captured", "later"),
]


@pytest.mark.parametrize(("charge", "refund"), WAYS)
def test_payment_keeps_no_money_of_an_undone_order_in_any_order_of_events(
    charge: str, refund: str
) -> None:
    undo = ShipmentCancelled(order_id=ORDER, label_id=None, reason="cancelled")
    events = {"inventory": InventoryReserved(order_id=ORDER, order=FACTS), "shipping": undo}

    def play(choices: Choices) -> None:
        scene = Scene("payment", Behaviour(charge=charge, refund=refund), events)
        scene.play(choices)
        state, ledger = scene.node.state(SAGA), scene.world.outside.charges.values()
        assert state.phase is PaymentPhase.REFUNDED
        assert sum(c.amount_minor - c.refunded_minor for c in ledger if c.status == "captured") == 0
        taken = [(c.amount_minor, c.refunded_minor) for c in ledger if c.status == "captured"]
        assert [(c.captured_minor, c.refunded_minor) for c in state.charges] == taken
        assert len(ledger) <= (scene.delivered[0].source == "inventory")
        assert any(isinstance(e, PaymentRefunded) for e in scene.own_events)
        assert not state.in_flight
        assert not scene.node.astray

    assert paths(play) > 10


# --- shipping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["created", "refused"])
@pytest.mark.parametrize("careless", [False, True])
def test_shipping_ends_picked_up_or_cancelled_in_any_order_of_events(
    label: str, careless: bool
) -> None:
    captured = PaymentCaptured(
        order_id=ORDER, order=FACTS, charge_id="ch", amount_minor=300, currency="EUR", late=False
    )
    undo = OrderCancelRequested(order_id=ORDER, actor="customer", reason="cancelled")

    def play(choices: Choices) -> None:
        behaviour = Behaviour(label=label, careless=careless)
        scene = Scene("shipping", behaviour, {"payment": captured, "order": undo})
        scene.play(choices)
        phase = scene.node.state(SAGA).phase
        labels = {x.status for x in scene.world.outside.labels.values()}
        gone = "picked_up" in labels
        assert phase is (ShipmentPhase.PICKED_UP if gone else ShipmentPhase.CANCELLED)
        assert "created" not in labels
        types = [e.type for e in scene.own_events]
        assert ("ShipmentPickedUp" in types) == gone
        assert "ShipmentCancelled" in types or "ShipmentCancelRefused" in types
        assert not scene.node.database.tables.effects

    assert paths(play) > 10


# --- inventory and notification -------------------------------------------------------------------


@pytest.mark.parametrize("on_hand", [True, False])
def test_inventory_loses_no_unit_in_any_order_of_events(on_hand: bool) -> None:
    facts = FACTS if on_hand else replace(FACTS, lines=(replace(FACTS.lines[0], sku="unicorn"),))
    events = {
        "order": OrderPlaced(order_id=ORDER, order=facts, placed_at=START),
        "payment": refunded(),
        "shipping": ShipmentPickedUp(**{**PARCEL, "order": facts}),
    }

    def play(choices: Choices) -> None:
        scene = Scene("inventory", Behaviour(), events)
        scene.play(choices)
        store: Any = scene.node.participant.store
        level, phase = store.stock["apple"], scene.node.state(SAGA).phase
        assert phase in (StockPhase.RELEASED, StockPhase.SHIPPED)
        assert level.shipped == (3 if phase is StockPhase.SHIPPED else 0)
        assert level.reserved == 0
        assert level.on_hand + level.shipped == level.put_in
        assert on_hand or phase is StockPhase.RELEASED

    assert paths(play) > 10


@pytest.mark.parametrize("mail", ["accepted", "refused"])
def test_notification_sends_each_mail_once_in_any_order_of_events(mail: str) -> None:
    events = {
        "shipping": ShipmentCreated(**PARCEL),
        "payment": refunded(),
        "carrier": ShipmentPickedUp(**PARCEL),
    }

    def play(choices: Choices) -> None:
        scene = Scene("notification", Behaviour(mail=mail), events)
        scene.play(choices)
        kinds = [e.type for e in scene.own_events]
        assert sorted(kinds) == ["ConfirmationMailSent", "RefundMailSent", "ShippedMailSent"]
        assert len(scene.world.outside.mails) == (3 if mail == "accepted" else 0)

    assert paths(play) > 10


def refunded() -> PaymentRefunded:
    return PaymentRefunded(
        order_id=ORDER,
        refund_id="re",
        amount_minor=300,
        currency="EUR",
        reason="cancelled",
        email=FACTS.email,
    )
