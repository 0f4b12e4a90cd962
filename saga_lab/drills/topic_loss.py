"""Losses of topics, and the way back: each event that a topic lost is in its owner's outbox."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

from saga_lab.chaos.site import Site
from saga_lab.devstack.topics import Topic, delete_topic, event_topic, recreate_topic
from saga_lab.drills.disasters import Disaster
from saga_lab.invariants.gather import unread_by_monitor
from sagakit.flow.routing import topic, topics_of
from sagakit.kafka.inspector import lag

FAULT = re.compile(r'saga_topic_faults{.*topic="([^"]+)".*} [1-9]')


@dataclass(frozen=True, slots=True)
class DeletedTopic(Disaster):
    """Somebody deletes the topic of a participant; it is created again and republished.

    Healed it is once everybody has read the new topic to its end.
    """

    def strike(self, site: Site) -> None:
        """Delete the topic."""
        delete_topic(site.bootstrap_servers, self._topic(site))

    def is_seen(self, site: Site) -> bool:
        try:
            answer = site.request("GET", self.target, "/metrics")
        except httpx2.TransportError:
            return False
        return topic(self.target) in FAULT.findall(answer.text)

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
        name, flows = topic(self.target), site.contract.flows
        readers = [
            one for one in site.stack.application.participants if name in topics_of(flows, one)
        ]
        return (
            site.ready(self.target)
            and site.outbox_is_empty(self.target)
            and not any(lag(site.bootstrap_servers, one, [name]) for one in readers)
            and not unread_by_monitor(site.content)
        )

    def _topic(self, site: Site) -> Topic:
        return event_topic(topic(self.target), site.content["partitions"])
