"""Defines what an application offers for simulations: the `simulation` of its manifest."""

import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from saga_lab.application import FILE_NAME, Application, ManifestError, resolve
from saga_lab.simulation.outside import Later, Outside
from sagakit.contract.model import Contract
from sagakit.flow.model import Flows
from sagakit.messages.codec import Codec
from sagakit.store.ports import Participant, Store

if TYPE_CHECKING:
    from saga_lab.simulation.world import World


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


O = TypeVar("O", bound=Outside)  # noqa: E741
S = TypeVar("S", bound=Story)


class Simulation(ABC, Generic[O, S]):
    """Plays an application's participants, its outside world and the people around it.

    `direct`: participants without effects, whose event ids derive from the cause's id; `folded`:
    participants whose state is the fold of their own events. The violations of both are checked.
    """

    direct: Collection[str] = ()
    folded: Collection[str] = ()

    @property
    @abstractmethod
    def contract(self) -> Contract:
        """The application's contract."""

    @cached_property
    def codec(self) -> Codec:
        """The codec of the contract."""
        return Codec(self.contract)

    @abstractmethod
    def participants(self) -> Sequence[tuple[Participant[Any], Store[Any]]]:
        """Return the participants, each with a new store in memory."""

    @abstractmethod
    def outside(self, rng: random.Random, later: Later, trouble: float) -> O:
        """Return a new outside world; `later` delivers its callbacks."""

    @abstractmethod
    def stories(
        self, seed: int, numbers: Iterable[int], flows: Flows, *, people: bool
    ) -> Sequence[S]:
        """Draw the sagas of a seed by their numbers, each on any version of `flows`.

        Everything is drawn from the seed and the number. Without `people` nobody does anything but
        place them.
        """

    def prepare(self, world: "World[O]", seed: int, stories: Sequence[S], *, people: bool) -> None:
        """Provide what these sagas need, before the first is placed; by default nothing.

        Faults are off meanwhile.
        """

    @abstractmethod
    def begin(self, world: "World[O]", story: S) -> None:
        """Place a saga, and schedule what people do to it."""

    def webhook_too_early(self, participant: str, state: Any) -> bool:
        """Return whether a webhook would come before the answer to its call, and be refused.

        `state`: the participant's state of the saga. By default none is.
        """
        return False

    def wrong_store(self, participant: str, store: Any) -> str:
        """Return what is wrong with a participant's store at any moment, else an empty text.

        Called after every step of a participant. By default nothing is.
        """
        return ""

    @abstractmethod
    def violations(self, world: "World[O]", stories: Sequence[S]) -> Iterable[str]:
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
