"""Simulates the saga monitor: it folds the log and emits events behind the real gate."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from saga_lab.simulation.log import Place, partition_of
from saga_lab.simulation.ports import WorldPort
from saga_monitor.ingest.projection import balances_of, fact_of
from saga_monitor.ingest.watermark import Tick, Watermark
from saga_monitor.saga.deadlines import Emission, due_emissions
from saga_monitor.saga.facts import SOURCE, Saga, fold, log_time, unix_ms
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import SagaView
from sagakit.flow.model import Flows
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, OutboxRow, Trace

ECHO = timedelta(seconds=30)
"""Log time to read an emission back before it is emitted again, as in `deadline_watch`."""
PAUSES_S = (20, 100, 1000, 100_000)


def view_of(saga: Saga, flows: Flows) -> SagaView:
    """Return the saga in the words of its flow."""
    flow, version = flows.find(saga.flow, *(fact.type for fact in saga.facts.values()))
    return interpret(saga, _plans(flows)[flow.label(version)])


def encode_emission(codec: Codec, emission: Emission, saga: Saga, now: datetime) -> OutboxRow:
    """Encode a monitor's emission as the row to publish."""
    trace = Trace(saga.flow)
    return codec.encode(
        Envelope(emission.id, saga.key, SOURCE, None, now, emission.event, emission.cause, trace)
    )


@cache
def _plans(flows: Flows) -> dict[str, Plan]:
    return {flow.label(v): Plan.of(flow, v) for flow in flows for v in flow.versions}


@dataclass(frozen=True, slots=True)
class Waits:
    """Records that a saga waits for something.

    `due`: the deadline of the step it waits for, or when an intervention that the flow declares is
    due. `speaks_at`: when the monitor next emits an event for it, which may be sooner.
    """

    seen: SagaView
    due: datetime
    speaks_at: datetime

    def due_of(self, emission: Emission) -> datetime:
        """Return when an emission was due: an intervention about an event or a balance has its own
        time."""
        own = {one.id: one.fact.at for one in self.seen.needed}
        own |= {one.id: one.due for one in self.seen.imbalances}
        return own.get(emission.id, self.due)


class SimulatedMonitor:
    """Folds the log into sagas and emits events for overdue ones.

    Facts and positions survive a crash, the gate does not. It keeps judging while its reading is
    paused.
    """

    def __init__(self, world: WorldPort) -> None:
        self.world = world
        self.sagas: dict[str, Saga] = {}
        self.positions: dict[Place, int] = defaultdict(int)
        self.watermark = Watermark()
        self.reads_from = world.now
        self._quiet: dict[str, datetime] = {}
        self._read = 0
        self._fresh: dict[str, None] = {}
        self._waits: dict[str, Waits | None] = {}
        self.emissions: list[tuple[str, Emission, datetime]] = []
        """Saga key, emission, and the deadline that had passed."""
        self.views: dict[str, SagaView] = {}
        self._balances = balances_of(world.flows)

    @property
    def emitted(self) -> int:
        """The number of its emissions."""
        return len(self.emissions)

    def is_behind(self) -> bool:
        """Return whether it has records to read and is not paused."""
        return self._read < self.world.log.length and self.world.now >= self.reads_from

    def behind(self) -> list[Place]:
        """Return the partitions with records to read; none while its reading is paused."""
        if self.world.now < self.reads_from:
            return []
        partitions = self.world.log.partitions.items()
        return [place for place, queue in partitions if self.positions[place] < len(queue)]

    def read(self) -> None:
        """Read some records of one partition."""
        place = self.world.rng.choice(self.behind())
        queue = self.world.log.partitions[place]
        for record in queue[self.positions[place] :][: self.world.rng.randint(1, 20)]:
            self.positions[place] += 1
            self._read += 1
            envelope = self.world.log.envelope(record)
            if envelope is None or envelope.event.saga_id_field is None:
                continue
            key = envelope.key
            self.sagas[key] = fold(
                self.sagas.get(key, Saga(key)), fact_of(envelope, self._balances)
            )
            self.views.pop(key, None)
            self._fresh[key] = None
        if self.world.happens("crash"):
            self.watermark = Watermark()
        if self.world.happens("pause"):
            self.reads_from = self.world.now + timedelta(seconds=self.world.rng.choice(PAUSES_S))
            self.world.note(f"a monitor reads nothing until {self.reads_from:%d %H:%M:%S}")

    def view(self, key: str) -> SagaView:
        """Return the saga of a key in the words of its flow."""
        if key not in self.views:
            self.views[key] = view_of(self.sagas.get(key, Saga(key)), self.world.flows)
        return self.views[key]

    def emit_due(self) -> bool:
        """Emit the events that are overdue in log time; return whether there were any."""
        if not self.world.broker_up():
            return False
        now = log_time(unix_ms(self.world.now))  # log-append time is in milliseconds
        tick = Tick(now, self.world.log.ends())
        self.watermark = self.watermark.after(tick, self.positions)
        emitted = False
        for key, waits in self._waiting().items():
            if waits is None or waits.speaks_at >= now:
                continue
            saga = self.sagas[key]
            through = self.watermark.of_saga(saga.id, partition_of(saga.id))
            if through is None or through < self._quiet.get(key, through):
                continue
            for emission in due_emissions(saga, waits.seen, through):
                self._quiet[key] = through + ECHO
                self._say(saga, emission, waits.due_of(emission))
                emitted = True
        return emitted

    def _say(self, saga: Saga, emission: Emission, due: datetime) -> None:
        self.emissions.append((saga.key, emission, due))
        self.world.log.append(
            encode_emission(self.world.codec, emission, saga, self.world.now), self.world.now
        )

    def moments(self) -> list[datetime]:
        """Return when reading resumes and when the next deadlines pass."""
        found = [self.reads_from]
        for key, waits in self._waiting().items():
            if waits:
                due = max(waits.due, self._quiet.get(key, waits.due))
                found.append(due + timedelta(milliseconds=1))
        return found

    def _waiting(self) -> dict[str, Waits | None]:
        """Return what each saga waits for, in the order in which the sagas were first read."""
        for key in self._fresh:
            seen = self.view(key)
            due, speaks_at = seen.next and seen.next.due, seen.due
            if due is None and seen.needed:
                due = speaks_at
            waits = due and speaks_at and Waits(seen, due, speaks_at)
            self._waits[key] = waits or None
        self._fresh.clear()
        return self._waits
