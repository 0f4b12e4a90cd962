"""A release: new versions of a flow come to processes that know only the older ones, one process
after the other, at moments that the seed draws, while orders of all versions are in flight."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from sagakit.flow.model import Flows

if TYPE_CHECKING:
    from saga_lab.simulation.node import Node
    from saga_lab.simulation.process import Process
    from saga_lab.simulation.world import World

WITHIN_S = (1, 20, 120, 3600)
"""How long a release takes from the first process to the last."""
REFUSED = timedelta(seconds=20)
"""Who orders on a version that the front door does not know yet is refused, and comes again."""


@cache
def older(flows: Flows, newest: int) -> Flows:
    """The flow files before the versions above `newest` were written."""
    return Flows(
        *(
            replace(flow, versions={v: p for v, p in flow.versions.items() if v <= newest})
            for flow in flows
        )
    )


def releases(flows: Flows) -> Sequence[int]:
    """The newest versions there may have been before today's: each has every default version."""
    versions = sorted({v for flow in flows for v in flow.versions})
    oldest = max(flow.default_version for flow in flows)
    return [v for v in versions[:-1] if v >= oldest]


class Rollout:
    """`before`: what processes know until they are updated; None where there is no release."""

    def __init__(self, world: World, seed: str) -> None:
        self.world = world
        self._rng = random.Random(seed)
        self._within_s = self._rng.choice(WITHIN_S)
        possible = releases(world.flows)
        self.before: Flows | None = None
        if possible and world.chances.switch:
            self.before = older(world.flows, self._rng.choice(possible))

    def begin(self, node: Node) -> None:
        """Have the processes of a participant updated, each at its moment."""
        if self.before is None:
            return
        for process in node.processes:
            moment = timedelta(seconds=self._rng.uniform(0, self._within_s))
            self.world.after(moment, lambda p=process: self._update(p))  # type: ignore[misc]

    def _update(self, process: Process) -> None:
        """Stopped, and started with the new flow file. Behind the last process of a participant
        the operator has handled again what the old ones could not read."""
        world, node = self.world, process.node
        world.hits["switch"] += 1
        world.note(f"{process.name} starts with the new flow file", process.keys())
        process.start(world.flows)
        if all(p.flows is world.flows for p in node.processes):
            world.operator.updated(node)
