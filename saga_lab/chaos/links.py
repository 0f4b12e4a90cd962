"""Faults of the network between a participant and PostgreSQL, Kafka or a fake."""

from dataclasses import dataclass
from typing import ClassVar

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.site import Site
from saga_lab.devstack.processes import LINKS, is_instance_of
from saga_lab.fakes.link import LinkMode


@dataclass(frozen=True, slots=True)
class LinkFault(Fault):
    """Switch a link to another mode, and back to open on heal.

    The target is the link, `service>server`; `service>kafka` means the links to all brokers.
    """

    mode: ClassVar[LinkMode]

    def inject(self, site: Site) -> None:
        _change(site, self.target, self.mode)

    def heal(self, site: Site) -> None:
        _change(site, self.target, LinkMode.OPEN)

    def healed(self, site: Site) -> bool:
        return site.ready(self.target.partition(">")[0])


def _change(site: Site, link: str, mode: LinkMode) -> None:
    for name in site.content["ports"]:
        if is_instance_of(name, link):
            site.post(LINKS, "/control/link", {"name": name, "mode": mode})


class LinkCut(LinkFault):
    """Reset all connections, new ones too."""

    mode = LinkMode.CUT


class SlowLink(LinkFault):
    """Delay every piece of data."""

    mode = LinkMode.SLOW


class SilentLink(LinkFault):
    """Keep connections open but pass no data, then reset them.

    The reset is what a client meets once a firewall has dropped its connection state.
    """

    mode = LinkMode.SILENT

    def heal(self, site: Site) -> None:
        _change(site, self.target, LinkMode.CUT)
        _change(site, self.target, LinkMode.OPEN)
