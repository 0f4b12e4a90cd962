"""Simulates one running instance of a participant, with its own clock and crashes.

A crash loses the polled batch, the claimed effects, their answers and the positions in memory. The
database and the stored offsets survive.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid5

from saga_lab.simulation.log import PARTITIONS, Place
from saga_lab.simulation.ports import NodePort
from sagakit.decider import EffectResult
from sagakit.errors import EffectFailed, RegistryUnavailable, ResultPending, UnknownFlow
from sagakit.faults import Crash
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router, topics_of
from sagakit.handling.handler import Handler, decode_message
from sagakit.handling.parking import parking_key
from sagakit.messages.envelope import EffectRow, Message, Record
from sagakit.retry import PENDING_BACKOFF, RETRY_BACKOFF
from sagakit.store.commit_queue import CommitQueue
from sagakit.store.saga_cache import SagaCache

LEASE = timedelta(seconds=15)
REGISTRY_AGAIN = timedelta(seconds=20)
MOST_IN_HAND = 4
MOST_POLLED = 12


@cache
def _routes(flows: Flows, name: str) -> tuple[Router, tuple[str, ...]]:
    return Router(flows, name), topics_of(flows, name)


class SimulatedProcess:
    """Consumes, decides and performs effects, one step each time the scheduler picks it."""

    def __init__(self, node: NodePort, number: int, skew: timedelta) -> None:
        self.node, self.world = node, node.world
        self.name, self.leads = f"{node.name}/{number}", number == 1
        self.skew = skew
        self.crashes = 0
        self.positions: dict[Place, int] = defaultdict(int)
        self.start(self.world.rollout.before or self.world.flows)

    def start(self, flows: Flows) -> None:
        """Start with nothing in memory, from the stored offsets, on the given flow files."""
        node, self.flows = self.node, flows
        self.forget()
        self.router, self.topics = _routes(flows, node.name)
        self.handler: Handler[Any] = Handler(
            node.participant, node.database, self.router, node.codec, self.now, faults=self.fault
        )
        places = [(topic, p) for topic in self.topics for p in range(PARTITIONS)]
        self.queues = [(place, self.world.log.partitions[place]) for place in places]
        self.paused_until = self.world.now
        self.positions = defaultdict(int, node.committed)
        node.touched = True
        self._drop()

    def forget(self) -> None:
        """Lose what only memory holds: commits for the relay, and sagas."""
        self.commits, self.cache = CommitQueue(), SagaCache[Any]()
        if self.leads:
            self.node.forget_relay()
        else:
            self.commits.wake = self.node.notify

    def _drop(self) -> None:
        self.batch: list[Record] = []
        self.ends: dict[Place, int] = {}
        self.hands: list[EffectRow] = []
        self.answers: list[Message] = []

    def now(self) -> datetime:
        """Return the time of its own clock, which is off by `skew`."""
        return self.world.now + (self.skew if self.world.fault_rates.skew_s else timedelta())

    def knows(self, label: str | None) -> bool:
        """Return whether its flow files have a version; None names no version."""
        try:
            if label is not None:
                self.flows.find(label)
        except UnknownFlow:
            return False
        return True

    def awake(self) -> bool:
        """Return whether the process is not paused."""
        return self.world.now >= self.paused_until

    # --- crashing and stopping --------------------------------------------------------------------

    def fault(self, point: str) -> None:
        """Raise Crash if the `crash` fault hits at this point."""
        if self.world.happens("crash"):
            raise Crash(point)

    def survive(self, work: Callable[[], None]) -> None:
        """Run `work`; a crash in it restarts the process from the stored offsets.

        The process may then pause, as it does while the schema registry does not answer.
        """
        database = self.node.database
        database.now, database.commits, database.cache = self.now(), self.commits, self.cache
        try:
            work()
        except Crash as crash:
            self.crashes += 1
            self.world.note(f"{self.name} dies {crash}", self.keys())
            self.positions = defaultdict(int, self.node.committed)
            self.forget()
            self._drop()
        except RegistryUnavailable:
            self.paused_until = self.world.now + REGISTRY_AGAIN
            self.world.note(f"{self.name} waits for the schema registry", self.keys())
        self.node.touched = True
        self.node.check()
        if self.world.happens("pause"):
            pause = timedelta(seconds=self.world.rng.choice((1, 20, 60, 600)))
            self.paused_until = self.world.now + pause
            self.world.note(f"{self.name} stands still for {pause}", self.keys())

    def keys(self) -> set[str]:
        """Return the sagas of its batch, its claimed effects and its answers."""
        return self.holds() | {row.saga for row in self.hands} | {m.key for m in self.answers}

    # --- what it could do next --------------------------------------------------------------------

    def possible(self) -> list[Callable[[], None]]:
        """Return everything the process could do next."""
        if not self.awake():
            return []
        found: list[Callable[[], None]] = []
        if self.batch:
            found.append(self.handle)
        if self.world.broker_up() and len(self.batch) < MOST_POLLED and self.unread():
            found.append(self.poll)
        if len(self.hands) < MOST_IN_HAND and self.due_effects():
            found.append(self.claim)
        if self.hands:
            found.append(self.call)
        if self.answers:
            found.append(self.settle)
        return found

    def holds(self) -> set[str]:
        """Return the sagas of its batch."""
        return {self._saga(record) for record in self.batch}

    def _saga(self, record: Record) -> str:
        envelope = self.world.log.envelope(record)
        return envelope.key if envelope else parking_key(self.node.codec, record)

    def has_work(self) -> bool:
        """Return whether it is awake and has a batch to handle or records to poll."""
        return self.awake() and bool(self.batch or (self.world.broker_up() and self.unread()))

    def unread(self) -> list[Place]:
        """Return the partitions with records to read."""
        positions = self.positions
        return [place for place, queue in self.queues if positions[place] < len(queue)]

    def poll(self) -> None:
        """Poll a micro-batch and handle it now, or later if the `linger` fault hits."""
        self.take()
        if not self.world.happens("linger"):
            self.handle()

    def take(self) -> None:
        """Poll a micro-batch from one or more partitions, interleaved at random.

        Records polled before ride along: their offsets wait with them.
        """
        rng, log = self.world.rng, self.world.log
        places = rng.sample(unread := self.unread(), rng.randint(1, len(unread)))
        for _ in range(rng.randint(1, MOST_POLLED)):
            place = rng.choice(places)
            queue, at = log.partitions[place], self.ends.get(place, self.positions[place])
            if at < len(queue):
                self.batch.append(queue[at])
                self.ends[place] = at + 1
        self.fault("after-poll")

    def handle(self) -> None:
        """Handle the polled batch in one transaction; store its offsets unless `forget` hits."""
        self.handler.handle(self.messages())
        self.positions.update(self.ends)
        self.batch, self.ends = [], {}
        if not self.world.happens("forget"):
            self.node.committed |= self.positions

    def redrive(self, key: str) -> None:
        """Redrive the parked records of a saga, once the schema registry answers."""
        try:
            self.handler.redrive(key)
        except RegistryUnavailable:
            self.world.after(REGISTRY_AGAIN, lambda: self.survive(lambda: self.redrive(key)))

    def messages(self) -> list[Message]:
        """Return the polled batch as messages, decoded."""
        return [decode_message(self.node.codec, record) for record in self.batch]

    # --- effects ----------------------------------------------------------------------------------

    def due_effects(self) -> list[EffectRow]:
        """Return the pending effects that are due and not leased, by its clock."""
        pending = self.node.database.tables.effects.values()
        if not pending:
            return []
        now = self.now()
        return [p.row for p in pending if p.due_at <= now and p.lease_until <= now]

    def claim(self) -> None:
        """Claim some due effects and call them, now or later if the `linger` fault hits."""
        free = MOST_IN_HAND - len(self.hands)
        limit = self.world.rng.randint(1, free)
        self.hands += self.node.database.claim(limit, LEASE, self.now())
        while self.hands and not self.world.happens("linger"):
            self.call()

    def call(self) -> None:
        """Call the outside world for one effect; without an answer, retry it after a backoff."""
        row = self.hands.pop(0)
        assert row.lease is not None
        try:
            result = self.node.ask(row)
        except EffectFailed as error:
            backoff = PENDING_BACKOFF if isinstance(error, ResultPending) else RETRY_BACKOFF
            due = self.now() + backoff.after(row.attempts, self.world.rng)
            self.node.database.retry(row.lease, str(error), due)
            self.world.hits["trouble"] += 1
            self.world.note(f"{row.effect.key}: {error}", {row.saga})
            return
        self.fault("after-call")
        self.answers.append(
            Message(
                uuid5(row.id, "outcome"),
                row.saga,
                trace=row.trace,
                trigger=EffectResult(row.effect, result),
                lease=row.lease,
            )
        )
        if not self.world.happens("linger"):
            self.settle()

    def settle(self) -> None:
        """Handle one answer: its outcome and all it causes, in one transaction."""
        self.handler.handle([self.answers.pop(0)])

    def moments(self) -> list[datetime]:
        """Return when waiting work becomes possible, in the world's time."""
        if self.paused_until > self.world.now:
            return [self.paused_until]
        pending = self.node.database.tables.effects.values()
        if not pending:
            return []
        off = self.now() - self.world.now
        return [max(p.due_at, p.lease_until) - off for p in pending]
