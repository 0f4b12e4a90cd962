"""What a fault is, and a kind of faults."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from saga_lab.chaos.site import Site


class Violation(Exception):
    """Something that must never be was seen while a fault was on; the message says what."""


@dataclass(frozen=True, slots=True)
class Fault(ABC):
    """One thing that goes wrong with one target, as a value.

    `inject` breaks it; some time later `heal` ends what does not end by itself; `healed` tells
    whether the target serves again. All may block and raise NotReached.
    """

    target: str

    @abstractmethod
    def inject(self, site: Site) -> None:
        """Break it."""

    def heal(self, site: Site) -> None:  # noqa: B027 - most faults are over by themselves
        """Nothing is left to mend."""

    def healed(self, site: Site) -> bool:
        """It answers that it is ready."""
        return site.ready(self.target)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of faults. `lasts_s`: shortest and longest time between inject and heal; `brokers`:
    how many it takes; `disks`: whether it takes disks of PostgreSQL's own."""

    name: str
    about: str
    make: Callable[[str], Fault]
    targets: tuple[str, ...]
    lasts_s: tuple[float, float] = (0.0, 0.0)
    brokers: int = 1
    disks: bool = False
