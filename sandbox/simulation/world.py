"""Log, participants, monitor and a scheduler that decides, from the seed, who goes next."""

import random
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from saga_monitor.deadlines import judge
from saga_monitor.fold import Saga, fold
from saga_monitor.projection import fact_of
from saga_monitor.reading import view
from saga_monitor.view import SagaView
from sagakit.codec import Codec
from sagakit.decision import Callback, Outcome, Verdict
from sagakit.errors import EffectFailed
from sagakit.faults import Crash
from sagakit.handler import Handler, incoming
from sagakit.memory import MemoryDatabase
from sagakit.message import NAMESPACE, EffectRow, Envelope, Message, OutboxRow, Record, Trace
from sagakit.ports import Participant, Store
from sagakit.retry import Backoff
from sagakit.routing import Router, topic, topics_of
from sandbox.simulation.outside import Outside
from schemas import CONTRACT, FLOWS, OWNERS

PARTITIONS = 2
START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=15)
TOPICS = tuple(sorted({topic(owner) for owner in OWNERS.values()}))
CODEC = Codec(CONTRACT)


class Log:
    """Topics with partitions; append only; time stamped by the broker."""

    def __init__(self) -> None:
        self.partitions: dict[tuple[str, int], list[Record]] = {
            (name, p): [] for name in TOPICS for p in range(PARTITIONS)
        }

    def append(self, row: OutboxRow, now: datetime) -> None:
        """At the end of the key's partition. Rows for other topics (dead letters) are let go."""
        place = (row.topic, zlib.crc32(row.key.encode()) % PARTITIONS)
        if place not in self.partitions:
            return
        queue = self.partitions[place]
        at = int((now - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
        queue.append(Record(*place, len(queue), at, row.key.encode(), row.value, row.headers))

    def records(self) -> list[Record]:
        """Everything, partition by partition."""
        return [r for queue in self.partitions.values() for r in queue]


@dataclass
class Chances:
    """How likely what is, drawn per seed; all zero when the faults are off."""

    crash: float = 0.0
    trouble: float = 0.0
    repeat: float = 0.0
    forget: float = 0.0

    @classmethod
    def draw(cls, rng: random.Random) -> "Chances":
        """Some runs are calm, some are hell."""
        return cls(*(rng.choice((0.0, 0.02, 0.1, 0.3)) for _ in range(4)))


class Node:
    """One participant: database, positions, and deaths."""

    def __init__(self, world: "World", participant: Participant[Any], store: Store[Any]) -> None:
        self.world = world
        self.name = participant.name
        self.participant = replace(participant, store=store)
        self.database = MemoryDatabase(store, world.now)
        self.handler = Handler(
            self.participant,
            self.database,
            Router(FLOWS, self.name),
            CODEC,
            lambda: world.now,
            faults=self._fault,
        )
        self.topics = topics_of(FLOWS, self.name)
        self.positions: dict[tuple[str, int], int] = defaultdict(int)
        self.committed: dict[tuple[str, int], int] = {}
        self.crashes = 0

    def _fault(self, point: str) -> None:
        if self.world.rng.random() < self.world.chances.crash:
            raise Crash(point)

    def survive(self, work: Callable[[], None]) -> None:
        """Do something; where the process dies over it, start it again from what it had said."""
        self.database.now = self.world.now
        try:
            work()
        except Crash:
            self.crashes += 1
            self.positions = defaultdict(int, self.committed)

    def unread(self) -> list[tuple[str, int]]:
        """Partitions with something to read."""
        partitions = self.world.log.partitions
        return [
            place
            for place, queue in partitions.items()
            if place[0] in self.topics and self.positions[place] < len(queue)
        ]

    def consume(self) -> None:
        """A micro-batch from one or more partitions, in any interleaving of them."""
        rng = self.world.rng
        places = rng.sample(unread := self.unread(), rng.randint(1, len(unread)))
        batch: list[Record] = []
        ends = dict(self.positions)
        for _ in range(rng.randint(1, 12)):
            place = rng.choice(places)
            queue = self.world.log.partitions[place]
            if ends.get(place, 0) < len(queue):
                batch.append(queue[ends.get(place, 0)])
                ends[place] = ends.get(place, 0) + 1
        if not batch:
            return
        self._fault("after-poll")
        self.handler.handle([incoming(CODEC, record) for record in batch])
        self.positions.update(ends)
        if rng.random() >= self.world.chances.forget:
            self.committed = dict(self.positions)

    def relay(self) -> None:
        """Publish the first rows in id order; dying in the middle publishes them again."""
        rng, outbox = self.world.rng, self.database.tables.outbox
        rows = sorted(outbox.items())[: rng.randint(1, 6)]
        for number, row in rows:
            self.world.log.append(row, self.world.now)
            self._fault("mid-relay")
            if rng.random() >= self.world.chances.repeat:
                del outbox[number]
            else:
                return

    def due_effects(self) -> list[EffectRow]:
        """Pending effects nobody holds."""
        now = self.world.now
        pending = self.database.tables.effects.values()
        return [p.row for p in pending if p.due_at <= now and p.lease_until <= now]

    def perform(self) -> None:
        """Claim some effects, call the outside world, store the outcomes."""
        rng, world = self.world.rng, self.world
        for row in self.database.claim(rng.randint(1, 4), LEASE, world.now):
            assert row.lease is not None
            try:
                result = world.outside.perform(row.effect)
            except EffectFailed as error:
                due = world.now + Backoff().after(row.attempts, rng)
                self.database.retry(row.lease, str(error), due)
                continue
            self._fault("after-call")
            outcome = Outcome(row.effect, result)
            message = Message(
                uuid5(row.id, "outcome"),
                row.order_key,
                trace=row.trace,
                trigger=outcome,
                lease=row.lease,
            )
            self.handler.handle([message])

    def state(self, key: str) -> Any:
        """The committed state of an order."""
        account = self.database.tables.accounts.get(key)
        state = self.participant.store.load(None, {key: []}).get(key)  # type: ignore[arg-type]
        return replace(state, in_flight=frozenset(account.in_flight if account else ()))


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


class Monitor:
    """Folds the log and asks for compensation; judges only what it has read to the end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sagas: dict[str, Saga] = {}
        self.positions: dict[tuple[str, int], int] = defaultdict(int)
        self.emitted = 0
        self.views: dict[str, SagaView | None] = {}

    def behind(self) -> list[tuple[str, int]]:
        """Partitions with something to read."""
        partitions = self.world.log.partitions.items()
        return [place for place, queue in partitions if self.positions[place] < len(queue)]

    def read(self) -> None:
        """Some records of one partition."""
        place = self.world.rng.choice(self.behind())
        queue = self.world.log.partitions[place]
        for record in queue[self.positions[place] :][: self.world.rng.randint(1, 20)]:
            self.positions[place] += 1
            fact = fact_of(CODEC.decode(record))
            key = (record.key or b"").decode()
            self.sagas[key] = fold(self.sagas.get(key, Saga(key)), fact)
            self.views.pop(key, None)

    def view(self, order_id: str) -> SagaView | None:
        """The saga in the words of its flow; None for what is no saga (stock)."""
        if order_id not in self.views:
            saga = self.sagas.get(order_id, Saga(order_id))
            flow, version = FLOWS.find(saga.flow)
            seen = view(saga, flow, version) if not order_id.startswith("sku:") else None
            self.views[order_id] = seen
        return self.views[order_id]

    def judge(self) -> bool:
        """What has truly passed; True where something was said."""
        if self.behind():
            return False
        said = False
        for order_id, saga in list(self.sagas.items()):
            seen = self.view(order_id)
            for emission in judge(saga, seen, self.world.now) if seen else ():
                envelope = Envelope(
                    emission.id,
                    order_id,
                    "saga_monitor",
                    None,
                    self.world.now,
                    emission.event,
                    emission.cause,
                    Trace(saga.flow),
                )
                self.world.log.append(CODEC.encode(envelope), self.world.now)
                self.emitted += 1
                said = True
        return said

    def moments(self) -> list[datetime]:
        """When the next deadlines pass."""
        found = []
        for order_id in self.sagas:
            seen = self.view(order_id)
            if seen and seen.next and seen.next.due:
                found.append(seen.next.due + timedelta(milliseconds=1))
        return found
