"""Simulates a release: processes that know only older flow versions get the new ones.

They are updated one by one at moments drawn from the seed, while sagas of all versions are in
flight.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache

from saga_lab.simulation.ports import NodePort, ProcessPort, WorldPort
from sagakit.flow.model import Flows

WITHIN_S = (1, 20, 120, 3600)
"""Choices, in seconds, for how long a release takes from the first process to the last."""
REFUSED = timedelta(seconds=20)
"""Delay before a request is repeated that was refused for an unknown flow version."""


@cache
def without_newer_versions(flows: Flows, newest: int) -> Flows:
    """Return the flow files without the versions above `newest`."""
    return Flows(
        *(
            replace(flow, versions={v: p for v, p in flow.versions.items() if v <= newest})
            for flow in flows
        )
    )


def releases(flows: Flows) -> Sequence[int]:
    """Return the possible newest versions before a release; the default versions stay included."""
    versions = sorted({v for flow in flows for v in flow.versions})
    oldest = max(flow.default_version for flow in flows)
    return [v for v in versions[:-1] if v >= oldest]


class Rollout:
    """Updates processes. `before`: the flow files until then; None: there is no release."""

    def __init__(self, world: WorldPort, seed: str) -> None:
        self.world = world
        self._rng = random.Random(seed)
        self._within_s = self._rng.choice(WITHIN_S)
        possible = releases(world.flows)
        self.before: Flows | None = None
        if possible and world.fault_rates.switch:
            self.before = without_newer_versions(world.flows, self._rng.choice(possible))

    def begin(self, node: NodePort) -> None:
        """Schedule the update of each process of a participant."""
        if self.before is None:
            return
        for process in node.processes:
            moment = timedelta(seconds=self._rng.uniform(0, self._within_s))
            self.world.after(moment, lambda p=process: self._update(p))  # type: ignore[misc]

    def _update(self, process: ProcessPort) -> None:
        """Restart a process with the new flow file.

        After the last process of a participant, the operator redrives what the old ones parked.
        """
        world, node = self.world, process.node
        world.hits["switch"] += 1
        world.note(f"{process.name} starts with the new flow file", process.keys())
        process.start(world.flows)
        if all(p.flows is world.flows for p in node.processes):
            world.operator.schedule_redrive(node)
