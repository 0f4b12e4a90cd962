"""Losses of topics, and the way back: each event that a topic lost is in its owner's outbox."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from saga_lab.application import Application, contract_of
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.kafka_log import cut_tail, remove_partitions
from saga_lab.devstack.topics import (
    Topic,
    delete_records,
    delete_topic,
    event_topic,
    recreate_topic,
    republishers,
    set_topic,
)
from saga_lab.drills.disasters import Disaster, metric_of, replicas_of
from saga_lab.invariants.gather import unread_by_monitor
from sagakit.flow.routing import topic, topics_of
from sagakit.kafka.inspector import lag, read_log
from sagakit.messages.envelope import Record

FAULTY = re.compile(r'^saga_topic_faults{.*topic="([^"]+)".*} [1-9]', re.MULTILINE)
LOST = re.compile(r'^saga_lost_records_total{.*topic="([^"]+)".*} [1-9]', re.MULTILINE)
"""Metrics that tell of a topic."""
CUT = 1 / 3
"""The share of a topic's last batches that is lost."""
LEFT = 1 / 2
"""The share of a topic's partitions that is left."""
UNREAD = 20
"""So many records of the topic has a slow participant not read."""
COMPACTED_AT_ONCE = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.001",
    "segment.ms": "1000",
}
"""Settings of a topic that the broker compacts as soon as it looks."""


@dataclass(frozen=True, slots=True)
class DeletedTopic(Disaster):
    """Somebody deletes the topic of a participant; it is created again and republished.

    Healed it is once everybody has read the new topic to its end.
    """

    def strike(self, site: Site) -> None:
        """Delete the topic."""
        delete_topic(site.bootstrap_servers, self._topic(site))

    def is_seen(self, site: Site) -> bool:
        return topic(self.target) in metric_of(site, self.target, FAULTY)

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
        """Damage the log while the broker is stopped."""
        (broker,) = site.brokers
        with site.stopped(broker):
            self.damage(site.stack.home / "data" / broker)
        until(lambda: site.ready(broker), f"{broker} is ready")

    def damage(self, broker: Path) -> None:
        """Cut the end off, in the folder of the broker."""
        cut_tail(broker, topic(self.target), CUT)

    def is_seen(self, site: Site) -> bool:
        readers = readers_of(site.stack.application, self.target)
        return any(topic(self.target) in metric_of(site, one, LOST) for one in readers)


@dataclass(frozen=True, slots=True)
class LostPartitions(LostTail):
    """A disk with half of the partitions of a topic is lost; the broker makes empty ones.

    A saga with events there continues behind a gap, and the offsets of lost records are given
    again, so the topic is created again like a deleted one.
    """

    def damage(self, broker: Path) -> None:
        """Remove half of the partitions."""
        remove_partitions(broker, topic(self.target), LEFT)


@dataclass(frozen=True, slots=True)
class TruncatedTopic(LostTail):
    """Retention removes records that a slow participant has not read.

    Without the new topic, the lost events would be republished behind later ones of their sagas.
    """

    def before(self, site: Site) -> None:
        """Stop a reader, and let traffic go on until there is something that it has not read."""
        slow, name = self._slow(site), topic(self.target)
        site.stop(*replicas_of(site, slow))
        until(lambda: lag(site.bootstrap_servers, slow, [name]) >= UNREAD, f"{slow} is behind")

    def strike(self, site: Site) -> None:
        """Remove all that is in the topic, and start the reader."""
        delete_records(site.bootstrap_servers, self._topic(site))
        site.start(*replicas_of(site, self._slow(site)))

    def _slow(self, site: Site) -> str:
        """Return a reader without which the owner goes on: one that the manifest has behind it."""
        application = site.stack.application
        names, readers = list(application.participants), readers_of(application, self.target)
        behind = names[names.index(self.target) :]
        return next((one for one in readers if one in behind), readers[0])


@dataclass(frozen=True, slots=True)
class CompactedTopic(DeletedTopic):
    """Somebody has a topic compacted: the broker removes all but the last event of each saga."""

    def strike(self, site: Site) -> None:
        """Set the policy, and wait until the broker has compacted a partition."""
        servers, name = site.bootstrap_servers, topic(self.target)
        set_topic(servers, name, COMPACTED_AT_ONCE)
        until(lambda: has_gaps(read_log(servers, [name])), f"{name} is compacted")

    def recover(self, site: Site) -> Sequence[str]:
        """Set the policy back first, as the log line of the fault says."""
        set_topic(site.bootstrap_servers, topic(self.target), {"cleanup.policy": "delete"})
        return DeletedTopic.recover(self, site)


def has_gaps(records: Iterable[Record]) -> bool:
    """Return True if offsets between the records of a partition are missing."""
    following: dict[int, int] = {}
    for record in records:
        if following.get(record.partition, record.offset) != record.offset:
            return True
        following[record.partition] = record.offset + 1
    return False


def readers_of(application: Application, owner: str) -> list[str]:
    """Return the participants that read the topic of another one."""
    flows = contract_of(application).flows
    return [one for one in application.participants if topic(owner) in topics_of(flows, one)]


def read_republishers(application: Application) -> tuple[str, ...]:
    """Return the participants whose topics can be republished, and are read by participants."""
    return tuple(one for one in republishers(application) if readers_of(application, one))
