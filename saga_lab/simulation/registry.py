"""Simulates a schema registry in trouble: it does not answer, or does not have a schema yet."""

from datetime import timedelta

from saga_lab.simulation.ports import NodePort, WorldPort
from sagakit.errors import RegistryUnavailable, UnregisteredSchema
from sagakit.handling.auto_redrive import CODES

A_WHILE_S = (1, 60, 1800)


class SimulatedRegistry:
    """Fails for one participant that meets a saga's events, each with a schema new to it.

    `silent` and `lacking`: (participant, saga) pairs for which it gives no answer, or says that it
    does not have the schema.
    """

    def __init__(self, world: WorldPort) -> None:
        self.world = world
        self.silent: set[tuple[str, str]] = set()
        self.lacking: set[tuple[str, str]] = set()

    def maybe_fail(self, saga: str) -> None:
        """Fail for a participant and a saga for a while if the `registry` fault hits."""
        world = self.world
        if not world.happens("registry"):
            return
        node = world.nodes[world.rng.choice(sorted(world.nodes))]
        fails, how = world.rng.choice(((self.silent, "is silent"), (self.lacking, "lacks it")))
        world.note(f"{node.name} asks for a schema of {saga}, and the registry {how}", {saga})
        fails.add((node.name, saga))
        world.after(
            timedelta(seconds=world.rng.choice(A_WHILE_S)), lambda: self._recover(node, saga)
        )

    def check(self, participant: str, saga: str) -> None:
        """Answer a participant. Raises RegistryUnavailable and UnregisteredSchema."""
        if (participant, saga) in self.silent:
            raise RegistryUnavailable("503")
        if (participant, saga) in self.lacking:
            raise UnregisteredSchema("404")

    def _recover(self, node: NodePort, saga: str) -> None:
        """Answer again, and redrive what automatic redrive would."""
        self.silent.discard((node.name, saga))
        self.lacking.discard((node.name, saga))
        parked = node.database.tables.parked.values()
        for key in sorted({row.key for row in parked if row.code in CODES}):
            process = self.world.rng.choice(node.processes)
            process.survive(lambda p=process, k=key: p.redrive(k))  # type: ignore[misc]
