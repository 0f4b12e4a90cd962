"""Faults of publishers that write in transactions: one stays open, one is abandoned."""

import time
from contextlib import suppress
from dataclasses import dataclass

from saga_lab.chaos.fault import Fault
from saga_lab.chaos.kafka_data import unreadable_bodies
from saga_lab.chaos.site import Site
from saga_lab.devstack.transactions import ForeignProducer
from sagakit.kafka.client import KafkaException

OPEN_S = 14.0
"""How long a transaction stays open: longer than a session."""


@dataclass(frozen=True, slots=True)
class OpenTransaction(Fault):
    """Publish unreadable records in a transaction that is committed when the fault ends."""

    def inject(self, site: Site) -> None:
        with suppress(KafkaException):  # a broker died meanwhile, and so did the transaction
            producer = ForeignProducer(site.bootstrap_servers, f"chaos-open-{self.target}")
            producer.begin(_places(site, self.target), unreadable_bodies())
            time.sleep(OPEN_S)
            producer.commit()

    def healed(self, site: Site) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class AbandonedTransaction(Fault):
    """Leave a transaction open, as a publisher that was killed; its restart aborts it."""

    def inject(self, site: Site) -> None:
        with suppress(KafkaException):
            producer = ForeignProducer(site.bootstrap_servers, self._name)
            producer.begin(_places(site, self.target), unreadable_bodies())

    def heal(self, site: Site) -> None:
        with suppress(KafkaException):
            ForeignProducer(site.bootstrap_servers, self._name)

    def healed(self, site: Site) -> bool:
        return True

    @property
    def _name(self) -> str:
        return f"chaos-abandoned-{self.target}"


def _places(site: Site, topic: str) -> list[tuple[str, int]]:
    return [(topic, partition) for partition in range(site.content["partitions"])]
