"""Faults of supervised processes: kill, stop, pause, second replica, clock, rolling restart."""

import signal
from dataclasses import dataclass
from typing import ClassVar

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.site import Site, until


@dataclass(frozen=True, slots=True)
class ProcessKill(Fault):
    """Send SIGKILL; the supervisor restarts the process."""

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class ProcessStop(Fault):
    """Send SIGTERM: the process shuts down cleanly, and the supervisor restarts it."""

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class ProcessPause(Fault):
    """Send SIGSTOP, later SIGCONT.

    The process resumes with connections, leases and a group membership that may have expired.
    """

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGSTOP)

    def heal(self, site: Site) -> None:
        site.signal(self.target, signal.SIGCONT)


def second_replica(target: str) -> str:
    """Return the name of the second replica of `target`."""
    return f"{target}-2"


@dataclass(frozen=True, slots=True)
class ReplicaKill(Fault):
    """Add a second replica, let it take its partitions, then kill and remove it.

    Its partitions stay unread until its session times out.
    """

    def inject(self, site: Site) -> None:
        site.run_process(second_replica(self.target))

    def heal(self, site: Site) -> None:
        site.signal(second_replica(self.target), signal.SIGKILL)
        site.stack.remove_process(second_replica(self.target))


@dataclass(frozen=True, slots=True)
class LeaderKill(Fault):
    """Kill the process that leads the relay while a second replica waits to lead."""

    def inject(self, site: Site) -> None:
        site.run_process(second_replica(self.target))
        site.signal(self.target, signal.SIGKILL)

    def heal(self, site: Site) -> None:
        site.stack.remove_process(second_replica(self.target))


@dataclass(frozen=True, slots=True)
class Zombie(Fault):
    """Pause a process past its session, with a second replica running, then resume it.

    The replica takes over partitions, leases and relay, of which the resumed process knows nothing.
    """

    def inject(self, site: Site) -> None:
        site.run_process(second_replica(self.target))
        site.signal(self.target, signal.SIGSTOP)

    def heal(self, site: Site) -> None:
        site.signal(self.target, signal.SIGCONT)
        site.stack.remove_process(second_replica(self.target))


@dataclass(frozen=True, slots=True)
class ClockAhead(Fault):
    """Set the process's clock 30 s ahead, which is past every lease.

    The process is restarted with the offset, and again without it.
    """

    offset_s: ClassVar[int] = 30

    def inject(self, site: Site) -> None:
        site.run_process(self.target, {"SAGA_CLOCK_OFFSET_S": str(self.offset_s)})

    def heal(self, site: Site) -> None:
        site.run_process(self.target)


class ClockBehind(ClockAhead):
    """Set the process's clock 30 s behind."""

    offset_s = -30


@dataclass(frozen=True, slots=True)
class RollingRestart(Fault):
    """Restart every participant and the monitor one by one, each ready before the next."""

    def inject(self, site: Site) -> None:
        for name in site.stack.application.databases:
            with site.stopped(name):
                pass
            until(lambda n=name: site.ready(n), f"{name} is ready again")  # type: ignore[misc]

    def healed(self, site: Site) -> bool:
        return all(site.ready(name) for name in site.stack.application.databases)
