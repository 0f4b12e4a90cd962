"""Records that nobody can read, in the middle of a topic, and how a person discards them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saga_lab.application import MONITOR, Application
from saga_lab.chaos.kafka_data import RECORDS, UnreadableRecords, publish_unreadable
from saga_lab.chaos.site import Site, until
from saga_lab.drills.disasters import Disaster, has_read_all, metric_of
from saga_lab.drills.topic_loss import readers_of
from sagakit.flow.routing import topic

IN_FLIGHT = 5
"""So many sagas in flight get an unreadable record."""
PARKED = re.compile(r"^saga_parked{.*} [1-9]", re.MULTILINE)
UNREADABLE = re.compile(r"^saga_unreadable(?:{.*})? [1-9]", re.MULTILINE)
"""Metrics that tell of records that could not be read."""
UNREADABLE_CODES = ("undecodable", "unknown_schema")


@dataclass(frozen=True, slots=True)
class PoisonedTopic(Disaster):
    """Somebody publishes what nobody can read to the topic of a participant.

    Some of it has the keys of sagas in flight, which wait at each reader until a person discards
    the record there. Everybody runs on.
    """

    def strike(self, site: Site) -> None:
        """Publish the records, once enough sagas are in flight."""
        name = topic(self.target)
        until(lambda: len(_in_flight(site)) >= IN_FLIGHT, f"{IN_FLIGHT} sagas are in flight")
        publish_unreadable(site, name, _in_flight(site)[-IN_FLIGHT:])
        UnreadableRecords(name).inject(site)

    def is_seen(self, site: Site) -> bool:
        found = [metric_of(site, reader, PARKED) for reader in self._readers(site)]
        return all(found) and bool(metric_of(site, MONITOR, UNREADABLE))

    def processes(self, site: Site) -> list[str]:
        return []

    def recover(self, site: Site) -> Sequence[str]:
        """Discard the records at each reader, as the runbook says."""
        for reader in self._readers(site):
            self._discard_at(site, reader)
        return ()

    def _discard_at(self, site: Site, reader: str) -> None:
        """Discard what a reader has parked, until it has read and parked all of it."""
        discarded = 0

        def are_discarded() -> bool:
            nonlocal discarded
            for row in self._parked(site, reader):
                path = f"/admin/parked/{row['id']}"
                who = {"actor": "drill", "reason": "no event"}
                site.request("DELETE", reader, path, params=who).raise_for_status()
                discarded += 1
            return discarded >= RECORDS + IN_FLIGHT

        until(are_discarded, f"all unreadable records are discarded at {reader}")

    def healed(self, site: Site) -> bool:
        return not any(
            self._parked(site, reader) or not has_read_all(site, reader)
            for reader in self._readers(site)
        )

    def _parked(self, site: Site, reader: str) -> list[dict[str, Any]]:
        """Return the records of the topic that a participant cannot read."""
        answer = site.request("GET", reader, "/admin/parked", params={"limit": 10_000})
        answer.raise_for_status()
        return [
            row
            for row in answer.json()
            if row["topic"] == topic(self.target) and row["code"] in UNREADABLE_CODES
        ]

    def _readers(self, site: Site) -> list[str]:
        return readers_of(site.stack.application, self.target)


def _in_flight(site: Site) -> list[str]:
    """Return the keys of sagas that were placed and have not ended, the oldest first."""
    load = site.load
    return [key for key in list(load.placed_at) if key not in load.ended_at]


def read_owners(application: Application) -> tuple[str, ...]:
    """Return the participants whose topic another participant reads."""
    return tuple(one for one in application.participants if readers_of(application, one))
