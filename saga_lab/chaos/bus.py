"""Faults of what travels: garbage among the events, a group that reads all again, a rush."""

import uuid
from dataclasses import dataclass

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.topics import make_anew, read_again
from sagakit.flow.routing import topic, topics_of
from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.envelope import OutboxRow
from schemas import FLOWS

STORM = 60
RUSH = 10.0


def garbage() -> list[bytes]:
    """Bytes that are no event: noise, nothing, schema ids and fingerprints nobody knows."""
    return [
        b"\xde\xad\xbe\xef" * 8,
        b"",
        b"\x00\x00\x00\x30\x39" + b"\x02" * 40,
        b"\xc3\x01" + b"\x07" * 48,
        b"{" * 5000,
    ]


@dataclass(frozen=True, slots=True)
class PoisonStorm(Fault):
    """Records that nobody can read, under keys of nobody's orders, among the good ones."""

    def inject(self, site: Site) -> None:
        publisher = Publisher(site.bootstrap_servers, "vandal")
        kinds = garbage()
        storm = [
            OutboxRow(
                self.target,
                f"poison-{uuid.uuid4().hex[:12]}",
                (("flow", b"order/1"),),
                kinds[n % len(kinds)],
                n,
            )
            for n in range(STORM)
        ]

        def published() -> bool:
            try:
                publisher.publish(storm)
            except PublishFailed:
                return False
            return True

        until(published, f"{self.target} takes {STORM} records")

    def healed(self, site: Site) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class ReadAgain(Fault):
    """An operator resets a group's offsets to the first record, by mistake."""

    def inject(self, site: Site) -> None:
        with site.away(self.target):
            read_again(site.bootstrap_servers, self.target, topics_of(FLOWS, self.target))


@dataclass(frozen=True, slots=True)
class TopicMadeAnew(Fault):
    """A service's topic is deleted, and its operator makes it anew and republishes what the service
    keeps."""

    def inject(self, site: Site) -> None:
        site.silence(self.target)
        name = topic(self.target)
        make_anew(site.bootstrap_servers, name, lambda: site.republish(self.target, name))

    def heal(self, site: Site) -> None:
        site.let_go(self.target)
        site.start(self.target)


@dataclass(frozen=True, slots=True)
class Rush(Fault):
    """Ten times the load."""

    def inject(self, site: Site) -> None:
        site.load.pace.factor = RUSH

    def heal(self, site: Site) -> None:
        site.load.pace.factor = 1.0

    def healed(self, site: Site) -> bool:
        return True
