"""Declares the ports between the parts of a simulated world, so that no part imports another.

`world` implements `WorldPort`, `node` `NodePort`, `process` `ProcessPort`, and so on.
"""

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from saga_lab.simulation.fault_rates import FaultRates
from saga_lab.simulation.log import Place, SimulatedLog
from saga_lab.simulation.outside import Outside
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.view import SagaView
from sagakit.decider import Command
from sagakit.flow.model import Flows
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import EffectRow, OutboxRow
from sagakit.store.memory import MemoryDatabase
from sagakit.store.ports import Participant


class ProcessPort(Protocol):
    """A running instance of a participant."""

    name: str
    flows: Flows

    @property
    def node(self) -> "NodePort":
        """Return its participant."""
        ...

    def start(self, flows: Flows) -> None:
        """Start with nothing in memory, on the given flow files."""
        ...

    def keys(self) -> set[str]:
        """Return the sagas it works on."""
        ...

    def survive(self, work: Callable[[], None]) -> None:
        """Run `work`; a crash in it restarts the process."""
        ...

    def redrive(self, key: str) -> None:
        """Redrive the parked records of a saga."""
        ...


class NodePort(Protocol):
    """A participant with its database, its processes and its relay."""

    name: str
    participant: Participant[Any]
    database: MemoryDatabase[Any]
    committed: dict[Place, int]
    touched: bool

    @property
    def world(self) -> "WorldPort":
        """Return the world it runs in."""
        ...

    @property
    def codec(self) -> Codec:
        """Return the codec of its processes."""
        ...

    @property
    def processes(self) -> Sequence[ProcessPort]:
        """Return its processes."""
        ...

    def ask(self, row: EffectRow) -> Any:
        """Call the outside world for an effect and return the result."""
        ...

    def forget_relay(self) -> None:
        """Lose what the leading relay knew."""
        ...

    def notify(self) -> None:
        """Tell the leading relay of rows in the table."""
        ...

    def check(self) -> None:
        """Record a broken invariant that holds at any moment."""
        ...


class MonitorPort(Protocol):
    """A simulated monitor, as the operator uses it."""

    sagas: dict[str, Saga]

    def view(self, saga: str) -> SagaView:
        """Return the view of a saga."""
        ...


class OperatorPort(Protocol):
    """The simulated operator, as the participants and the application's people use it."""

    unknown: set[tuple[str, str]]

    def resume(self, saga: str) -> None:
        """Resume a paused saga through a monitor."""
        ...

    def schedule_redrive(self, node: NodePort) -> None:
        """Schedule the redrive of records parked for an unknown flow version."""
        ...


class RegistryPort(Protocol):
    """The simulated schema registry, as the participants use it."""

    def check(self, participant: str, saga: str) -> None:
        """Answer a participant. Raises RegistryUnavailable and UnregisteredSchema."""
        ...


class RolloutPort(Protocol):
    """A simulated release, as the participants use it."""

    before: Flows | None

    def begin(self, node: NodePort) -> None:
        """Schedule the update of each process of a participant."""
        ...


class WorldPort(Protocol):
    """The world: its clock, its chances, its log and its parts."""

    rng: random.Random
    flows: Flows
    hits: Counter[str]
    now: datetime
    fault_rates: FaultRates
    log: SimulatedLog

    @property
    def outside(self) -> Outside:
        """Return the outside world."""
        ...

    @property
    def codec(self) -> Codec:
        """Return the codec of the application's contract."""
        ...

    @property
    def nodes(self) -> Mapping[str, NodePort]:
        """Return the participants by name."""
        ...

    @property
    def monitors(self) -> Sequence[MonitorPort]:
        """Return the monitors."""
        ...

    @property
    def registry(self) -> RegistryPort:
        """Return the schema registry."""
        ...

    @property
    def operator(self) -> OperatorPort:
        """Return the operator."""
        ...

    @property
    def rollout(self) -> RolloutPort:
        """Return the release."""
        ...

    def happens(self, fault: str) -> bool:
        """Draw whether a fault hits now, and count it if so."""
        ...

    def note(self, text: str, sagas: Collection[str] = ()) -> None:
        """Record a line for the story of a broken seed."""
        ...

    def submit_command(
        self, name: str, saga: str, command: Command, flow: str | None = None
    ) -> None:
        """Submit a person's command to a participant, and again until it goes through."""
        ...

    def publish(self, event: Any, key: str, flow: str | None, *, named: bool = True) -> None:
        """Publish an event as a foreign producer would; without `named` it has no event id."""
        ...

    def wrong_store(self, name: str, store: Any) -> str:
        """Return what is wrong with a participant's store at any moment, else an empty text."""
        ...

    def broker_up(self) -> bool:
        """Return whether publishing and consuming are possible."""
        ...

    def after(self, delay: timedelta, work: Callable[[], None]) -> None:
        """Schedule `work` to happen after `delay`."""
        ...

    def send(self, row: OutboxRow) -> None:
        """Append a row to the log as soon as the broker is up."""
        ...
