"""Simulates one participant with its database, its processes and its relay."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from saga_lab.simulation.log import Place
from saga_lab.simulation.operator import OperatorReader
from saga_lab.simulation.ports import WorldPort
from saga_lab.simulation.process import SimulatedProcess
from sagakit.handling.handler import Handler
from sagakit.messages.envelope import EffectRow, OutboxRow
from sagakit.store.memory import MemoryDatabase
from sagakit.store.ports import Participant, Store

REMOVES = 0.3
"""How often a relay removes published rows while others wait."""
BLOCK = 1_000
"""Row ids reserved for one of two interleaved transactions."""
NEVER = datetime.max.replace(tzinfo=UTC)


class Node:
    """Runs one participant, whose processes share the database and the stored offsets.

    The first process has the leading relay. It publishes what that process commits from memory, and
    reads the table (`reads_table`) for rows of others and after a failure. `published`: ids of rows
    published and not yet removed.
    `touched`: the participant did something since `possible` was last worked out. `refused`: ids of
    outbox rows that the broker refuses at the moment. `astray`: an invariant that `check` found
    broken.
    """

    def __init__(
        self, world: WorldPort, participant: Participant[Any], store: Store[Any], processes: int = 1
    ) -> None:
        self.world = world
        self.name = participant.name
        self.participant = replace(participant, store=store)
        self.database = MemoryDatabase(store, world.now)
        self.codec = OperatorReader(self)
        self.committed: dict[Place, int] = {}
        self.refused: set[int] = set()
        self.published: set[int] = set()
        self.reads_table = True
        self.astray = ""
        self.touched = True
        self._around: object = None
        self._known_until = world.now
        self._possible: list[Callable[[], None]] = []
        most = world.fault_rates.skew_s
        self.processes = [
            SimulatedProcess(self, n + 1, timedelta(seconds=world.rng.uniform(-most, most)))
            for n in range(processes)
        ]
        world.rollout.begin(self)

    @property
    def handler(self) -> Handler[Any]:
        """The handler of the first process."""
        return self.processes[0].handler

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that the first process consumes."""
        return self.processes[0].topics

    @property
    def crashes(self) -> int:
        """The number of crashes of all its processes."""
        return sum(process.crashes for process in self.processes)

    def possible(self, around: object) -> list[Callable[[], None]]:
        """Return everything the participant could do next.

        The list is kept, and worked out again when the participant was `touched`, when `around`
        changed, or when something that had to wait is due.
        """
        now = self.world.now
        if self.touched or around != self._around or now >= self._known_until:
            self.touched, self._around, self._possible = False, around, list(self._choices())
            moments = (at for process in self.processes for at in process.moments())
            self._known_until = min((at for at in moments if at > now), default=NEVER)
        return self._possible

    def _choices(self) -> Iterator[Callable[[], None]]:
        for process in self.processes:
            yield from (partial(process.survive, work) for work in process.possible())
        if self.overlapping():
            yield self.overlap
        first = self.processes[0]
        if self.world.broker_up() and first.awake() and self.unpublished():
            yield partial(first.survive, self.relay)

    def due_effects(self) -> list[EffectRow]:
        """Return the pending effects that are due and not leased, by the first process's clock."""
        return self.processes[0].due_effects()

    def perform(self) -> None:
        """Have the first process claim some effects, call the outside world, store the outcomes."""
        self.processes[0].claim()

    def ask(self, row: EffectRow) -> Any:
        """Call the outside world for an effect. Raises EffectFailed when the answer is unknown."""
        return self.world.outside.perform(row.effect)

    # --- the relay --------------------------------------------------------------------------------

    def unpublished(self) -> list[OutboxRow]:
        """Return the outbox in id order, never from `id > cursor`: lower ids may commit later."""
        rows = sorted(self.database.tables.outbox.items())
        done = self.refused | self.published
        return [row for number, row in rows if number not in done]

    def next_rows(self) -> list[OutboxRow]:
        """Return the rows to be published next, from memory unless the table may hold others."""
        most, commits = self.world.rng.randint(1, 6), self.processes[0].commits
        rows = None if self.reads_table else commits.take(most)
        if rows is None:
            commits.leave_to_table()
            waiting = self.unpublished()
            rows, self.reads_table = waiting[:most], len(waiting) > most
        elif not rows:
            self.reads_table = True
        return rows

    def relay(self) -> None:
        """Publish the next rows; sometimes remove those published.

        A crash in between publishes them again.
        """
        rows = self.next_rows()
        if rows and self.world.happens("disorder"):
            self._refuse(rows.pop(0))
        for row in rows:
            self.publish(row)
            self.published.add(row.id)
            self.processes[0].fault("mid-relay")
            if self.world.happens("repeat"):
                self.forget_relay()
                return
        if not self.unpublished() or self.world.rng.random() < REMOVES:
            for row in [self.database.tables.outbox[number] for number in self.published]:
                self.remove(row)
        if self.world.happens("stale"):
            late = timedelta(seconds=self.world.rng.choice((1, 60, 7200)))
            self.world.after(late, lambda: self._publish_again(rows))

    def publish(self, row: OutboxRow) -> None:
        """Append a row to the log."""
        self.world.log.append(row, self.world.now)

    def remove(self, row: OutboxRow) -> None:
        """Remove a published row from the outbox."""
        del self.database.tables.outbox[row.id]
        self.published.discard(row.id)

    def forget_relay(self) -> None:
        """Have another relay lead, or the same one again: it knows nothing of the rows."""
        self.published.clear()
        self.reads_table = True

    def notify(self) -> None:
        """Tell the relay of rows in the table that its process has not committed."""
        self.reads_table = True

    def _refuse(self, row: OutboxRow) -> None:
        """Have the broker refuse a row for a moment, while the rows behind it are published."""
        self.world.note(f"{self.name} publishes past a refused row", {row.saga})
        self.refused.add(row.id)
        pause = timedelta(seconds=self.world.rng.choice((1, 10)))
        self.world.after(pause, lambda: self._accept(row))

    def _accept(self, row: OutboxRow) -> None:
        self.refused.discard(row.id)
        self.touched = self.reads_table = True

    def _publish_again(self, rows: list[OutboxRow]) -> None:
        self.world.note(f"{self.name}'s former leader publishes again", {r.saga for r in rows})
        for row in rows:
            self.world.log.append(row, self.world.now)

    # --- two transactions at once -----------------------------------------------------------------

    def overlapping(self) -> bool:
        """Return whether there are several processes and all have something to handle."""
        return len(self.processes) > 1 and all(p.has_work() for p in self.processes)

    def overlap(self) -> None:
        """Handle two batches at once when they share no saga.

        Only those overlap for real: batches of one saga wait for each other's row locks.
        """
        first, second = self.world.rng.sample(self.processes, 2)
        for process in (first, second):
            if not process.batch:
                process.survive(process.take)
        if first.holds().isdisjoint(second.holds()):
            self.run_concurrently(first, first.handle, second)

    def visit(self, process: SimulatedProcess, key: str, work: Callable[[], None]) -> None:
        """Run a request from outside, perhaps while a batch of other sagas is handled."""
        busy = self.world.rng.choice(self.processes)
        if busy.has_work() and not busy.batch:
            busy.survive(busy.take)
        if busy.awake() and busy.batch and key not in busy.holds():
            self.run_concurrently(process, work, busy)
        else:
            process.survive(work)

    def run_concurrently(
        self, first: SimulatedProcess, work: Callable[[], None], second: SimulatedProcess
    ) -> None:
        """Interleave two transactions: `first` begins first and commits last.

        So `first` takes the lower row ids, and the relay may already have published higher ones.
        """
        low = self.database.tables.next_id
        self.database.tables.next_id += BLOCK
        second.survive(second.handle)
        if self.world.broker_up() and self.world.rng.random() < 0.5:
            self.processes[0].survive(self.relay)
        high = self.database.tables.next_id
        self.database.tables.next_id = low
        first.survive(work)
        assert self.database.tables.next_id <= low + BLOCK
        self.database.tables.next_id = high

    def check(self) -> None:
        """Record in `astray` when an invariant that holds at any moment is broken.

        The application judges the store, and the keys in flight are those of the pending effects.
        """
        self.astray = self.world.wrong_store(self.name, self.participant.store) or self.astray
        inbox_rows = self.database.tables.inbox_rows.values()
        flying = {(row.key, key) for row in inbox_rows for key in row.in_flight}
        pending = self.database.tables.effects.keys()
        if flying != pending and not self.astray:
            self.astray = f"{self.name}: {sorted(flying)} in flight, {sorted(pending)} pending"

    def state(self, key: str) -> Any:
        """Return the committed state of a saga."""
        inbox_row = self.database.tables.inbox_rows.get(key)
        state = self.participant.store.load(None, {key: []}).get(key)  # type: ignore[arg-type]
        return replace(state, in_flight=frozenset(inbox_row.in_flight if inbox_row else ()))
