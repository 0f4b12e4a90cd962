"""The clock of a participant's machine is an hour off."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from saga_lab.application import Application
from saga_lab.chaos.processes import ClockAhead
from saga_lab.chaos.site import Site, until
from saga_lab.drills.disasters import Disaster, has_read_all, metric_of

APART = re.compile(r"^saga_clock_apart_s{.*} -?[1-9]", re.MULTILINE)
"""The metric by which a process tells that its clock and the brokers' differ."""

PLACED = 30
"""So many sagas are placed meanwhile."""


class HourAhead(ClockAhead):
    """Set the process's clock an hour ahead."""

    offset_s = 3600


class HourBehind(ClockAhead):
    """Set the process's clock an hour behind."""

    offset_s = -3600


@dataclass(frozen=True, slots=True)
class ClockAnHourAhead(Disaster):
    """A participant runs on a machine whose clock is an hour ahead; then it is set right.

    Nothing is restored: what was published meanwhile has the brokers' times.
    """

    fault: ClassVar[type[ClockAhead]] = HourAhead

    def strike(self, site: Site) -> None:
        """Restart the participant there, and let traffic go on."""
        self.fault(self.target).inject(site)
        load = site.load
        enough = load.progress.placed + PLACED
        until(lambda: load.progress.placed >= enough or not load.pace.left, "traffic went on")

    def is_seen(self, site: Site) -> bool:
        return bool(metric_of(site, self.target, APART))

    def recover(self, site: Site) -> Sequence[str]:
        """Set the clock right."""
        self.fault(self.target).heal(site)
        return ()

    def healed(self, site: Site) -> bool:
        return has_read_all(site, self.target)


class ClockAnHourBehind(ClockAnHourAhead):
    """The same, with a clock that is an hour behind."""

    fault = HourBehind


def participants(application: Application) -> tuple[str, ...]:
    """Return the participants: the monitor publishes too seldom to tell."""
    return tuple(application.participants)
