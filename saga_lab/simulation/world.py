"""Combines participants, monitors, the outside world and people under one seeded scheduler.

The seed decides who goes next.
"""

import random
from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Generic
from uuid import UUID, uuid5

from saga_lab.simulation.claim_checker import ClaimChecker
from saga_lab.simulation.fault_rates import FaultRates
from saga_lab.simulation.log import SimulatedLog
from saga_lab.simulation.node import Node
from saga_lab.simulation.operator import Operator
from saga_lab.simulation.played_application import O, PlayedApplication
from saga_lab.simulation.process import SimulatedProcess
from saga_lab.simulation.registry import SimulatedRegistry
from saga_lab.simulation.rollout import REFUSED, Rollout
from saga_lab.simulation.simulated_monitor import SimulatedMonitor
from sagakit.decider import Callback, Command
from sagakit.faults import Crash
from sagakit.flow.model import Flows
from sagakit.messages.envelope import NAMESPACE, Envelope, Message, OutboxRow, Trace
from sagakit.store.ports import Participant, Store

START = datetime(2026, 1, 1, tzinfo=UTC)
FOREIGN = "elsewhere"
"""Source of events that no participant published."""
FAULTY = timedelta(days=5)
PATIENCE = timedelta(days=25)
"""A longer run is stuck: all waits of the flow and the outside world together are shorter."""


OFTEN, OFTEN_ENOUGH, SELDOM = timedelta(seconds=1), 60, timedelta(seconds=60)
"""A webhook that comes too early is delivered again so often, so many times, and then seldom."""


@dataclass(order=True)
class Later:
    """Schedules `work` for a time; `number` breaks ties."""

    at: datetime
    number: int
    work: Callable[[], None] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Note:
    """Records a fault, when it hit and the sagas it hit."""

    at: datetime
    text: str
    sagas: frozenset[str]


class World(Generic[O]):
    """Holds the whole simulation; `run` plays it to the end.

    `participants`: those of the application, unless given. `without`: faults that are switched off.
    `schedule`: picks one of many interleavings of the same sagas and faults. `flows`: today's flow
    files, those of the contract unless given. `hits`: fault -> how often it hit. `sagas`: keys
    of the sagas that are played.
    """

    def __init__(
        self,
        simulation: PlayedApplication[O],
        seed: int,
        participants: Sequence[tuple[Participant[Any], Store[Any]]] | None = None,
        without: Collection[str] = (),
        schedule: int = 0,
        flows: Flows | None = None,
    ) -> None:
        self.simulation, self.codec = simulation, simulation.codec
        self.sagas: list[str] = []
        self.rng = random.Random(f"{seed}:{schedule}")
        self.flows = flows or simulation.contract.flows
        self.hits: Counter[str] = Counter()
        self.now = START
        self.diary: list[Note] = []
        self.broker_back_at = START
        self.fault_rates = FaultRates.draw(random.Random(f"{seed}:chances"), without)
        self.drawn_rates = self.fault_rates
        for lasting in ("second", "skew_s"):
            self.hits[lasting] += bool(getattr(self.drawn_rates, lasting))
        self.faulty = True
        trouble = self.fault_rates.trouble
        self.outside = simulation.outside(self.rng, self.call_back_later, trouble)
        self.operator = Operator(self)
        self.registry = SimulatedRegistry(self)
        self.claim_checker = ClaimChecker(self.outside)
        self.log = SimulatedLog(simulation.contract.topics, self.codec, self.claim_checker)
        self.later: list[Later] = []
        self.steps = 0
        self.rollout = Rollout(self, f"{seed}:switch")
        each = 2 if self.fault_rates.second else 1
        played = simulation.participants() if participants is None else participants
        self.nodes = {p.name: Node(self, p, store, each) for p, store in played}
        self.monitors = [SimulatedMonitor(self) for _ in range(each)]

    @property
    def monitor(self) -> SimulatedMonitor:
        """The first monitor."""
        return self.monitors[0]

    def happens(self, fault: str) -> bool:
        """Draw whether a fault hits now, and count it if so."""
        chance: float = getattr(self.fault_rates, fault)
        if not chance or self.rng.random() >= chance:
            return False
        self.hits[fault] += 1
        return True

    def note(self, text: str, sagas: Collection[str] = ()) -> None:
        """Record a line for the story of a broken seed."""
        self.diary.append(Note(self.now, text, frozenset(sagas)))

    def broker_up(self) -> bool:
        """Return whether publishing and consuming are possible."""
        return self.now >= self.broker_back_at

    def found(self) -> list[str]:
        """Return the broken invariants among those that must hold at every moment."""
        return [
            *self.claim_checker.found,
            *(node.astray for node in self.nodes.values() if node.astray),
        ]

    # --- what happens by itself -------------------------------------------------------------------

    def after(self, delay: timedelta, work: Callable[[], None]) -> None:
        """Schedule `work` to happen after `delay`."""
        insort(self.later, Later(self.now + delay, len(self.later) + self.steps, work))

    def call_back_later(self, delay: timedelta, name: str, saga: str, callback: Callback) -> None:
        """Deliver a webhook after `delay`, and again until it is accepted.

        Its result is looked up at each delivery; a result of None cancels it.
        """
        message_id = uuid5(NAMESPACE, f"webhook:{self.rng.getrandbits(64)}")
        refusals = count(1)

        def deliver() -> None:
            result = callback.result()
            if result is None:
                return
            node = self.nodes[name]
            if self.webhook_too_early(node, saga, result):
                self.after(OFTEN if next(refusals) < OFTEN_ENOUGH else SELDOM, deliver)
                return
            message = Message(message_id, saga, trigger=Callback(result))
            # A refused webhook is retried anyway; repeating it on each retry would multiply it.
            if self._submit_to_any_process(node, message, deliver) and self.happens("repeat"):
                self.note(f"the webhook of {saga} comes again", {saga})
                self.after(timedelta(seconds=self.rng.randint(0, 7200)), deliver)

        self.after(delay, deliver)

    def webhook_too_early(self, node: Node, saga: str, report: Any) -> bool:
        """Return whether a webhook now would precede the answer to its call; it is then refused."""
        return self.simulation.webhook_too_early(node.name, node.state(saga), report)

    def wrong_store(self, name: str, store: Any) -> str:
        """Return what is wrong with a participant's store at any moment, else an empty text."""
        return self.simulation.wrong_store(name, store)

    def _submit_to_any_process(
        self, node: Node, message: Message, again: Callable[[], None]
    ) -> bool:
        """Submit a message to a random process; return whether the process took it.

        If the process sleeps, lacks the flow version or crashes, `again` is scheduled.
        """
        process = self.rng.choice(node.processes)
        if not process.awake():
            self.after(timedelta(seconds=1), again)
            return False
        if not process.knows(message.trace.flow):
            self.after(REFUSED, again)
            return False
        node.visit(process, message.key, lambda: self._submit(process, message, again))
        return True

    def _submit(
        self, process: SimulatedProcess, message: Message, again: Callable[[], None]
    ) -> None:
        try:
            process.handler.handle([message])
        except Crash:
            self.after(timedelta(seconds=1), again)
            raise

    def submit_command(
        self, name: str, saga: str, command: Command, flow: str | None = None
    ) -> None:
        """Submit a person's command to a participant, and again until it goes through."""
        message = Message(UUID(int=self.rng.getrandbits(128)), saga, "", None, Trace(flow))
        message = replace(message, trigger=command)

        def submit() -> None:
            self._submit_to_any_process(self.nodes[name], message, submit)

        submit()

    def publish(self, event: Any, key: str, flow: str | None, *, named: bool = True) -> None:
        """Publish an event as a foreign producer would; without `named` it has no event id."""
        event_id = UUID(int=self.rng.getrandbits(128))
        row = self.codec.encode(
            Envelope(event_id, key, FOREIGN, None, self.now, event, None, Trace(flow))
        )
        if not named:
            row = replace(row, headers=tuple(h for h in row.headers if h[0] != "ce_id"))
        self.send(row)

    def send(self, row: OutboxRow) -> None:
        """Append a row to the log as soon as the broker is up."""
        if self.broker_up():
            self.log.append(row, self.now)
        else:
            self.after(timedelta(seconds=1), lambda: self.send(row))

    # --- the scheduler ----------------------------------------------------------------------------

    def enabled(self) -> list[Callable[[], None]]:
        """Return everything that could happen next."""
        found: list[Callable[[], None]] = []
        up = self.broker_up()
        around = (self.log.length, up, self.faulty)
        for node in self.nodes.values():
            found += node.possible(around)
        if up:
            found += [monitor.read for monitor in self.monitors if monitor.is_behind()]
        if self.later and self.later[0].at <= self.now:
            found.append(self._happen)
        return found

    def _happen(self) -> None:
        self.later.pop(0).work()

    def step(self) -> bool:
        """Do one thing or advance the clock; return False when nothing is left to do.

        Each step takes at least a millisecond, so that no two steps share a log-append time.
        """
        self.steps += 1
        self.now += timedelta(milliseconds=1)
        if self.broker_up() and self.happens("outage"):
            self.broker_back_at = self.now + timedelta(seconds=self.rng.choice((1, 30, 300)))
            self.note(f"no broker until {self.broker_back_at:%H:%M:%S}")
        enabled = self.enabled()
        if enabled and self.rng.random() > 0.02:
            self.rng.choice(enabled)()
            return True
        if enabled:
            self.now += timedelta(milliseconds=self.rng.randint(1, 2000))
            self._judge()
            return True
        if self._judge():
            return True
        self.operator.schedule_discard()
        moment = min((at for at in self._moments() if at > self.now), default=None)
        if moment is None:
            return False
        self.now = moment
        return True

    def _judge(self) -> bool:
        emitted = [monitor.emit_due() for monitor in self.monitors]
        return any(emitted)

    def _moments(self) -> list[datetime]:
        moments = [item.at for item in self.later[:1]]
        for node in self.nodes.values():
            moments += [at for process in node.processes for at in process.moments()]
        for monitor in self.monitors:
            moments += monitor.moments()
        return [*moments, self.broker_back_at]

    def run(self, faulty_steps: int, most_steps: int) -> None:
        """Run with faults for a while, then without, until nothing is left to do.

        Raises RuntimeError when work is left after `most_steps` steps or `PATIENCE`.
        """
        while self.step() and not self.found():
            if self.steps == faulty_steps or (self.faulty and self.now > START + FAULTY):
                self.faulty = False
                self.fault_rates = FaultRates()
                self.outside.trouble = 0.0
                self.note("the faults end")
            if self.steps > most_steps or self.now > START + PATIENCE:
                raise RuntimeError(f"no rest after {self.steps} steps, at {self.now}")
