"""The interface of a fault, and a row of the table of kinds."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from saga_lab.chaos.site import Site

SHORT, PAST_SESSION, OUTAGE = (1.0, 6.0), (12.0, 16.0), (5.0, 12.0)
"""How long a fault lasts, in seconds. A session times out after 10 s without a heartbeat."""


class Violation(Exception):
    """Something forbidden was seen while a fault was active; the message says what."""


@dataclass(frozen=True, slots=True)
class Fault(ABC):
    """One failure of one target, as a value.

    `inject` breaks the target; later `heal` ends a failure that does not end by itself; `healed`
    tells whether the target serves again. All may block and raise NotReached.
    """

    target: str

    @abstractmethod
    def inject(self, site: Site) -> None:
        """Break the target."""

    def heal(self, site: Site) -> None:  # noqa: B027 - most faults end by themselves
        """End the failure; by default do nothing, because the fault ends by itself."""

    def healed(self, site: Site) -> bool:
        """Return True once the target serves again; by default, once its probe is ready."""
        return site.ready(self.target)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault, a row of the table of `saga_lab.chaos.kinds`.

    `lasts_s`: shortest and longest time between inject and heal, in seconds; `brokers`: how many
    brokers it needs; `registry`: whether it needs a schema registry; `disks`: whether it needs
    PostgreSQL on disks of its own.
    """

    name: str
    about: str
    make: Callable[[str], Fault]
    targets: tuple[str, ...]
    lasts_s: tuple[float, float] = (0.0, 0.0)
    brokers: int = 1
    registry: bool = False
    disks: bool = False
