"""A world: participants, monitor, outside, people, and a scheduler that decides, from the seed, who
goes next."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sagakit.decision import Callback, Verdict
from sagakit.faults import Crash
from sagakit.message import NAMESPACE, Envelope, Message, Trace
from sagakit.ports import Participant, Store
from sandbox.simulation.node import CODEC, Chances, Log, Node
from sandbox.simulation.outside import Outside
from sandbox.simulation.watcher import Monitor

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(order=True)
class Later:
    """Something that happens at a time of its own."""

    at: datetime
    number: int
    work: Callable[[], None] = field(compare=False)


class World:
    """Everything. `run` plays it to the end."""

    def __init__(self, seed: int, participants: list[tuple[Participant[Any], Store[Any]]]) -> None:
        self.rng = random.Random(seed)
        self.now = START
        self.log = Log()
        self.chances = Chances.draw(self.rng)
        self.outside = Outside(self.rng, {}, self.call_back_later, self.chances.trouble)
        self.nodes = {p.name: Node(self, p, store) for p, store in participants}
        self.later: list[Later] = []
        self.monitor = Monitor(self)
        self.steps = 0

    # --- what happens by itself -----------------------------------------------------------------

    def after(self, delay: timedelta, work: Callable[[], None]) -> None:
        """Have something happen."""
        self.later.append(Later(self.now + delay, len(self.later) + self.steps, work))

    def call_back_later(
        self, delay: timedelta, name: str, order_id: str, callback: Callback
    ) -> None:
        """A webhook: delivered until it is taken; what it says is looked up when it is sent."""
        number = self.rng.getrandbits(64)

        def deliver(attempt: int = 0) -> None:
            result = callback.result()
            if result is None:
                return
            node = self.nodes[name]
            if self._premature(node, order_id):
                self.after(timedelta(seconds=1 + attempt), lambda: deliver(attempt + 1))
                return
            message_id = uuid5(NAMESPACE, f"webhook:{number}")
            message = Message(message_id, order_id, trigger=Callback(result))
            node.survive(lambda: self._deliver(node, message, deliver))

        self.after(delay, deliver)

    def _deliver(self, node: Node, message: Message, again: Callable[[], None]) -> None:
        try:
            node.handler.handle([message])
        except Crash:
            self.after(timedelta(seconds=1), again)
            raise
        if self.rng.random() < self.chances.repeat:
            self.after(timedelta(seconds=self.rng.randint(0, 7200)), again)

    def _premature(self, node: Node, order_id: str) -> bool:
        from services.payment.decide import Phase as PaymentPhase
        from services.shipping.decide import premature

        state = node.state(order_id)
        if node.name == "shipping":
            return premature(state)
        return state.phase is PaymentPhase.NEW and not state.in_flight

    def told(self, name: str, order_id: str, verdict: Verdict, flow: str | None = None) -> None:
        """A person at a participant's door; asks again until it went through."""
        message = Message(UUID(int=self.rng.getrandbits(128)), order_id, "", None, Trace(flow))
        message = replace(message, trigger=verdict)

        def submit() -> None:
            try:
                self.nodes[name].handler.handle([message])
            except Crash:
                self.after(timedelta(seconds=1), lambda: self.nodes[name].survive(submit))
                raise

        self.nodes[name].survive(submit)

    def publish(self, event: Any, key: str, flow: str | None, source: str = "shop") -> None:
        """Somebody else's producer."""
        event_id = UUID(int=self.rng.getrandbits(128))
        envelope = Envelope(event_id, key, source, None, self.now, event, trace=Trace(flow))
        self.log.append(CODEC.encode(envelope), self.now)

    # --- the scheduler --------------------------------------------------------------------------

    def enabled(self) -> list[Callable[[], None]]:
        """Everything that could happen next."""
        found: list[Callable[[], None]] = []
        for node in self.nodes.values():
            for can, work in (
                (node.unread(), node.consume),
                (node.database.tables.outbox, node.relay),
                (node.due_effects(), node.perform),
            ):
                if can:
                    found.append(lambda n=node, w=work: n.survive(w))  # type: ignore[misc]
        if self.monitor.behind():
            found.append(self.monitor.read)
        ready = [item for item in self.later if item.at <= self.now]
        if ready:
            found.append(lambda: self._happen(min(ready)))
        return found

    def _happen(self, item: Later) -> None:
        self.later.remove(item)
        item.work()

    def step(self) -> bool:
        """One thing happens, or time passes to the next; False when nothing is left to happen.
        A thing takes a millisecond, so that no two stand at the same time in the log."""
        self.steps += 1
        self.now += timedelta(milliseconds=1)
        enabled = self.enabled()
        if enabled and self.rng.random() > 0.02:
            self.rng.choice(enabled)()
            return True
        if not enabled:
            if self.monitor.judge():
                return True
            moment = self._next_moment()
            if moment is None:
                return False
            self.now = max(self.now, moment)
            return True
        self.now += timedelta(milliseconds=self.rng.randint(1, 2000))
        self.monitor.judge()
        return True

    def _next_moment(self) -> datetime | None:
        moments = [item.at for item in self.later]
        for node in self.nodes.values():
            moments += [max(p.due_at, p.lease_until) for p in node.database.tables.effects.values()]
        moments += self.monitor.moments()
        return min(moments, default=None)

    def run(self, faulty_steps: int, most_steps: int) -> None:
        """Faults for a while, then none until nothing is left to happen. Raises RuntimeError when
        it does not come to rest."""
        while self.step():
            if self.steps == faulty_steps:
                self.chances = Chances()
                self.outside.trouble = 0.0
            if self.steps > most_steps:
                raise RuntimeError(f"no rest after {most_steps} steps")
