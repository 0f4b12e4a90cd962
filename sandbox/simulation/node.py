"""One participant: its database, its processes, its relay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sagakit.handler import Handler
from sagakit.memory import MemoryDatabase
from sagakit.message import EffectRow, OutboxRow
from sagakit.ports import Participant, Store
from sagakit.routing import Router, topics_of
from sandbox.simulation.chances import Chances as Chances
from sandbox.simulation.log import CODEC as CODEC
from sandbox.simulation.log import PARTITIONS, Place
from sandbox.simulation.operator import Reader
from sandbox.simulation.process import Process
from schemas import FLOWS

BLOCK = 1_000
"""Row numbers a transaction may use up."""

if TYPE_CHECKING:
    from sandbox.simulation.world import World


class Node:
    """One participant. All its processes share the database and the stored offsets."""

    def __init__(
        self, world: World, participant: Participant[Any], store: Store[Any], processes: int = 1
    ) -> None:
        self.world = world
        self.name = participant.name
        self.participant = replace(participant, store=store)
        self.database = MemoryDatabase(store, world.now)
        self.router = Router(FLOWS, self.name)
        self.codec = Reader(self)
        self.topics = topics_of(FLOWS, self.name)
        self.places = [(name, p) for name in self.topics for p in range(PARTITIONS)]
        self.committed: dict[Place, int] = {}
        most = world.chances.skew_s
        self.processes = [
            Process(self, n + 1, timedelta(seconds=world.rng.uniform(-most, most)))
            for n in range(processes)
        ]

    @property
    def handler(self) -> Handler[Any]:
        """Of its first process."""
        return self.processes[0].handler

    @property
    def crashes(self) -> int:
        """Of all its processes."""
        return sum(process.crashes for process in self.processes)

    def due_effects(self) -> list[EffectRow]:
        """Pending effects nobody holds."""
        return self.processes[0].due_effects()

    def perform(self) -> None:
        """Claim some effects, call the outside world, store the outcomes."""
        self.processes[0].claim()

    def ask(self, row: EffectRow) -> Any:
        """The gateway. Raises EffectFailed where the answer is unknown."""
        return self.world.outside.perform(row.effect)

    # --- the relay --------------------------------------------------------------------------------

    def unpublished(self) -> list[OutboxRow]:
        """In id order; never `id > cursor`."""
        return [row for _, row in sorted(self.database.tables.outbox.items())]

    def relay(self) -> None:
        """Publish the first rows; dying in the middle publishes them again."""
        rows = self.unpublished()[: self.world.rng.randint(1, 6)]
        if len(rows) > 1 and self.world.happens("disorder"):
            self.world.note(f"{self.name} publishes past a refused row", {rows[0].key})
            rows = rows[1:]
        for row in rows:
            self.publish(row)
            self.processes[0].fault("mid-relay")
            if self.world.happens("repeat"):
                return
            self.remove(row)
        if self.world.happens("stale"):
            late = timedelta(seconds=self.world.rng.choice((1, 60, 7200)))
            self.world.after(late, lambda: self._publish_again(rows))

    def publish(self, row: OutboxRow) -> None:
        """To the log."""
        self.world.log.append(row, self.world.now)

    def remove(self, row: OutboxRow) -> None:
        """It is published."""
        del self.database.tables.outbox[row.id]

    def _publish_again(self, rows: list[OutboxRow]) -> None:
        self.world.note(f"{self.name}'s former leader publishes again", {r.key for r in rows})
        for row in rows:
            self.world.log.append(row, self.world.now)

    # --- two transactions at once -----------------------------------------------------------------

    def overlapping(self) -> bool:
        """Two processes hold batches of different orders: neither waits for the other's locks."""
        if len(self.processes) < 2:
            return False
        first, second = self.processes
        if not (first.batch and second.batch and first.awake() and second.awake()):
            return False
        return {r.key for r in first.batch}.isdisjoint(r.key for r in second.batch)

    def overlap(self) -> None:
        """The one that begins first takes the lower row numbers, and commits last."""
        first, second = self.world.rng.sample(self.processes, 2)
        low = self.database.tables.next_id
        self.database.tables.next_id += BLOCK
        second.survive(second.handle)
        if self.world.broker_up() and self.world.rng.random() < 0.5:
            second.survive(self.relay)
        high = self.database.tables.next_id
        self.database.tables.next_id = low
        first.survive(first.handle)
        assert self.database.tables.next_id <= low + BLOCK
        self.database.tables.next_id = high

    def state(self, key: str) -> Any:
        """The committed state of an order."""
        account = self.database.tables.accounts.get(key)
        state = self.participant.store.load(None, {key: []}).get(key)  # type: ignore[arg-type]
        return replace(state, in_flight=frozenset(account.in_flight if account else ()))
