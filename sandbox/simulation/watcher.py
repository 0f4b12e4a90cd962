"""A monitor of a simulated world: folds the log, asks for compensation through the real gate."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from saga_monitor.deadlines import Emission, judge
from saga_monitor.fold import Saga, fold
from saga_monitor.gate import Gate, Tick
from saga_monitor.projection import fact_of
from saga_monitor.reading import view
from saga_monitor.view import SagaView
from sagakit.message import Envelope, Trace
from sandbox.simulation.log import CODEC, Place, partition_of
from schemas import FLOWS

if TYPE_CHECKING:
    from sandbox.simulation.world import World

ECHO = timedelta(seconds=30)
"""As in `watch`: log time to read back what was said before it is said again."""
UNITS = tuple(flow.units for flow in FLOWS)
PAUSES_S = (20, 100, 1000, 100_000)


def read_as_its_flow(saga: Saga) -> SagaView | None:
    """The saga in the words of its flow; None for what is no saga (stock)."""
    if saga.order_id.startswith("sku:"):
        return None
    flow, version = FLOWS.find(saga.flow)
    return view(saga, flow, version)


class Monitor:
    """Facts and positions survive its death, the gate does not. It judges also while its reading
    stands still."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sagas: dict[str, Saga] = {}
        self.positions: dict[Place, int] = defaultdict(int)
        self.gate = Gate()
        self.reads_from = world.now
        self._quiet: dict[str, datetime] = {}
        self.said: list[tuple[Emission, datetime]] = []
        """What it emitted, and the deadline that had passed."""
        self.views: dict[str, SagaView | None] = {}

    @property
    def emitted(self) -> int:
        """How often it said something."""
        return len(self.said)

    def behind(self) -> list[Place]:
        """Partitions with something to read, unless its reading stands still."""
        if self.world.now < self.reads_from:
            return []
        partitions = self.world.log.partitions.items()
        return [place for place, queue in partitions if self.positions[place] < len(queue)]

    def read(self) -> None:
        """Some records of one partition."""
        place = self.world.rng.choice(self.behind())
        queue = self.world.log.partitions[place]
        for record in queue[self.positions[place] :][: self.world.rng.randint(1, 20)]:
            self.positions[place] += 1
            said = self.world.log.envelope(record)
            if said is None:
                continue
            key = (record.key or b"").decode()
            self.sagas[key] = fold(self.sagas.get(key, Saga(key)), fact_of(said, UNITS))
            self.views.pop(key, None)
        if self.world.happens("crash"):
            self.gate = Gate()
        if self.world.happens("pause"):
            self.reads_from = self.world.now + timedelta(seconds=self.world.rng.choice(PAUSES_S))
            self.world.note(f"a monitor reads nothing until {self.reads_from:%d %H:%M:%S}")

    def view(self, order_id: str) -> SagaView | None:
        """The saga in the words of its flow; None for what is no saga (stock)."""
        if order_id not in self.views:
            self.views[order_id] = read_as_its_flow(self.sagas.get(order_id, Saga(order_id)))
        return self.views[order_id]

    def judge(self) -> bool:
        """What has truly passed; True where something was said."""
        if not self.world.broker_up():
            return False
        tick = Tick(self.world.now, self.world.log.ends())
        self.gate = self.gate.after(tick, self.positions)
        said = False
        for order_id, saga in list(self.sagas.items()):
            seen = self.view(order_id)
            if seen is None or seen.next is None or seen.next.due is None:
                continue
            through = self.gate.of_order(order_id, partition_of(order_id))
            if through is None or through < self._quiet.get(order_id, through):
                continue
            for emission in judge(saga, seen, through):
                self._quiet[order_id] = through + ECHO
                self._say(saga, emission, seen.next.due)
                said = True
        return said

    def _say(self, saga: Saga, emission: Emission, due: datetime) -> None:
        self.said.append((emission, due))
        told = Envelope(
            emission.id,
            saga.order_id,
            "saga_monitor",
            None,
            self.world.now,
            emission.event,
            emission.cause,
            Trace(saga.flow),
        )
        self.world.log.append(CODEC.encode(told), self.world.now)

    def moments(self) -> list[datetime]:
        """When the next deadlines pass."""
        found = [self.reads_from]
        for order_id in self.sagas:
            seen = self.view(order_id)
            if seen and seen.next and seen.next.due:
                due = max(seen.next.due, self._quiet.get(order_id, seen.next.due))
                found.append(due + timedelta(milliseconds=1))
        return found
