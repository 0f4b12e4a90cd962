"""Faults of records and load: unreadable records, offset reset, topic recreation, load spike."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.raw_batches import ZSTD, publish_raw, with_raw_header
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.topics import event_topic, recreate_topic, reset_offsets
from sagakit.flow.routing import topic, topics_of
from sagakit.identity import saga_key, split_key
from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.envelope import OutboxRow

RECORDS = 60
SPIKE_FACTOR = 10.0
HOSTILE_BYTES = 64 * 1024 * 1024


def unreadable_bodies() -> list[bytes]:
    """Return bytes that no codec reads: noise, no bytes, unknown schema ids and fingerprints."""
    return [
        b"\xde\xad\xbe\xef" * 8,
        b"",
        b"\x00\x00\x00\x30\x39" + b"\x02" * 40,
        b"\xc3\x01" + b"\x07" * 48,
        b"{" * 5000,
    ]


def publish_unreadable(site: Site, topic_name: str, keys: Sequence[str]) -> None:
    """Publish an unreadable record for each of these saga keys. Raises NotReached."""
    publisher, bodies = Publisher(site.bootstrap_servers, "chaos"), unreadable_bodies()
    labels = {flow.name: flow.label(flow.default_version) for flow in site.contract.flows}
    records = [
        OutboxRow(
            topic_name,
            saga_id,
            (("flow", labels[flow].encode()),),
            bodies[n % len(bodies)],
            n,
        )
        for n, (flow, saga_id) in enumerate(map(split_key, keys))
    ]

    def published() -> bool:
        try:
            publisher.publish(records)
        except PublishFailed:
            return False
        return True

    until(published, f"{topic_name} accepts {len(records)} records")


@dataclass(frozen=True, slots=True)
class UnreadableRecords(Fault):
    """Publish unreadable records to an event topic, under keys that belong to no saga."""

    def inject(self, site: Site) -> None:
        flow = next(iter(site.contract.flows)).name
        keys = [saga_key(flow, f"poison-{uuid.uuid4().hex[:12]}") for _ in range(RECORDS)]
        publish_unreadable(site, self.target, keys)

    def healed(self, site: Site) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class HostileRecords(Fault):
    """Publish what stops a Kafka client: a header name that is no text, a batch of many zeros."""

    def inject(self, site: Site) -> None:
        row = OutboxRow(self.target, f"hostile-{uuid.uuid4().hex[:12]}", (), b"x")
        large = replace(row, value=bytes(HOSTILE_BYTES))

        def published() -> bool:
            try:
                publish_raw(site.bootstrap_servers, [row, with_raw_header(row), row])
                publish_raw(site.bootstrap_servers, [large], compression=ZSTD)
            except KafkaError:
                return False
            return True

        until(published, f"{self.target} accepts hostile records")

    def healed(self, site: Site) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class OffsetReset(Fault):
    """Reset a consumer group's offsets to the first record, as an operator may by mistake."""

    def inject(self, site: Site) -> None:
        with site.stopped(self.target):
            topics = topics_of(site.contract.flows, self.target)
            reset_offsets(site.bootstrap_servers, self.target, topics)


@dataclass(frozen=True, slots=True)
class TopicRecreation(Fault):
    """Delete and recreate a topic, then republish the rows that the outbox has kept.

    As the how-to says, not before the service has noted all that it has published: the log time of
    a row that it has not noted would be gone with the topic.
    """

    def inject(self, site: Site) -> None:
        until(lambda: self._is_noted(site), f"{self.target} has noted all that it has published")
        name = topic(self.target)
        recreate_topic(
            site.bootstrap_servers,
            event_topic(name, site.content["partitions"]),
            lambda: site.republish(self.target, name),
        )

    def _is_noted(self, site: Site) -> bool:
        """Stop the service and lead its relay; if rows are left, let the service go on for now."""
        site.take_relay_lead(self.target)
        if site.outbox_is_empty(self.target):
            return True
        site.release(self.target)
        site.start(self.target)
        until(lambda: site.ready(self.target), f"{self.target} is ready to note what it published")
        return False

    def heal(self, site: Site) -> None:
        site.release(self.target)
        site.start(self.target)


@dataclass(frozen=True, slots=True)
class LoadSpike(Fault):
    """Raise the load tenfold."""

    def inject(self, site: Site) -> None:
        site.load.pace.factor = SPIKE_FACTOR

    def heal(self, site: Site) -> None:
        site.load.pace.factor = 1.0

    def healed(self, site: Site) -> bool:
        return True
