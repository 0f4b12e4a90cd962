"""Any order of arrival, any repeat: the same end.

A world without faults is played to rest and its log kept. Then each participant gets the records of
its topics again, in any order that causality allows (an event that came about through an own event
cannot come before it), some of them twice, its effects performed at any moment in between. It must
end in the same phase, with the same money held and the same parcel gone; the monitor, which gets
them in any order at all, in the same saga.
"""

import random
from dataclasses import replace
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from saga_lab.simulation.fault_rates import FAULTS
from saga_lab.simulation.node import Node
from saga_lab.simulation.runner import build_world
from saga_monitor.ingest.projection import balances_of, fact_of
from saga_monitor.saga.facts import Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from sagakit.faults import duplicated
from sagakit.handling.handler import decode_message
from sagakit.messages.envelope import Envelope, Record
from schemas import FLOWS
from services.notification.decide import MailKind
from shop.simulation import SIMULATION, OrderWorld

ORDERS = 3
MOST_STEPS = 3_000
PARTICIPANTS = ("inventory", "payment", "shipping", "notification", "fraud", "loyalty")


def calm(seed: int) -> OrderWorld:
    """A world in which nothing fails and nobody cancels, at rest."""
    return build_world(SIMULATION, seed, 0, people=False, without=FAULTS)[0]


def played(seed: int) -> OrderWorld:
    world, _ = build_world(SIMULATION, seed, ORDERS, people=False, without=FAULTS)
    world.run(0, 20_000)
    return world


def own_ancestors(world: OrderWorld, name: str) -> dict[UUID, set[tuple[str, str]]]:
    """Event id -> (order, type) of the participant's own events it came after: those that caused
    it, and all that its source's earlier events of the order came after."""
    read = [(r.topic, SIMULATION.codec.decode(r)) for r in world.log.records()]
    events = {e.id: e for _, e in read}
    topics = {e.id: topic for topic, e in read}
    placed = {(e.source, e.key, e.seq): e for e in events.values() if e.seq}
    found: dict[UUID, set[tuple[str, str]]] = {}

    def earlier(e: Envelope) -> list[Envelope]:
        """A webhook names no cause in the log: it may be anything before it that its source reads.
        Nobody reads what mail was sent, so no webhook comes about through that."""
        if e.seq is None:
            return []
        known = world.nodes[e.source].topics
        before = [x for x in events.values() if x.key == e.key and x.time < e.time]
        return [x for x in before if topics[x.id] in known]

    def visit(e: Envelope | None) -> set[tuple[str, str]]:
        if e is None:
            return set()
        if e.id not in found:
            causes = [events[e.causation]] if e.causation in events else earlier(e)
            before = set().union(*map(visit, causes))
            before |= visit(placed.get((e.source, e.key, (e.seq or 0) - 1)))
            found[e.id] = before | ({(e.key, e.event.type)} if e.source == name else set())
        return set(found[e.id])

    for e in events.values():
        visit(e)
    return found


def arrive(world: OrderWorld, again: OrderWorld, node: Node, rng: random.Random) -> None:
    """Give the participant of `again` everything its namesake got in `world`."""
    ancestors = own_ancestors(world, node.name)
    records = [r for r in world.log.records() if r.topic in node.topics and not is_stock(r)]
    needs = {r: ancestors[SIMULATION.codec.decode(r).id] for r in records}
    waiting = duplicated(list(needs), rng)
    published: set[tuple[str, str]] = set()

    for _ in range(MOST_STEPS):
        if not waiting:
            break
        possible = [r for r in waiting if needs[r] <= published]
        if possible and rng.random() < 0.6:
            record = rng.choice(possible)
            waiting.remove(record)
            node.handler.handle([decode_message(SIMULATION.codec, record)])
        elif not step(again, node, rng) and not possible:
            break  # an undo came first: what followed from the step it fenced never happens
        for row in node.database.tables.outbox.values():
            published.add((row.saga, _type(row.headers)))
    for _ in range(MOST_STEPS):
        if not step(again, node, rng):
            return
    raise AssertionError(f"{node.name} does not settle: {again.later}")


def step(world: OrderWorld, node: Node, rng: random.Random) -> bool:
    """An effect, a callback, or time; False when none is left."""
    if node.due_effects():
        node.perform()
        return True
    if world.later:
        item = min(world.later)
        world.later.remove(item)
        world.now = max(world.now, item.at)
        node.database.now = world.now
        item.work()
        return True
    pending = node.database.tables.effects.values()
    if pending:  # what is not final yet is asked about again when it is due
        world.now = min(max(p.due_at, p.lease_until) for p in pending)
        node.database.now = world.now
    return bool(pending)


def is_stock(record: Record) -> bool:
    return (record.key or b"").startswith(b"sku:")


def _type(headers: tuple[tuple[str, bytes], ...]) -> str:
    return dict(headers)["ce_type"].decode()


def money(world: OrderWorld, key: str) -> int:
    """What the seller holds. A dispute takes back what a refund gives back, whichever is first."""
    charges = [c for c in world.outside.charges.values() if c.saga == key]
    return sum(c.held_minor for c in charges if c.status == "captured")


def parcels(world: OrderWorld, key: str) -> int:
    labels = world.outside.labels.values()
    return sum(x.status == "picked_up" for x in labels if x.saga == key)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 1_000_000))
def test_participants_end_the_same(seed: int, arrival: int) -> None:
    world = played(seed)
    for name in PARTICIPANTS:
        again = calm(seed)
        for key, behaviour in world.outside.behaviours.items():
            again.outside.behaviours[key] = behaviour
        node = again.nodes[name]
        before = world.nodes[name]
        arrive(world, again, node, random.Random(arrival))
        assert not node.database.tables.effects
        assert not node.database.tables.parked
        for key in world.outside.behaviours:
            assert ending(node, key) == ending(before, key), (name, key)
            if name == "payment":
                assert money(again, key) == money(world, key)
            if name == "shipping":
                assert parcels(again, key) == parcels(world, key)


def ending(node: Node, key: str) -> Any:
    """The phase; for notification what was told of the end (a confirmation that comes after the
    cancellation is not sent)."""
    state = node.state(key)
    return state.sent - {MailKind.CONFIRMED} if node.name == "notification" else state.phase


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_monitor_folds_the_same(seed: int, rng: random.Random) -> None:
    world = played(seed)
    for key, saga in world.monitor.sagas.items():
        facts = [
            fact_of(envelope, balances_of(FLOWS))
            for envelope in world.log.envelopes()
            if envelope.key == key
        ]
        mixed = duplicated(facts, rng)
        rng.shuffle(mixed)
        again = Saga(key)
        for fact in mixed:
            again = fold(again, fact)
        assert again == saga
        if not key.startswith("/sku:"):
            plan = Plan.of(*FLOWS.find(saga.flow, *(fact.type for fact in saga.facts.values())))
            assert interpret(again, plan) == interpret(saga, plan)


def test_a_repeat_is_distinguished_from_what_is_new() -> None:
    """The instrument works: a participant that forgets what it handled ends elsewhere."""
    world = played(3)
    node = calm(3).nodes["payment"]
    record = next(r for r in world.log.records() if r.topic in node.topics)
    message = decode_message(SIMULATION.codec, record)
    node.handler.handle([message])
    node.handler.handle([replace(message)])
    inbox_row = node.database.tables.inbox_rows[message.key]
    assert inbox_row.seen.get(message.source, [1])[0] == (message.seq or 1)
