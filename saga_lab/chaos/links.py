"""Faults of the network between a service and PostgreSQL, Kafka, the provider or the carrier."""

from dataclasses import dataclass
from typing import ClassVar

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.site import Site
from saga_lab.devstack.processes import LINKS, is_of
from saga_lab.fakes.link import Mode


@dataclass(frozen=True, slots=True)
class Linked(Fault):
    """A link in another mode for a while. The target is the link, `service>server`; to Kafka those
    to all its brokers."""

    mode: ClassVar[Mode]

    def inject(self, site: Site) -> None:
        _change(site, self.target, self.mode)

    def heal(self, site: Site) -> None:
        _change(site, self.target, Mode.OPEN)

    def healed(self, site: Site) -> bool:
        return site.ready(self.target.partition(">")[0])


def _change(site: Site, link: str, mode: Mode) -> None:
    for name in site.content["ports"]:
        if is_of(name, link):
            site.post(LINKS, "/control/link", {"name": name, "mode": mode})


class Cut(Linked):
    """Connections are reset, and no new ones come about."""

    mode = Mode.CUT


class Slow(Linked):
    """Everything passes late."""

    mode = Mode.SLOW


class Silent(Linked):
    """Half open: connections stay, nothing passes; then a firewall has forgotten them."""

    mode = Mode.SILENT

    def heal(self, site: Site) -> None:
        _change(site, self.target, Mode.CUT)
        _change(site, self.target, Mode.OPEN)
