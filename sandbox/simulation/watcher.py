"""The monitor of a simulated world: folds the log, and asks for compensation."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from saga_monitor.deadlines import judge
from saga_monitor.fold import Saga, fold
from saga_monitor.projection import fact_of
from saga_monitor.reading import view
from saga_monitor.view import SagaView
from sagakit.message import Envelope, Trace
from sandbox.simulation.node import CODEC
from schemas import FLOWS

if TYPE_CHECKING:
    from sandbox.simulation.world import World


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
