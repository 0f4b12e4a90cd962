"""Defines what an application offers for simulations: the `simulation` of its manifest."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from saga_lab.application import FILE_NAME, Application, ManifestError, resolve
from saga_lab.simulation.played_application import O, PlayedApplication
from saga_lab.simulation.world import World
from sagakit.flow.model import Flows
from sagakit.identity import flow_name, saga_key


class Story(Protocol):
    """Plans one saga.

    `place_after`: delay until it is placed. `poisoned_after`: delay from its placing until garbage
    arrives, if the `poison` fault hits.
    """

    @property
    def saga_id(self) -> str:
        """Return the saga's id."""
        ...

    @property
    def flow(self) -> str:
        """Return the label of the flow version that it runs on."""
        ...

    @property
    def place_after(self) -> timedelta:
        """See the class."""
        ...

    @property
    def poisoned_after(self) -> timedelta:
        """See the class."""
        ...


S = TypeVar("S", bound=Story)


def key_of(story: Story) -> str:
    """Return the saga key of a story."""
    return saga_key(flow_name(story.flow), story.saga_id)


class Simulation(PlayedApplication[O], Generic[O, S]):
    """Plays an application's participants, its outside world and the people around it."""

    @abstractmethod
    def stories(
        self, seed: int, numbers: Iterable[int], flows: Flows, *, people: bool
    ) -> Sequence[S]:
        """Draw the sagas of a seed by their numbers, each on any version of `flows`.

        Everything is drawn from the seed and the number. Without `people` nobody does anything but
        place them.
        """

    def prepare(self, world: World[O], seed: int, stories: Sequence[S], *, people: bool) -> None:
        """Provide what these sagas need, before the first is placed; by default nothing.

        Faults are off meanwhile.
        """

    @abstractmethod
    def begin(self, world: World[O], story: S) -> None:
        """Place a saga, and schedule what people do to it."""

    @abstractmethod
    def violations(self, world: World[O], stories: Sequence[S]) -> Iterable[str]:
        """Return what is wrong at the end of a run, one line each, beside what every saga obeys."""


def simulation_of(application: Application) -> Simulation[Any, Any]:
    """Return the simulation that the manifest names. Raises ManifestError."""
    where = f"{application.folder / FILE_NAME}: lab.simulation"
    if application.simulation is None:
        raise ManifestError(
            f"{where} is missing, so there is nothing to simulate; "
            'write simulation = "module:SIMULATION"'
        )
    simulation = resolve(application, "lab.simulation", application.simulation)
    if not isinstance(simulation, Simulation):
        raise ManifestError(
            f"{where}: {application.simulation} is no Simulation; make it an instance of a "
            "subclass of saga_lab.simulation.interface.Simulation"
        )
    return simulation
