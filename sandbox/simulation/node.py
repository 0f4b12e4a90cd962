"""The log, and one participant with its database, its positions and its deaths."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from sagakit.codec import Codec
from sagakit.decision import Outcome
from sagakit.errors import EffectFailed
from sagakit.faults import Crash
from sagakit.handler import Handler, incoming
from sagakit.memory import MemoryDatabase
from sagakit.message import EffectRow, Message, OutboxRow, Record
from sagakit.ports import Participant, Store
from sagakit.retry import Backoff
from sagakit.routing import Router, topic, topics_of
from schemas import CONTRACT, FLOWS, OWNERS

PARTITIONS = 2
LEASE = timedelta(seconds=15)
TOPICS = tuple(sorted({topic(owner) for owner in OWNERS.values()}))
CODEC = Codec(CONTRACT)

if TYPE_CHECKING:
    from sandbox.simulation.world import World


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
    def draw(cls, rng: random.Random) -> Chances:
        """Some runs are calm, some are hell."""
        return cls(*(rng.choice((0.0, 0.02, 0.1, 0.3)) for _ in range(4)))


class Node:
    """One participant: database, positions, and deaths."""

    def __init__(self, world: World, participant: Participant[Any], store: Store[Any]) -> None:
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
