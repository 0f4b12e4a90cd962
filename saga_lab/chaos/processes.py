"""Faults of our own processes: killed, told to stop, paused, doubled, restarted one by one."""

import signal
from dataclasses import dataclass
from typing import ClassVar

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.processes import MONITOR, SERVICES


@dataclass(frozen=True, slots=True)
class Killed(Fault):
    """kill -9; the supervisor starts it again."""

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Terminated(Fault):
    """SIGTERM: stops in good order; the supervisor starts it again."""

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Paused(Fault):
    """SIGSTOP, then SIGCONT: it goes on as if nothing had been, with connections, leases and a
    group membership that may be long gone."""

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGSTOP)

    def heal(self, site: Site) -> None:
        site.signal(self.target, signal.SIGCONT)


def second(target: str) -> str:
    """Name of the second replica."""
    return f"{target}-2"


@dataclass(frozen=True, slots=True)
class JoinedAndKilled(Fault):
    """A second replica joins, takes its share of the partitions, and is killed for good: its
    partitions wait for its session to end."""

    def inject(self, site: Site) -> None:
        site.put_up(second(self.target))

    def heal(self, site: Site) -> None:
        site.signal(second(self.target), signal.SIGKILL)
        site.stack.take_down(second(self.target))


@dataclass(frozen=True, slots=True)
class LeaderKilled(Fault):
    """The process that leads the relay is killed while a second one waits for its place."""

    def inject(self, site: Site) -> None:
        site.put_up(second(self.target))
        site.signal(self.target, signal.SIGKILL)

    def heal(self, site: Site) -> None:
        site.stack.take_down(second(self.target))


@dataclass(frozen=True, slots=True)
class Zombie(Fault):
    """Paused past its session while a second replica takes over its partitions, its leases and its
    relay; then it wakes up and knows nothing of that."""

    def inject(self, site: Site) -> None:
        site.put_up(second(self.target))
        site.signal(self.target, signal.SIGSTOP)

    def heal(self, site: Site) -> None:
        site.signal(self.target, signal.SIGCONT)
        site.stack.take_down(second(self.target))


@dataclass(frozen=True, slots=True)
class ClockAhead(Fault):
    """Its clock is half a minute ahead: past every lease. It is restarted to get there and back."""

    offset_s: ClassVar[int] = 30

    def inject(self, site: Site) -> None:
        site.put_up(self.target, {"SAGA_CLOCK_OFFSET_S": str(self.offset_s)})

    def heal(self, site: Site) -> None:
        site.put_up(self.target)


class ClockBehind(ClockAhead):
    """Its clock is half a minute behind."""

    offset_s = -30


@dataclass(frozen=True, slots=True)
class RollingRestart(Fault):
    """Every service and the monitor, one after the other, each ready before the next."""

    def inject(self, site: Site) -> None:
        for name in (*SERVICES, MONITOR):
            with site.away(name):
                pass
            until(lambda n=name: site.ready(n), f"{name} is ready again")  # type: ignore[misc]

    def healed(self, site: Site) -> bool:
        return all(site.ready(name) for name in (*SERVICES, MONITOR))
