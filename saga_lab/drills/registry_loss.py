"""The loss of all schemas of the registry, and how the processes register them again."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from saga_lab.chaos.site import Site, until
from saga_lab.drills.disasters import Disaster, has_read_all, metric_of, replicas_of

REGISTRY = "registry"
FAULTY = re.compile(r"^saga_registry_faults{.*} [1-9]", re.MULTILINE)
"""The metric by which a process tells of the registry."""
FOREIGN = {"type": "record", "name": "Foreign", "fields": []}
"""Somebody else registers first, so the ids of lost schemas are given to others."""


@dataclass(frozen=True, slots=True)
class LostRegistry(Disaster):
    """The schema registry starts without data, and there is no backup of it.

    Records and outboxes keep ids that mean other schemas now; events stay readable by the
    fingerprint beside the id.
    """

    def strike(self, site: Site) -> None:
        """Remove the registry's data, and register a schema of somebody else."""
        with site.stopped(REGISTRY):
            for file in (site.stack.home / "data" / REGISTRY).glob("schemas*"):
                file.unlink()
        until(lambda: site.ready(REGISTRY), "the registry is ready")
        site.post(REGISTRY, "/subjects/foreign/versions", {"schema": json.dumps(FOREIGN)})

    def is_seen(self, site: Site) -> bool:
        names = site.stack.application.databases
        return all(metric_of(site, name, FAULTY) for name in names)

    def processes(self, site: Site) -> list[str]:
        names = site.stack.application.databases
        return [process for name in names for process in replicas_of(site, name)]

    def recover(self, site: Site) -> Sequence[str]:
        """Do nothing: processes register their schemas when they start."""
        return ()

    def healed(self, site: Site) -> bool:
        return all(has_read_all(site, name) for name in site.stack.application.databases)
