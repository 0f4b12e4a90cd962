"""Injects bad records and simulates the operator who unblocks the sagas parked behind them."""

from collections.abc import Iterator
from datetime import timedelta

from saga_lab.simulation.log import GARBAGE
from saga_lab.simulation.ports import NodePort, WorldPort
from saga_lab.simulation.simulated_monitor import encode_emission
from saga_monitor.saga.commands import CommandRefused, PauseCommand, resume_saga
from saga_monitor.saga.facts import Saga
from sagakit.errors import Undecodable, UnknownFlow
from sagakit.identity import split_key
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, OutboxRow, ParkedRow, Record

A_WHILE_S = (1, 60, 3600)
LOOKS_AGAIN = timedelta(minutes=10)


class OperatorReader(Codec):
    """Decodes records for one participant, through the log, which decodes each record once.

    Raises Undecodable for sagas in `Operator.unknown`: their events are too new for the
    participant's running version; and what the schema registry makes it raise.
    """

    def __init__(self, node: NodePort) -> None:
        self.__dict__.update(node.world.codec.__dict__)
        self._node = node

    def decode(self, record: Record) -> Envelope:
        """Decode a record, see `Codec`."""
        envelope = self._node.world.log.read(record)
        self._node.world.registry.check(self._node.name, envelope.key)
        if (self._node.name, envelope.key) in self._node.world.operator.unknown:
            raise Undecodable(
                f"{envelope.event.type} is of a later version; redrive after the update"
            )
        return envelope


class Operator:
    """Injects bad records, redrives parked ones and resumes paused sagas.

    `unknown`: (participant, saga id) pairs; the participant's running version cannot decode any
    event of that saga.
    """

    def __init__(self, world: WorldPort) -> None:
        self.world = world
        self.unknown: set[tuple[str, str]] = set()
        self._called = False

    def maybe_inject_bad_record(self, saga: str) -> None:
        """Send an unreadable record for a saga if the `poison` fault hits."""
        if self.world.happens("poison"):
            self.inject_bad_record(saga)

    def inject_bad_record(self, saga: str) -> None:
        """Put garbage under a saga's key, or make a participant too old for its events.

        During an outage, try again a second later.
        """
        world = self.world
        if not world.broker_up():
            world.after(timedelta(seconds=1), lambda: self.inject_bad_record(saga))
        elif world.rng.random() < 0.5:
            world.note(f"garbage under the key of {saga}", {saga})
            world.log.append(
                OutboxRow(world.rng.choice(world.log.topics), split_key(saga)[1], (), GARBAGE),
                world.now,
            )
        else:
            node = world.nodes[world.rng.choice(sorted(world.nodes))]
            world.note(f"{node.name} is too old for what comes of {saga}", {saga})
            self.unknown.add((node.name, saga))
            world.after(self._a_while(), lambda: self.update(node, saga))

    def update(self, node: NodePort, saga: str) -> None:
        """Let a participant decode the events of a saga, and redrive those it parked."""
        self.world.note(f"{node.name} is updated, {saga} redriven", {saga})
        self.unknown.discard((node.name, saga))
        process = node.processes[0]
        process.survive(lambda: process.redrive(saga))

    def schedule_redrive(self, node: NodePort) -> None:
        """Schedule the redrive of records that were parked for an unknown flow version.

        Called once all processes of the participant have today's flow file.
        """
        self.world.after(self._a_while(), lambda: self._redrive_unknown(node))

    def _redrive_unknown(self, node: NodePort) -> None:
        parked = node.database.tables.parked.values()
        for key in sorted({row.key for row in parked if row.code == UnknownFlow.code}):
            self.world.note(f"{node.name} has its new flow file, {key} redriven", {key})
            process = self.world.rng.choice(node.processes)
            process.survive(lambda p=process, k=key: p.redrive(k))  # type: ignore[misc]

    def resume(self, saga: str) -> None:
        """Resume a paused saga through a monitor.

        Try again after `LOOKS_AGAIN` while there is no monitor, or it refuses because it has not
        read the pause yet.
        """
        try:
            resuming = self._resuming(saga)
        except CommandRefused:
            resuming = None
        if resuming is None:
            self.world.after(LOOKS_AGAIN, lambda: self.resume(saga))
        else:
            self.world.send(resuming)

    def _resuming(self, saga: str) -> OutboxRow | None:
        """Return the first monitor's resume event, if there is one. Raises CommandRefused."""
        for monitor in self.world.monitors:
            known, seen = monitor.sagas.get(saga, Saga(saga)), monitor.view(saga)
            body = PauseCommand(saga=saga, actor="ada", reason="answered")
            return encode_emission(
                self.world.codec, resume_saga(body, known, seen), known, self.world.now
            )
        return None

    def schedule_discard(self) -> None:
        """Schedule `discard` if garbage is parked.

        The check is made again later: a record read again after a crash is parked again.
        """
        if not self._called and any(self._garbage()):
            self._called = True
            self.world.after(self._a_while(), self.discard)

    def discard(self) -> None:
        """Delete parked garbage and redrive the records parked behind it."""
        self._called = False
        for node, row in list(self._garbage()):
            self.world.note(f"the operator discards what {node.name} parked", {row.key})
            node.database.tables.parked.pop(row.id, None)
            process, key = node.processes[0], row.key
            process.survive(lambda p=process, k=key: p.redrive(k))  # type: ignore[misc]

    def _garbage(self) -> Iterator[tuple[NodePort, ParkedRow]]:
        for node in self.world.nodes.values():
            for row in node.database.tables.parked.values():
                if row.record.value == GARBAGE:
                    yield node, row

    def _a_while(self) -> timedelta:
        return timedelta(seconds=self.world.rng.choice(A_WHILE_S))
