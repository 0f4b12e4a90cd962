"""Losses of topics, and the way back: each event that a topic lost is in its owner's outbox."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

from saga_lab.application import Application, contract_of
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.kafka_log import cut_tail
from saga_lab.devstack.topics import Topic, delete_topic, event_topic, recreate_topic, republishers
from saga_lab.drills.disasters import Disaster
from saga_lab.invariants.gather import unread_by_monitor
from sagakit.flow.routing import topic, topics_of
from sagakit.kafka.inspector import lag

FAULTY = re.compile(r'^saga_topic_faults{.*topic="([^"]+)".*} [1-9]', re.MULTILINE)
SHORTER = re.compile(r'^saga_lost_records_total{.*topic="([^"]+)".*} [1-9]', re.MULTILINE)
"""Metrics that tell of a topic."""
CUT = 1 / 3
"""The share of a topic's last batches that is lost."""


@dataclass(frozen=True, slots=True)
class DeletedTopic(Disaster):
    """Somebody deletes the topic of a participant; it is created again and republished.

    Healed it is once everybody has read the new topic to its end.
    """

    def strike(self, site: Site) -> None:
        """Delete the topic."""
        delete_topic(site.bootstrap_servers, self._topic(site))

    def is_seen(self, site: Site) -> bool:
        return topic(self.target) in _topics_named(site, self.target, FAULTY)

    def recover(self, site: Site) -> Sequence[str]:
        """Move the rows back to the outbox, and create the topic."""
        name = topic(self.target)
        site.take_relay_lead(self.target)
        try:
            recreate_topic(
                site.bootstrap_servers,
                self._topic(site),
                lambda: site.republish(self.target, name),
            )
        finally:
            site.release(self.target)
        return ()

    def healed(self, site: Site) -> bool:
        name, readers = topic(self.target), readers_of(site.stack.application, self.target)
        return (
            site.ready(self.target)
            and site.outbox_is_empty(self.target)
            and not any(lag(site.bootstrap_servers, one, [name]) for one in readers)
            and not unread_by_monitor(site.content)
        )

    def _topic(self, site: Site) -> Topic:
        return event_topic(topic(self.target), site.content["partitions"])


@dataclass(frozen=True, slots=True)
class LostTail(DeletedTopic):
    """The broker loses its last writes to the topic of a participant, as in a loss of power.

    New events get the offsets of lost ones, so the topic is created again like a deleted one.
    """

    def strike(self, site: Site) -> None:
        """Cut the log while the broker is stopped."""
        (broker,) = site.brokers
        with site.stopped(broker):
            cut_tail(site.stack.home / "data" / broker, topic(self.target), CUT)
        until(lambda: site.ready(broker), f"{broker} is ready")

    def is_seen(self, site: Site) -> bool:
        readers = readers_of(site.stack.application, self.target)
        return any(topic(self.target) in _topics_named(site, one, SHORTER) for one in readers)


def readers_of(application: Application, owner: str) -> list[str]:
    """Return the participants that read the topic of another one."""
    flows = contract_of(application).flows
    return [one for one in application.participants if topic(owner) in topics_of(flows, one)]


def read_republishers(application: Application) -> tuple[str, ...]:
    """Return the participants whose topics can be republished, and are read by participants."""
    return tuple(one for one in republishers(application) if readers_of(application, one))


def _topics_named(site: Site, process: str, metric: re.Pattern[str]) -> list[str]:
    """Return the topics that a metric of a process tells of."""
    try:
        return metric.findall(site.request("GET", process, "/metrics").text)
    except httpx2.TransportError:
        return []
