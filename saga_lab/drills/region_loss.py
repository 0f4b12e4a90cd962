"""The loss of everything at once: all that comes back is in the archive, which was elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from saga_lab.application import Application
from saga_lab.chaos.site import Site, until
from saga_lab.devstack.topics import create_topics, delete_topic, event_topic, shared_topics
from saga_lab.drills.disasters import Disaster, LostDatabase, replicas_of, until_left
from saga_monitor import GROUP

ALL = "all"
"""The one target of this disaster."""


def everything(_: Application) -> tuple[str, ...]:
    """Return the one target of this disaster."""
    return (ALL,)


@dataclass(frozen=True, slots=True)
class LostRegion(Disaster):
    """All topics and all databases are lost. The last archive was made when the services stopped.

    What would have been published since an older archive would be lost: there is nothing to
    rehearse about that.
    """

    def before(self, site: Site) -> None:
        """Stop all processes, and archive the topics. Publishers from outside are cut off, too."""
        load = site.load
        load.pace.held = True
        until(lambda: not load.placing, "no saga is being placed")
        site.stop(*self.processes(site))
        self.recoveries.commands.archive()

    def strike(self, site: Site) -> None:
        """Delete every topic and drop every database."""
        for name in site.contract.topics:
            delete_topic(site.bootstrap_servers, event_topic(name, site.content["partitions"]))
        for database in self._databases(site):
            database.strike(site)

    def is_seen(self, site: Site) -> bool:
        return not any(site.ready(name) for name in self.processes(site))

    def heal(self, site: Site) -> None:
        """Bring everything back in empty servers, then let publishers from outside go on."""
        try:
            Disaster.heal(self, site)
        finally:
            site.load.pace.held = False

    def processes(self, site: Site) -> list[str]:
        names = site.stack.application.databases
        return [process for name in names for process in replicas_of(site, name)]

    def recover(self, site: Site) -> Sequence[str]:
        """Fill new topics from the archive, and rebuild each database from them."""
        application, partitions = site.stack.application, site.content["partitions"]
        create_topics(site.bootstrap_servers, shared_topics(application, partitions))
        for group in (*application.participants, GROUP):
            until_left(site, group)
        self.recoveries.commands.restore()
        return [text for database in self._databases(site) for text in database.recover(site)]

    def healed(self, site: Site) -> bool:
        return all(database.healed(site) for database in self._databases(site))

    def _databases(self, site: Site) -> list[LostDatabase]:
        names = site.stack.application.databases
        return [LostDatabase(name, self.recoveries) for name in names]
